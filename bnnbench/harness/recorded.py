"""Summaries of runs worth keeping, small enough for the repository: `results/recorded/<name>/`."""

import re
import shutil
from pathlib import Path

from bnnbench.errors import UserError
from bnnbench.harness import collect, verdicts
from bnnbench.harness.files import produce_atomic
from bnnbench.harness.plan import Plan


def record(plan: Plan, name: str) -> list[Path]:
    """Copies numbers, jobs, verdicts, environments and the records themselves; returns the files.

    The records keep their places, so `bnnbench compare` takes the folder like any other.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise UserError(f"name {name!r} may hold only letters, digits and . _ -")
    target, source = plan.config.results.expanduser() / "recorded" / name, plan.config.folder()
    if target.exists():
        raise UserError(f"{target}: already there; choose another name or delete it")
    for experiment in collect.experiments(plan):
        collect.collect(plan, experiment)
    for room in plan.papers():
        verdicts.write(plan, room)
    results = collect.Results.load(plan, collect.experiments(plan))
    if len(results.metrics) == 0:
        raise UserError(f"{source}: nothing computed yet; run the workflow (snakemake) first")
    written = [target / "results.csv", target / "jobs.csv"]
    for path, frame in zip(written, (results.metrics, results.jobs), strict=True):
        produce_atomic(path, lambda partial, frame=frame: frame.to_csv(partial, index=False))  # type: ignore[misc]
    used = sorted(set(results.jobs["environment"].dropna()) - {""})
    for path in [
        *(source / "claims" / f"{room}.json" for room in plan.papers()),
        *(source / "environments" / f"{one}.json" for one in used),
    ]:
        written.append(target / f"{path.parent.name}-{path.name}")
        shutil.copyfile(path, written[-1])
    for job in plan.jobs:
        source_path = plan.result(job)
        if source_path.exists():
            written.append(target / plan.config.scale / source_path.relative_to(source))
            written[-1].parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source_path, written[-1])
    return written
