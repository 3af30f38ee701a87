"""Setting aside damaged files of a results folder, so that the workflow makes them again, and outdated tables."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bnnbench.errors import UserError
from bnnbench.harness import collect, data, drawing, environment, files, first_stage, result, timings, verdicts
from bnnbench.harness.plan import Plan

Check = Callable[[Path], Any]
"""A function that raises `UserError` where the file is damaged."""


def mend(plan: Plan) -> list[str]:
    """Sets aside all damaged files and returns a line for each; does nothing while a workflow runs in the folder.

    Tables that were collected for other jobs are removed.
    """
    if files.is_locked(plan.config.lock()):
        return []
    moved = records(plan) + derived(plan)
    remove_outdated(plan)
    return [f"a damaged file was set aside: {path}; {_way_back(path)} makes it again" for path in moved]


def _way_back(path: Path) -> str:
    return "bnnbench settle" if first_stage.FOLDER in path.parts[-4:-3] else "the workflow (snakemake)"


def records(plan: Plan) -> list[Path]:
    """Sets aside records of jobs that are unreadable or belong to another job; returns their new paths."""
    checks = [(plan.result(job), lambda path, job=job: result.read_of(job, path)) for job in plan.jobs]
    return _set_aside(iter(checks))


def derived(plan: Plan) -> list[Path]:
    """Sets aside other damaged files: tables, verdicts, figures, pages, and records of data and machines."""
    return _set_aside(_derived(plan))


def remove_outdated(plan: Plan) -> None:
    """Removes the tables of experiments that were collected for jobs with other keys than those of the plan.

    `bnnbench report` collects, too, also after a run with another configuration or other data was interrupted.
    Snakemake would take such tables, newer than all results, for up to date.
    """
    for experiment in collect.experiments(plan):
        tables = [collect.folder(plan, experiment) / f"{name}.parquet" for name in collect.TABLES]
        planned = {(job.id, job.key) for job in plan.jobs if f"{job.paper}/{job.experiment}" == experiment}
        if all(table.exists() for table in tables) and collect.collected_jobs(plan, experiment) != planned:
            for table in tables:
                table.unlink()


def _derived(plan: Plan) -> Iterator[tuple[Path, Check]]:
    for experiment in collect.experiments(plan):
        for name in collect.TABLES:
            path = collect.folder(plan, experiment) / f"{name}.parquet"
            yield path, lambda path, name=name: collect.arrow_table(path, name)  # type: ignore[misc]
    folder = plan.config.folder()
    yield folder / "results.parquet", lambda path: collect.arrow_table(path, "results")
    for paper in plan.papers():
        yield verdicts.path(plan, paper), verdicts.read
        for figure in drawing.figures(paper):
            yield drawing.path(plan, paper, figure), _text
        yield folder / "report" / f"{paper}.html", _text
    yield folder / "report" / "index.html", _text
    yield timings.path(plan), timings.read
    for path in sorted(folder.glob("datasets/*.json")):
        yield path, data.read_verified
    for path in sorted(folder.glob("environments/*.json")):
        yield path, environment.read
    yield folder / "tracked.json", _json_object
    for path in first_stage.paths(plan.config):
        yield path, first_stage.read


def _text(path: Path) -> None:
    try:
        content = files.read_regular(path).decode()
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a text") from error
    if not content:
        raise UserError(f"{path}: empty")


def _json_object(path: Path) -> None:
    try:
        content = files.read_json(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not JSON") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds no object")


def _set_aside(checks: Iterator[tuple[Path, Check]]) -> list[Path]:
    moved = []
    for path, check in checks:
        try:
            there = path.exists() or path.is_symlink()
        except OSError as error:  # a file without read permission is not damaged
            raise UserError(f"{path}: cannot be read: {error.strerror}; give yourself the right to") from error
        try:
            if there:
                check(path)
                if not files.is_as_written(path):
                    raise UserError(f"{path}: was changed since it was written")
        except UserError:
            moved.append(files.set_aside(path))
    return moved
