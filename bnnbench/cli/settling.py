"""`bnnbench settle`: the workflow runs the seeds of first stages, a claim at a time, until the time is used up."""

import time
from collections.abc import Callable, Sequence

from bnnbench.cli import workflow
from bnnbench.harness import collect, plan, settle
from bnnbench.harness.config import Config
from bnnbench.harness.plan import Plan


def run(config: Config, where: str, names: Sequence[str], minutes: float, say: Callable[[str], None]) -> list[str]:
    """Settles the claims `names` (none: all inconclusive ones), the cheapest first, within so many minutes.

    Returns the papers of which a claim was settled. `UserError` where the workflow fails or is not here.
    """
    now = _collected(plan.make(config, where))
    deadline = time.monotonic() + 60 * minutes
    papers: list[str] = []
    for claim in settle.unsettled(now, names):
        if claim.obstacle:
            say(f"{claim.name}: no seeds settle it: {claim.obstacle}")
            continue
        left = (deadline - time.monotonic()) / 60
        seeds = max(len(stage.seeds) for stage in claim.stages)
        what = f"{claim.name}: {seeds} seeds, some {max(claim.minutes, 0.1):.1f} min more"
        if not minutes or claim.minutes > left:
            say(f"{what}, which is not within the {left:.1f} min that are left" if minutes else what)
            continue
        say(what)
        claim.write_down(now)
        now = plan.make(config, where)
        wanted = {job for stage in claim.stages for job in stage.added()}
        results = [now.result(job) for job in now.jobs if job.id in wanted]
        workflow.compute(config, results, max(deadline - time.monotonic(), 0))
        now = _collected(now)
        say(f"{claim.name}: {settle.text(now, claim.name)}")
        papers.append(claim.name.partition("/")[0])
    return list(dict.fromkeys(papers))


def _collected(made: Plan) -> Plan:
    for experiment in collect.experiments(made):
        collect.collect(made, experiment)
    return made
