"""Summaries of runs worth keeping, small enough for the repository: `results/recorded/<name>/`."""

import os
import re
import shutil
from pathlib import Path

from bnnbench.errors import UserError
from bnnbench.harness import collect, verdicts
from bnnbench.harness.collect import Results
from bnnbench.harness.files import writing
from bnnbench.harness.plan import Plan


def record(plan: Plan, name: str) -> list[Path]:
    """Copies numbers, jobs, verdicts, environments and the records themselves; returns the files.

    The records keep their places, so `bnnbench compare` takes the folder like any other.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise UserError(
            f"name {name!r}: it may hold only letters, digits and . _ -, begin with one of the first two,"
            " and have at most 100 characters"
        )
    target = plan.config.results / "recorded" / name
    if target.exists():
        raise UserError(f"{target}: already there; choose another name or delete it")
    for experiment in collect.experiments(plan):
        collect.collect(plan, experiment)
    for room in plan.papers():
        verdicts.write(plan, room)
    results = collect.Results.load(plan, collect.experiments(plan))
    if len(results.metrics) == 0:
        raise UserError(f"{plan.config.folder()}: nothing computed yet; run the workflow (snakemake) first")
    partial = target.with_name(f".{name}.{os.getpid()}.partial")
    with writing(target):
        try:
            written = _copy(plan, results, partial)
            partial.rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return [target / path for path in written]


def _copy(plan: Plan, results: Results, target: Path) -> list[Path]:
    """Writes the summary into the new folder `target`; returns the files, relative to it."""
    import pandas as pd

    source = plan.config.folder()
    target.mkdir(parents=True)
    parts = [results, *([results.added] if results.added is not None else [])]
    jobs = pd.concat([part.jobs for part in parts])
    pd.concat([part.metrics for part in parts]).to_csv(target / "results.csv", index=False)
    jobs.to_csv(target / "jobs.csv", index=False)
    used = sorted(set(jobs["environment"].dropna()) - {""})
    claims = [verdicts.path(plan, room) for room in plan.papers()]
    environments = [source / "environments" / f"{one}.json" for one in used]
    copies = {path: Path(f"{path.parent.name}-{path.name}") for path in [*claims, *environments] if path.exists()}
    for job in plan.jobs:
        if collect.read(plan, job)[0] is not None:
            path = plan.result(job)
            copies[path] = Path(plan.config.scale) / path.relative_to(source)
    for path, place in copies.items():
        (target / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / place)
    return [Path("results.csv"), Path("jobs.csv"), *copies.values()]
