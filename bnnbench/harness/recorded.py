"""Summaries of runs worth keeping, small enough for the repository: `results/recorded/<name>/`."""

import re
import shutil
from pathlib import Path

from bnnbench.errors import UserError
from bnnbench.harness import collect
from bnnbench.harness.files import produce_atomic
from bnnbench.harness.plan import Plan


def record(plan: Plan, name: str) -> list[Path]:
    """Copies the numbers, jobs, verdicts and environment of the current results; returns the files."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise UserError(f"name {name!r} may hold only letters, digits and . _ -")
    target, source = plan.config.results / "recorded" / name, plan.config.folder()
    if not (source / "results.parquet").exists():
        raise UserError(f"{source}: no results.parquet yet; run the workflow (snakemake) first")
    if target.exists():
        raise UserError(f"{target}: already there; choose another name or delete it")
    results = collect.Results.load(plan, collect.experiments(plan))
    written = [target / "results.csv", target / "jobs.csv"]
    for path, frame in zip(written, (results.metrics, results.jobs), strict=True):
        produce_atomic(path, lambda partial, frame=frame: frame.to_csv(partial, index=False))  # type: ignore[misc]
    for kind in ("claims", "environments"):
        for path in sorted((source / kind).glob("*.json")):
            written.append(target / f"{kind}-{path.name}")
            shutil.copyfile(path, written[-1])
    return written
