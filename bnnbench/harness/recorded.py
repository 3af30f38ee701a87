"""Summaries of runs worth keeping, small enough for the repository: `results/recorded/<name>/`.

A recording has six files, for any number of jobs: `numbers.csv` (one row per job, seed and metric, where a job is
named by its line in `jobs.jsonl`, from 0), `measures.csv` (unit and direction of each metric), `jobs.jsonl` (the
records of jobs without their numbers), `datasets.csv`, `claims.json` and `environments.json`. `read` restores the
records of results, with the same bits in every number.
"""

import csv
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bnnbench.errors import UserError
from bnnbench.harness import collect, environment, verdicts
from bnnbench.harness.files import write_json, writing
from bnnbench.harness.plan import Plan
from bnnbench.harness.result import DataRecord, MetricRecord, Result

NUMBERS = ("job", "seed", "metric", "value")
MEASURES = ("experiment", "metric", "unit", "higher_is_better")
DATASETS = tuple(DataRecord.model_fields)
FILES = ("numbers.csv", "measures.csv", "jobs.jsonl", "datasets.csv", "claims.json", "environments.json")


def record(plan: Plan, name: str) -> list[Path]:
    """Writes the recording `name` of the plan's results and verdicts, completely or not at all; returns its files."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise UserError(
            f"name {name!r}: it may hold only letters, digits and . _ -, begin with one of the first two,"
            " and have at most 100 characters"
        )
    target = plan.config.results / "recorded" / name
    if target.exists():
        raise UserError(f"{target}: already there; choose another name or delete it")
    results = [one for job in plan.jobs if (one := collect.read(plan, job)[0]) is not None]
    if not any(seed.metrics for result in results for seed in result.seeds):
        raise UserError(f"{plan.config.folder()}: nothing computed yet; run the workflow (snakemake) first")
    for experiment in collect.experiments(plan):
        collect.collect(plan, experiment)
    for paper_name in plan.papers():
        verdicts.write(plan, paper_name)
    partial = target.with_name(f".{name}.{os.getpid()}.partial")
    with writing(target):
        try:
            partial.mkdir(parents=True)
            _write(plan, results, partial)
            partial.rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return [target / file for file in FILES]


def is_recording(folder: Path) -> bool:
    """Whether `folder` holds a recording, and not results as jobs leave them."""
    return (folder / "jobs.jsonl").exists()


def read(folder: Path) -> list[Result]:
    """The records of a recording, without their tables and curves; `UserError` for a file that is not as written."""
    try:
        numbers: dict[tuple[int, int], dict[str, float]] = {}
        for row in _rows(folder / "numbers.csv", NUMBERS):
            numbers.setdefault((int(row["job"]), int(row["seed"])), {})[row["metric"]] = float(row["value"])
        measures: dict[str, dict[str, MetricRecord]] = {}
        for row in _rows(folder / "measures.csv", MEASURES):
            higher = {"": None, "True": True, "False": False}[row["higher_is_better"]]
            measures.setdefault(row["experiment"], {})[row["metric"]] = MetricRecord(
                unit=row["unit"], higher_is_better=higher
            )
        datasets = [DataRecord.model_validate(row) for row in _rows(folder / "datasets.csv", DATASETS)]
        lines = (folder / "jobs.jsonl").read_text(encoding="utf-8").splitlines()
        return [_result(json.loads(line), k, numbers, measures, datasets) for k, line in enumerate(lines)]
    except (OSError, ValueError, KeyError, IndexError, TypeError, ValidationError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{folder}: not a recording of this version ({first}); record the results again") from error


def _write(plan: Plan, results: Sequence[Result], folder: Path) -> None:
    datasets = list(dict.fromkeys(one for result in results for one in result.datasets))
    _table(folder / "numbers.csv", NUMBERS, _numbers(results))
    _table(folder / "measures.csv", MEASURES, _measures(results))
    _table(folder / "datasets.csv", DATASETS, ([getattr(one, name) for name in DATASETS] for one in datasets))
    lines = [json.dumps(_job(result, datasets), ensure_ascii=False) for result in results]
    (folder / "jobs.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    claims = {paper_name: verdicts.read(verdicts.path(plan, paper_name)) for paper_name in plan.papers()}
    write_json(folder / "claims.json", claims)
    used = sorted({result.environment for result in results} - {""})
    write_json(folder / "environments.json", {one: environment.noted(plan.config.folder(), one) for one in used})


def _numbers(results: Iterable[Result]) -> Iterator[Sequence[Any]]:
    for job, result in enumerate(results):
        for seed in result.seeds:
            for metric, value in seed.metrics.items():
                yield job, seed.seed, metric, repr(value)


def _measures(results: Iterable[Result]) -> Iterator[Sequence[Any]]:
    """The rows of `measures.csv`, for the metrics that have numbers."""
    seen: dict[tuple[str, str], MetricRecord] = {}
    for result in results:
        for metric in dict.fromkeys(metric for seed in result.seeds for metric in seed.metrics):
            seen.setdefault((f"{result.paper}/{result.experiment}", metric), result.metrics[metric])
    for (experiment, metric), about in seen.items():
        yield experiment, metric, about.unit, about.higher_is_better


def _job(result: Result, datasets: Sequence[DataRecord]) -> dict[str, Any]:
    """A record without what the other files hold; data sets are given by their row."""
    left_out: Any = {"metrics": True, "datasets": True, "digest": True, "seeds": {"__all__": {"metrics", "tables"}}}
    about = result.model_dump(mode="json", exclude=left_out, exclude_defaults=True)
    return {**about, "datasets": [datasets.index(one) for one in result.datasets]}


def _result(
    about: dict[str, Any],
    job: int,
    numbers: Mapping[tuple[int, int], dict[str, float]],
    measures: Mapping[str, dict[str, MetricRecord]],
    datasets: Sequence[DataRecord],
) -> Result:
    seeds = [{**seed, "metrics": numbers.get((job, seed["seed"]), {})} for seed in about.get("seeds", [])]
    used = {metric for seed in seeds for metric in seed["metrics"]}
    known = measures.get(f"{about['paper']}/{about['experiment']}", {})
    return Result.model_validate(
        {
            **about,
            "seeds": seeds,
            "metrics": {name: known[name].model_dump() for name in sorted(used)},
            "datasets": [datasets[row].model_dump() for row in about["datasets"]],
        }
    )


def _table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(["" if value is None else value for value in row] for row in rows)


def _rows(path: Path, header: Sequence[str]) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, strict=True)
        if tuple(reader.fieldnames or ()) != tuple(header):
            raise ValueError(f"{path.name} has columns {reader.fieldnames}, not {', '.join(header)}")
        yield from reader
