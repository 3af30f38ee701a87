"""One experiment of a paper as a table: our values, the published ones, the differences, and the state of every job."""

import json
import re
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bnnbench.harness import registry
from bnnbench.harness.collect import Results
from bnnbench.harness.paper import Paper, Published
from bnnbench.harness.plan import Job, Plan
from bnnbench.harness.statistics import Interval, mean_interval
from bnnbench.report.records import STATUSES, Cell, Column, Comparand, Cost, JobState, Row, Study, total, weakest

ORIENTATION = (
    "Scale {scale}: the settings differ from the published ones (smaller nets, less data, fewer steps or seeds). "
    "Published values are shown for orientation; the difference is not a reproduction test."
)
OVERRIDDEN = (
    "The configuration overrides {names}: where that departs from the published settings, the difference is not a "
    "reproduction test."
)
ADDED = (
    "{count} jobs of one more seed each settle claims. They count in the verdicts on these, whose intervals allow for "
    "it, and not in this table."
)
STAND_IN = "Computed on stand-in data ({variants}): these numbers are of another data set than the published ones."

COLLECTED_EARLIER = (
    "collected with other parameters, code or data, like the verdicts and figures; run the workflow again"
)
Values = dict[tuple[str, str], dict[int, float]]


def study(plan: Plan, publication: Paper, name: str) -> Study:
    """The experiment `name` of the paper `publication`, from its collected tables."""
    spec = publication.spec.experiments[name]
    jobs = [job for job in plan.jobs if (job.paper, job.experiment) == (publication.name, name)]
    results = Results.load(plan, [f"{publication.name}/{name}"])
    tables = [results.jobs, *([results.added.jobs] if results.added is not None else [])]
    recorded = {row["job"]: row for table in tables for row in table.to_dict("records")}
    states = tuple(_state(job, recorded.get(job.id)) for job in jobs)
    published = [row for row in publication.published() if row.experiment == name]
    variants = list(dict.fromkeys(job.variant for job in jobs))
    columns = _columns(publication, name, published, variants)
    params = {job.variant: job.params.model_dump(mode="json") for job in jobs}
    used = {job.variant: job.datasets for job in jobs}
    common = _common(list(params.values()))
    values = _values(results, jobs)
    of = {variant: [state for state in states if state.variant == variant] for variant in variants}
    rows = tuple(
        _row(
            [job for job in jobs if job.variant == variant and not job.is_added],
            of[variant],
            tuple(
                _cell(column, variant, values, published, used[variant], _stands_in(of[variant])) for column in columns
            ),
            {key: value for key, value in params[variant].items() if key not in common},
        )
        for variant in variants
    )
    kept = [k for k in range(len(columns)) if any(row.cells[k].ours or row.cells[k].published for row in rows)]
    return Study(
        name=name,
        title=spec.title,
        source=spec.source,
        deviations=tuple(spec.deviations),
        notes=_notes(plan, f"{publication.name}/{name}", states),
        columns=tuple(_filled(columns[k], [row.cells[k] for row in rows]) for k in kept),
        rows=tuple(replace(row, cells=tuple(row.cells[k] for k in kept)) for row in rows),
        params=common,
        jobs=states,
    )


def difference(ours: Interval, published: float) -> Interval:
    """Ours minus the published value, which is treated as exact, as papers mostly do not state their number of runs."""
    return Interval(ours.mean - published, ours.low - published, ours.high - published, ours.n)


def _state(job: Job, row: Mapping[Hashable, Any] | None) -> JobState:
    if row is None:
        row = {"status": "missing", "reason": "its results have not been collected yet"}
    elif row["key"] != job.key:
        row = {"status": "stale", "reason": COLLECTED_EARLIER}
    energy = row.get("energy_joules")
    return JobState(
        job=job.id,
        variant=job.variant,
        status=_text(row, "status"),
        reason=_text(row, "reason"),
        cost=Cost(
            _number(row, "wall_seconds"),
            _number(row, "cpu_seconds"),
            _number(row, "peak_memory_mb"),
            None if energy is None or energy != energy else float(energy),
        ),
        provenance=tuple(filter(None, _text(row, "provenance").split(", "))),
        environment=_text(row, "environment"),
        finished=_number(row, "finished"),
        warnings=tuple(json.loads(_text(row, "warnings") or "[]")),
    )


def _text(row: Mapping[Hashable, Any], name: str) -> str:
    value = row.get(name)
    return value if isinstance(value, str) else ""  # a job without a result holds NaN or None here


def _number(row: Mapping[Hashable, Any], name: str) -> float:
    value = row.get(name)
    return float(value) if isinstance(value, int | float) and value == value else 0.0


