"""All results of an experiment as three tidy tables: numbers, jobs and curves.

A job without a result is listed with the reason.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnnbench.errors import UserError
from bnnbench.harness import history, result
from bnnbench.harness.execute import RUNNING
from bnnbench.harness.files import is_as_written, is_locked, produce_atomic, read_json, read_regular, seal
from bnnbench.harness.first_stage import FirstStage
from bnnbench.harness.history import History
from bnnbench.harness.plan import Job, Plan
from bnnbench.harness.result import Result
from bnnbench.harness.statistics import Interval, Quantity, mean_interval, stein_interval
from bnnbench.harness.values import text as as_text

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

IDENTITY = {"paper": "string", "experiment": "string", "variant": "string", "scale": "string", "job": "string"}
TABLES: dict[str, dict[str, str]] = {
    "results": {
        **IDENTITY,
        "key": "string",
        "seed": "int64",
        "metric": "string",
        "value": "float64",
        "unit": "string",
        "higher_is_better": "bool",
        "provenance": "string",
    },
    "jobs": {
        **IDENTITY,
        "key": "string",
        "status": "string",
        "reason": "string",
        "seeds": "int64",
        "params": "string",
        "datasets": "string",
        "provenance": "string",
        "environment": "string",
        "device": "string",
        "threads": "int64",
        "wall_seconds": "float64",
        "cpu_seconds": "float64",
        "peak_memory_mb": "float64",
        "energy_joules": "float64",
        "finished": "float64",
        "warnings": "string",
    },
    "history": {**IDENTITY, "seed": "int64", "step": "int64", "name": "string", "value": "float64"},
}


class NotRun(Exception):
    """Numbers that a claim or a figure needs do not exist; the message says which and why."""


def folder(plan: Plan, experiment: str) -> Path:
    """The folder with the tables of `experiment` (`paper/name`)."""
    return plan.config.folder() / "collected" / experiment


def collect(plan: Plan, experiment: str) -> None:
    """Writes the tables of one experiment from the results of its jobs."""
    for name, content in rows_of(plan, experiment).items():
        write_table(folder(plan, experiment) / f"{name}.parquet", name, content)


def rows_of(plan: Plan, experiment: str) -> dict[str, list[dict[str, Any]]]:
    """The rows of the tables of one experiment, from the results of its jobs."""
    jobs = [job for job in plan.jobs if f"{job.paper}/{job.experiment}" == experiment]
    rows: dict[str, list[dict[str, Any]]] = {"results": [], "jobs": [], "history": []}
    for job in jobs:
        record, reason = read(plan, job)
        curves = history.read(plan.folder(job) / "history.jsonl") if record and record.seeds else History(())
        rows["jobs"].append(_job_row(job, record, reason, _lost_curves(plan, job, record, curves) if record else []))
        rows["history"] += _history_rows(job, curves)
        rows["results"] += _metric_rows(job, record) if record else ()
    return rows


def experiments(plan: Plan) -> list[str]:
    """The experiments of a plan, as `paper/name`, in its order."""
    return list(dict.fromkeys(f"{job.paper}/{job.experiment}" for job in plan.jobs))


def join(plan: Plan, more: list[dict[str, Any]]) -> None:
    """Writes `results.parquet`: the numbers of all experiments, and `more` rows, in one table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts = [arrow_table(folder(plan, experiment) / "results.parquet", "results") for experiment in experiments(plan)]
    parts.append(pa.Table.from_pylist(more, schema=_schema("results")))
    path = plan.config.folder() / "results.parquet"
    produce_atomic(path, lambda partial: pq.write_table(pa.concat_tables(parts), partial))
    seal(path)


def read(plan: Plan, job: Job) -> tuple[Result | None, str]:
    """The result of `job` and an empty text, or `None` and the reason why there is none."""
    path = plan.result(job)
    if path.exists():
        try:
            return result.read_of(job, path), ""
        except UserError as error:
            return None, f"missing: {error}"
    failure = read_failure(plan, job)
    if failure is not None:
        return None, f"failed: {failure}"
    if is_locked(plan.folder(job) / ".lock"):
        return None, "missing: it is being computed now"
    if any(path.parent.parent.glob("*/result.json")):
        return None, "missing: computed with other parameters, code or data only; run the workflow"
    return None, "missing: not computed yet"


def read_failure(plan: Plan, job: Job) -> str | None:
    """Why the last attempt to compute exactly this job failed; `None` if it did not."""
    folder = plan.folder(job)
    path = folder / "failure.json"
    try:
        if path.exists():
            return str(read_json(path)["reason"])
    except (ValueError, KeyError, TypeError, OSError) as error:
        return f"{path} cannot be read ({error}); run the job again"
    if (folder / RUNNING).exists() and not is_locked(folder / ".lock"):
        return "it was killed, perhaps because memory ran out; run it again, and it goes on from its checkpoint"
    return None


