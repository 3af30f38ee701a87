"""Which inconclusive claims can be settled by more seeds, and what that costs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bnnbench.errors import UserError
from bnnbench.harness import first_stage, power, verdicts
from bnnbench.harness.claim import Claim, Verdict, judge
from bnnbench.harness.config import unknown
from bnnbench.harness.first_stage import FirstStage
from bnnbench.harness.plan import Plan


@dataclass(frozen=True)
class Unsettled:
    """A requested claim: the first stages that settle it, or `obstacle`, which says why seeds do not."""

    name: str
    verdict: Verdict
    stages: tuple[FirstStage, ...] = ()
    minutes: float = 0.0
    obstacle: str = ""

    def write_down(self, plan: Plan) -> None:
        """Records the first stages; from then on their seeds are part of every plan."""
        for stage in self.stages:
            first_stage.write(plan.config, stage)


def unsettled(plan: Plan, names: Sequence[str]) -> list[Unsettled]:
    """The claims called `paper/claim` or `claim`, or all inconclusive ones: cheapest first, those with obstacles last.

    The claims are judged by the collected tables. An unknown name raises `UserError`.
    """
    known = {f"{paper}/{claim.name}": (paper, claim) for paper in plan.papers() for claim in verdicts.claims(paper)}
    chosen = list(_chosen(names, list(known))) if names else list(known)
    claims = [_unsettled(plan, name, *known[name]) for name in chosen]
    listed = [one for one in claims if names or one.verdict == "inconclusive"]
    return sorted(listed, key=lambda one: (one.obstacle != "", one.minutes))


def text(plan: Plan, name: str) -> str:
    """The verdict on the claim `paper/claim` with its evidence, in one line."""
    paper, _, wanted = name.partition("/")
    claim = next(claim for claim in verdicts.claims(paper) if claim.name == wanted)
    evidence = judge(claim, verdicts.results(plan, paper, claim))
    return f"{evidence.verdict}: {evidence.text}"


def _chosen(names: Sequence[str], known: list[str]) -> Iterator[str]:
    for name in names:
        matching = [one for one in known if name in (one, one.partition("/")[2])]
        if not matching:
            raise UserError(unknown("claim", name, known))
        yield from matching


def _unsettled(plan: Plan, name: str, paper: str, claim: Claim) -> Unsettled:
    results = verdicts.results(plan, paper, claim)
    evidence = judge(claim, results)
    needs = power.needs(paper, claim, results, evidence)
    obstacles = [need.text for need in needs if need.stage is None]
    if evidence.verdict != "inconclusive":
        obstacles = ["it is decided already" if evidence.verdict != "not run" else evidence.text]
    elif stand_ins := results.stand_ins():
        obstacles = [f"on stand-in data it decides nothing: {'; '.join(stand_ins)}"]
    if obstacles:
        return Unsettled(name, evidence.verdict, obstacle="; ".join(obstacles))
    stages = tuple(need.stage for need in needs if need.stage is not None)
    return Unsettled(name, evidence.verdict, stages, power.minutes(results, stages))
