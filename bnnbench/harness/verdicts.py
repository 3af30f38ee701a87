"""The claims of a paper judged over the collected tables."""

from bnnbench.harness import paper, registry
from bnnbench.harness.claim import Claim, judge
from bnnbench.harness.collect import Results
from bnnbench.harness.files import write_json
from bnnbench.harness.plan import Plan


def claims(name: str) -> list[Claim]:
    """The claims that the paper `name` declares."""
    return registry.members(f"{paper.get(name).package}.claims", Claim)


def write(plan: Plan, name: str) -> None:
    """Writes `claims/<paper>.json`: one record a claim with its verdict and evidence."""
    verdicts = [judge(claim, Results.load(plan, claim.experiments)) for claim in claims(name)]
    write_json(plan.config.folder() / "claims" / f"{name}.json", verdicts)