def collected_jobs(plan: Plan, experiment: str) -> set[tuple[str, str]]:
    """Names and keys of the jobs that the tables of an experiment were collected from."""
    table = arrow_table(folder(plan, experiment) / "jobs.parquet", "jobs")
    return set(zip(table["job"].to_pylist(), table["key"].to_pylist(), strict=True))


def arrow_table(path: Path, name: str) -> "pa.Table":
    """A collected table; `UserError` where the file is missing, damaged or holds another table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:  # without threads: a thread of pyarrow that still holds the content when Python ends would abort the process
        # `pq.read_table` would import pandas, which takes half a CPU-second and is not needed here.
        table = pq.ParquetFile(pa.BufferReader(read_regular(path)), pre_buffer=False).read(use_threads=False)
    except Exception as error:  # pyarrow fails in many ways on a damaged file
        raise UserError(f"{path}: damaged ({str(error).splitlines()[0]:.80}); delete it and run: snakemake") from error
    if other := sorted(set(_schema(name)) - set(table.schema), key=lambda column: column.name):
        columns = ", ".join(column.name for column in other)
        raise UserError(f"{path}: lacks the columns {columns}, or holds others; delete it and run: snakemake")
    return table


def write_table(path: Path, name: str, rows: list[dict[str, Any]]) -> None:
    """Writes rows as Parquet with the columns of the table `name`, so that an empty table also has its schema."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    produce_atomic(path, lambda partial: pq.write_table(pa.Table.from_pylist(rows, schema=_schema(name)), partial))
    seal(path)


def _schema(name: str) -> Any:
    import pyarrow as pa

    return pa.schema([(column, pa.type_for_alias(kind)) for column, kind in TABLES[name].items()])


def _identity(job: Job) -> dict[str, Any]:
    return {
        "paper": job.paper,
        "experiment": job.experiment,
        "variant": job.variant,
        "scale": job.scale,
        "job": job.id,
    }


def _provenance(record: Result) -> str:
    return ", ".join(sorted({data.provenance for data in record.datasets}))


def _metric_rows(job: Job, record: Result) -> Iterator[dict[str, Any]]:
    for seed in record.seeds:
        for name, value in seed.metrics.items():
            yield {
                **_identity(job),
                "key": record.key,
                "seed": seed.seed,
                "metric": name,
                "value": value,
                "unit": record.metrics[name].unit,
                "higher_is_better": record.metrics[name].higher_is_better,
                "provenance": _provenance(record),
            }


def _job_row(job: Job, record: Result | None, reason: str, warnings: list[str]) -> dict[str, Any]:
    if record is None:
        status, _, text = reason.partition(": ")
        return {**_identity(job), "key": job.key, "status": status, "reason": as_text(text), "seeds": len(job.seeds)}
    same = ("key", "status", "reason", "environment", "device", "threads", "wall_seconds", "cpu_seconds")
    return {
        **_identity(job),
        **{name: getattr(record, name) for name in same},
        "seeds": len(job.seeds),
        "params": json.dumps(record.params),
        "datasets": json.dumps([data.model_dump() for data in record.datasets]),
        "provenance": _provenance(record),
        "peak_memory_mb": record.peak_memory_mb,
        "energy_joules": record.energy_joules,
        "finished": record.finished,
        "warnings": json.dumps([*record.warnings, *warnings]),
    }


def _history_rows(job: Job, curves: History) -> Iterator[dict[str, Any]]:
    for row in curves.rows:
        for name, value in history.curves(row):
            yield {**_identity(job), "seed": row["seed"], "step": row["step"], "name": name, "value": value}


def _lost_curves(plan: Plan, job: Job, record: Result, curves: History) -> list[str]:
    """A warning where the curves are not as the job left them."""
    whole = len(curves.rows) == record.curve_rows and not curves.damage
    changed = bool(record.curve_rows) and whole and not is_as_written(plan.folder(job) / "history.jsonl")
    if record.curve_rows is None or (whole and not changed):
        return []
    what = "some were changed" if changed else f"{len(curves.rows)} can be read"
    return [
        f"of {record.curve_rows} rows of its curves {what}; to have them again, delete {plan.folder(job)} and run"
        " the job"
    ]


def _left_table(path: Path) -> "pd.DataFrame":
    import pandas as pd

    try:
        if not is_as_written(path):
            raise ValueError("it was changed since it was written")
        return pd.read_parquet(path)
    except Exception as error:  # pyarrow fails in many ways on a damaged file
        again = path.parent.parent.parent
        raise NotRun(f"{path}: damaged; delete {again} to have the job computed again") from error


