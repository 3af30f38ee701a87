"""`bnnbench settle`: the workflow runs the seeds of first stages, a claim at a time, until the time is used up."""

import time
from collections.abc import Callable, Sequence
from math import inf

from bnnbench.cli import workflow
from bnnbench.harness import collect, plan, settle
from bnnbench.harness.config import Config
from bnnbench.harness.plan import Plan
from bnnbench.harness.settle import Unsettled


def run(config: Config, where: str, names: Sequence[str], minutes: float, say: Callable[[str], None]) -> list[str]:
    """Settles the claims `names` (none: all inconclusive ones), the cheapest first, within so many minutes.

    Returns the papers of which a claim was settled. `UserError` where the workflow fails or is not here.
    """
    now = _collected(plan.make(config, where))
    deadline = time.monotonic() + 60 * minutes
    waiting: list[str] = []
    settled: list[str] = []
    for claim in settle.unsettled(now, names):
        if claim.obstacle:
            say(f"{claim.name}: no seeds settle it: {claim.obstacle}")
        else:
            waiting.append(claim.name)
    while waiting:
        claim = settle.unsettled(now, waiting)[0]  # as things are now, since claims share seeds
        waiting.remove(claim.name)
        left = (deadline - time.monotonic()) / 60
        say(_cost(claim, left) if minutes else _cost(claim))
        if claim.minutes <= left and minutes:
            claim.write_down(now)
            now = _computed(plan.make(config, where), claim, deadline)
            say(f"{claim.name}: {settle.text(now, claim.name)}")
            settled.append(claim.name.partition("/")[0])
    return list(dict.fromkeys(settled))


def _cost(claim: Unsettled, left: float = inf) -> str:
    seeds = max(len(stage.seeds) for stage in claim.stages)
    what = f"{claim.name}: {seeds} seeds, some {max(claim.minutes, 0.1):.1f} min more"
    return what if claim.minutes <= left else f"{what}, which is not within the {max(left, 0):.1f} min that are left"


def _computed(made: Plan, claim: Unsettled, deadline: float) -> Plan:
    """The plan once the workflow has computed the seeds that the claim adds to it."""
    wanted = {job for stage in claim.stages for job in stage.added()}
    results = [made.result(job) for job in made.jobs if job.id in wanted]
    workflow.compute(made.config, results, max(deadline - time.monotonic(), 0))
    return _collected(made)


def _collected(made: Plan) -> Plan:
    for experiment in collect.experiments(made):
        collect.collect(made, experiment)
    return made