def _values(results: Results, jobs: Sequence[Job]) -> Values:
    keys = {job.id: job.key for job in jobs}
    values_by_cell: Values = {}
    for row in results.metrics.to_dict("records"):
        if keys.get(row["job"]) == row["key"]:
            values_by_cell.setdefault((row["variant"], row["metric"]), {})[int(row["seed"])] = float(row["value"])
    return values_by_cell


def _columns(
    publication: Paper, name: str, published: Sequence[Published], variants: Sequence[str]
) -> tuple[Column, ...]:
    printed = {row.metric for row in published if row.variant in variants}
    return tuple(
        Column(
            metric.name, metric.unit, metric.higher_is_better, metric.description, metric.name in printed, metric.group
        )
        for metric in publication.declaration(name).metrics
    )


def _filled(column: Column, cells: Sequence[Cell]) -> Column:
    return replace(
        column,
        has_ours=any(cell.ours for cell in cells),
        has_difference=any(one.difference for cell in cells for one in cell.published),
    )


def _cell(
    column: Column,
    variant: str,
    values: Values,
    published: Sequence[Published],
    datasets: Sequence[str],
    stand_in: bool,
) -> Cell:
    seeds = values.get((variant, column.name))
    ours = mean_interval(list(seeds.values())) if seeds else None
    printed = [row for row in published if (row.variant, row.metric) == (variant, column.name)]
    return Cell(ours, tuple(_comparand(row, ours, column, datasets, stand_in) for row in printed))


def _stands_in(states: Sequence[JobState]) -> bool:
    """Whether a variant was computed on stand-ins for the published data."""
    return weakest(name for state in states for name in state.provenance) not in ("", "official", "copy")


def _comparand(
    row: Published, ours: Interval | None, column: Column, datasets: Sequence[str], stand_in: bool
) -> Comparand:
    if row.compared is None:
        why = "not available to us" if row.value is None else "recalled and not checked, so compared with nothing"
        return Comparand(row, None, why)
    if row.unit != column.unit:
        return Comparand(row, None, f"the units differ: ours {column.unit or 'none'}, published {row.unit or 'none'}")
    if stand_in:
        return Comparand(row, None, "ours is of stand-in data")
    if (named := _registered(row.dataset)) and named not in datasets:
        return Comparand(row, None, f"another data set: ours is {', '.join(datasets) or 'none'}")
    gap = difference(ours, row.compared) if ours else None
    return Comparand(row, gap, "", _flag(gap, row.std, column.higher_is_better) if gap else "")


def _flag(gap: Interval, std: float | None, higher_is_better: bool | None) -> str:
    """A text where ours is better or worse than the published value by more than the spread of both; else empty."""
    if higher_is_better is None or gap.n == 1 or abs(gap.mean) <= gap.half_width + (std or 0.0):
        return ""
    return "better than published" if (gap.mean > 0) == higher_is_better else "worse than published"


def _registered(printed: str) -> str:
    """The registered data set that a paper calls `printed` ("CIFAR-10": cifar10); empty where there is none."""
    letters = {re.sub(r"[^a-z0-9]", "", name): name for name in registry.datasets()}
    return letters.get(re.sub(r"[^a-z0-9]", "", printed.lower()), "")


def _row(jobs: Sequence[Job], states: Sequence[JobState], cells: tuple[Cell, ...], params: dict[str, Any]) -> Row:
    statuses = Counter(state.status for state in states)
    provenances = {name for state in states for name in state.provenance}
    return Row(
        variant=jobs[0].variant,
        status=max(statuses, key=STATUSES.index),
        statuses=dict(statuses),
        reasons=tuple(dict.fromkeys(state.reason for state in states if state.reason)),
        seeds=max((cell.ours.n for cell in cells if cell.ours), default=0),
        seeds_planned=sum(len(job.seeds) for job in jobs),
        cells=cells,
        provenance=tuple(sorted(provenances)),
        cost=total(state.cost for state in states),
        params=params,
    )


def _common(params: Sequence[dict[str, Any]]) -> dict[str, Any]:
    first, *others = params
    return {key: value for key, value in first.items() if all(key in other and other[key] == value for other in others)}


def _notes(plan: Plan, name: str, states: Sequence[JobState]) -> tuple[str, ...]:
    notes = []
    if plan.config.scale != "paper":
        notes.append(ORIENTATION.format(scale=plan.config.scale))
    if overridden := plan.config.params.get(name):
        notes.append(OVERRIDDEN.format(names=", ".join(overridden)))
    stand_ins = {state.variant: None for state in states if _stands_in([state])}
    if stand_ins:
        notes.append(STAND_IN.format(variants=", ".join(stand_ins)))
    if added := sum(job.is_added for job in plan.jobs if f"{job.paper}/{job.experiment}" == name):
        notes.append(ADDED.format(count=added))
    return tuple(notes)