def _by_seed(
    quantity: Quantity,
    operands: Sequence[Mapping[int, float]],
    of: Callable[[list[float]], float],
    seeds: Sequence[int] | None = None,
) -> list[float]:
    """The quantity for each seed that all operands share (among `seeds`, if given); `NotRun` where there is none."""
    shared = set.intersection(*(set(values) for values in operands))
    chosen = sorted(shared if seeds is None else shared.intersection(seeds))
    if not chosen:
        raise NotRun(f"{quantity.name}: its parts share no seed")
    return [of([values[seed] for values in operands]) for seed in chosen]


@dataclass(frozen=True)
class Results:
    """The tables of several experiments, with the queries that claims and figures use.

    The tables hold the seeds that the configuration names. Seeds that were added to settle a claim are in `added`. They
    count only for the comparisons whose first stages are in `stages`, which is keyed by the name of the quantity.
    """

    scale: str
    metrics: "pd.DataFrame"
    jobs: "pd.DataFrame"
    history: "pd.DataFrame"
    folder: Path
    added: "Results | None" = None
    stages: Mapping[str, FirstStage] = field(default_factory=dict)

    @classmethod
    def load(cls, plan: Plan, experiments: Iterable[str]) -> "Results":
        """Reads the collected tables of `experiments` (`paper/name`); one without tables counts as not run."""
        import pandas as pd

        places = [folder(plan, experiment) for experiment in experiments]
        frames = {}
        for name, columns in TABLES.items():
            paths = [place / f"{name}.parquet" for place in places]
            read = [arrow_table(path, name).to_pandas() for path in paths if path.exists()]
            parts = [part for part in read if len(part)]
            frames[name] = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(columns))
        added = [job.id for job in plan.jobs if job.is_added]

        def those(are_added: bool) -> "Results":
            parts = {name: frame[frame["job"].isin(added) == are_added] for name, frame in frames.items()}
            place = plan.config.folder()
            return cls(plan.config.scale, parts["results"], parts["jobs"], parts["history"], place)

        return replace(those(False), added=those(True))

    @classmethod
    def gathered(cls, plan: Plan, experiments: Iterable[str]) -> "Results":
        """The results of the configured seeds, read from the jobs' records and not from collected tables."""
        import pandas as pd

        parts = [rows_of(plan, experiment) for experiment in experiments]
        frames = {
            name: pd.DataFrame([row for rows in parts for row in rows[name]], columns=list(columns))
            for name, columns in TABLES.items()
        }
        return cls(plan.config.scale, frames["results"], frames["jobs"], frames["history"], plan.config.folder())

    def settled(self, stages: Iterable[FirstStage]) -> "Results":
        """These results for a claim that has the given first stages."""
        return replace(self, stages={stage.quantity: stage for stage in stages})

    def values(self, experiment: str, variant: str, metric: str) -> dict[int, float]:
        """The metric of each seed that finished; raises `NotRun` with the reason where there is none."""
        by_seed = self._finished(experiment, variant, metric)
        if not by_seed:
            raise NotRun(f"{experiment}/{variant}: {self._why_not(experiment, variant, metric)}")
        return by_seed

    def interval(self, experiment: str, variant: str, metric: str) -> Interval:
        """Mean over seeds with its Student-t interval."""
        return self._interval(Quantity(experiment, ((variant, metric),), variant), lambda values: values[0])

    def difference(self, experiment: str, metric: str, first: str, second: str) -> Interval:
        """Interval of `first - second` over the seeds that both variants finished (paired)."""
        return self.contrast(experiment, metric, {first: 1, second: -1})

    def contrast(self, experiment: str, metric: str, weights: Mapping[str, float]) -> Interval:
        """Interval of a weighted sum of variants over the seeds that all of them finished (paired)."""
        form = " ".join(f"{weight:+g} {variant}" for variant, weight in weights.items())
        return self._interval(
            Quantity(experiment, tuple((variant, metric) for variant in weights), form),
            lambda values: sum(weight * value for weight, value in zip(weights.values(), values, strict=True)),
        )

    def ratio(self, experiment: str, metric: str, first: str, second: str) -> Interval:
        """Interval of `first / second` over the seeds that both variants finished (paired)."""
        quantity = Quantity(experiment, ((first, metric), (second, metric)), f"{first} / {second}", is_ratio=True)
        return self._interval(quantity, lambda values: values[0] / values[1])

    def between(self, experiment: str, variant: str, first: str, second: str) -> Interval:
        """Interval of `first - second` over the seeds of one variant, for two of its metrics."""
        quantity = Quantity(experiment, ((variant, first), (variant, second)), f"{variant}, {first} - {second}")
        return self._interval(quantity, lambda values: values[0] - values[1])

    def _interval(self, quantity: Quantity, of: Callable[[list[float]], float]) -> Interval:
        """The interval of a quantity over the seeds that all its operands finished.

        Where the quantity has a first stage and all of its seeds were run, the interval is that of both stages; until
        then it uses only the configured seeds.
        """
        stage = self.stages.get(quantity.name)
        operands = [self.values(quantity.experiment, *operand) for operand in quantity.operands]
        if stage is not None and self.added is not None and self.added.has_run(stage):
            more = [self.added._finished(quantity.experiment, *operand) for operand in quantity.operands]
            operands = [first | second for first, second in zip(operands, more, strict=True)]
            by_seed = _by_seed(quantity, operands, of, stage.seeds)
            settled = stein_interval(by_seed, len(stage.first), stage.deviation)
            return replace(settled, lost=len(stage.seeds) - len(by_seed), of=quantity)
        by_seed = _by_seed(quantity, operands, of)
        planned = min(self._planned(quantity.experiment, variant) for variant, _ in quantity.operands)
        return replace(mean_interval(by_seed), lost=planned - len(by_seed), of=quantity)

    def has_run(self, stage: FirstStage) -> bool:
        """Whether every seed that a first stage asks for was run; a seed that diverged counts as run."""
        return set(stage.added()) <= self.done()

    def done(self) -> set[str]:
        """The jobs that were run, including those in which a seed diverged."""
        return set(self.jobs.loc[self.jobs["status"].isin(["ok", "diverged"]), "job"])

    def _finished(self, experiment: str, variant: str, metric: str) -> dict[int, float]:
        table = self.of(self.metrics, experiment, variant)
        chosen = table[table["metric"] == metric]
        return {int(seed): float(value) for seed, value in zip(chosen["seed"], chosen["value"], strict=True)}

    def table(self, experiment: str, variant: str, name: str) -> "pd.DataFrame":
        """A table that the jobs of a variant wrote, with a column `seed`; raises `NotRun` where there is none."""
        import pandas as pd

        jobs = self.of(self.jobs, experiment, variant)
        parts = [
            _left_table(path).assign(seed=int(path.parent.name.removeprefix("seed-")))
            for job, key in zip(jobs["job"], jobs["key"], strict=True)
            for path in sorted((self.folder / job / key / "tables").glob(f"seed-*/{name}.parquet"))
        ]
        if not parts:
            raise NotRun(f"{experiment}/{variant}: {self._why_not(experiment, variant, name)}")
        return pd.concat(parts, ignore_index=True)

    def stand_ins(self) -> list[str]:
        """One line for each stand-in that was used for a missing data set."""
        used = [json.loads(datasets) for datasets in self.jobs["datasets"].dropna()]
        return sorted({data["note"] for job in used for data in job if data["provenance"] == "bundled"})

    def warnings(self, experiment: str, variant: str) -> list[str]:
        """The warnings of the jobs of a variant."""
        cells = self.of(self.jobs, experiment, variant)["warnings"].dropna()
        return [text for texts in cells for text in json.loads(texts)]

    def _planned(self, experiment: str, variant: str) -> int:
        return int(self.of(self.jobs, experiment, variant)["seeds"].sum())

    def curves(self, experiment: str, variant: str, name: str) -> "pd.DataFrame":
        """A curve with one column per seed and one row per step; raises `NotRun` where nothing was logged."""
        table = self.of(self.history, experiment, variant)
        chosen = table[table["name"] == name]
        if len(chosen) == 0:
            raise NotRun(f"{experiment}/{variant}: {self._why_not(experiment, variant, name)}")
        return chosen.pivot_table(index="step", columns="seed", values="value")

    @staticmethod
    def of(table: "pd.DataFrame", experiment: str, variant: str | None = None) -> "pd.DataFrame":
        """The rows of `table` of one experiment (`paper/name`), or of one of its variants."""
        chosen = table[(table["paper"] + "/" + table["experiment"]) == experiment]
        return chosen if variant is None else chosen[chosen["variant"] == variant]

    def _why_not(self, experiment: str, variant: str, name: str) -> str:
        jobs = self.of(self.jobs, experiment, variant)
        if len(jobs) == 0:
            return f"not part of this run at scale {self.scale}"
        bad = jobs[jobs["status"] != "ok"]
        if len(bad):
            return f"{bad['status'].iloc[0]}: {bad['reason'].iloc[0]}"
        return f"has no {name}"
