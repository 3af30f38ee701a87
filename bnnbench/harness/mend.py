"""Files of a results folder that are damaged, set aside so that the workflow makes them again."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bnnbench.errors import UserError
from bnnbench.harness import collect, result, timings, verdicts
from bnnbench.harness.config import parse, read_yaml
from bnnbench.harness.files import set_aside
from bnnbench.harness.plan import Plan
from bnnbench.harness.result import VerifiedData


def records(plan: Plan) -> list[Path]:
    """Sets aside records of jobs that cannot be read or are not of their job; returns where they are now."""
    checks = [(plan.result(job), lambda path, job=job: result.read_of(job, path)) for job in plan.jobs]
    return _set_aside(iter(checks))


def derived(plan: Plan) -> list[Path]:
    """The same for what is made of results: tables, verdicts, and the records of data, timings and machines."""
    return _set_aside(_derived(plan))


def _derived(plan: Plan) -> Iterator[tuple[Path, Callable[[Path], Any]]]:
    for experiment in collect.experiments(plan):
        for name in collect.TABLES:
            path = collect.folder(plan, experiment) / f"{name}.parquet"
            yield path, lambda path, name=name: collect.arrow_table(path, name)  # type: ignore[misc]
    folder = plan.config.folder()
    yield folder / "results.parquet", lambda path: collect.arrow_table(path, "results")
    for paper in plan.papers():
        yield verdicts.path(plan, paper), verdicts.read
    yield timings.path(plan), timings.read
    for path in sorted(folder.glob("datasets/*.json")):
        yield path, lambda path: parse(VerifiedData, read_yaml(path), str(path))
    for path in [*sorted(folder.glob("environments/*.json")), folder / "tracked.json"]:
        yield path, _json_object


def _json_object(path: Path) -> None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds no object")


def _set_aside(checks: Iterator[tuple[Path, Callable[[Path], Any]]]) -> list[Path]:
    moved = []
    for path, check in checks:
        try:
            if path.exists() or path.is_symlink():
                check(path)
        except UserError:
            moved.append(set_aside(path))
    return moved
