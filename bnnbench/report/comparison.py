"""A comparison of two result folders: which numbers changed beyond chance, and what else is different.

Only the `result.json` files are read or, for a recording, its files; where a job has several results, the collected
tables say which one is current. So a folder that was kept for years can still be compared.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from bnnbench.errors import UserError
from bnnbench.harness import collect, recorded, result
from bnnbench.harness.config import SCALES
from bnnbench.harness.result import MetricRecord, Result
from bnnbench.harness.statistics import Interval, discoveries, mean_interval, p_value, welch_interval
from bnnbench.report import numbers
from bnnbench.report.terminal import plain, table, word

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

Judgement = Literal["better", "worse", "changed", "no interval", "within noise", "unchanged"]
JUDGEMENTS: tuple[Judgement, ...] = get_args(Judgement)
CAPTION = (
    "Intervals are 95 % Student-t: of the differences where two seeds or more are shared (paired), otherwise Welch's. "
    "Of what {tested} t tests tell as better, worse or changed, at most 5 % is expected to be chance (Benjamini and "
    "Hochberg); the rest is within noise, even where its own interval leaves 0 out. No matter of chance, and not "
    "tested, are equal numbers and differences that are the same in every seed; one seed allows no test."
)


@dataclass(frozen=True)
class Change:
    """One metric of one variant in both folders: `difference` is second minus first."""

    variant: str
    metric: str
    unit: str
    first: Interval
    second: Interval
    difference: Interval
    paired: bool
    higher_is_better: bool | None
    """`None` also where the folders disagree."""
    judgement: Judgement = "unchanged"

    @property
    def is_tested(self) -> bool:
        """Whether the difference is tested: it varies over seeds, so that chance may explain it."""
        return self.difference.n > 1 and self.difference.half_width > 0.0


@dataclass(frozen=True)
class Switch:
    """Something other than a metric that differs between the folders."""

    variant: str
    what: str
    first: str
    second: str


@dataclass(frozen=True)
class Comparison:
    """The differences between two result folders; variants are named `scale/paper/experiment/variant`."""

    first: Path
    second: Path
    changes: tuple[Change, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    statuses: tuple[Switch, ...]
    params: tuple[Switch, ...]
    data: tuple[Switch, ...]
    environments: tuple[Switch, ...]


@dataclass
class _Variant:
    """The jobs of a variant in one folder, taken together."""

    values: dict[str, dict[int, float]] = field(default_factory=dict)
    metrics: dict[str, MetricRecord] = field(default_factory=dict)
    statuses: list[str] = field(default_factory=list)
    params: dict[str, list[str]] = field(default_factory=dict)
    data: dict[str, list[str]] = field(default_factory=dict)
    environments: list[str] = field(default_factory=list)
    seeds: dict[int, str] = field(default_factory=dict)


def compare(first: Path, second: Path) -> Comparison:
    """Compares two folders; each holds the results of one scale, or of several scales in its subfolders."""
    a, b = _variants(first), _variants(second)
    shared = [name for name in a if name in b]
    changes = _judged([change for name in shared for change in _changes(name, a[name], b[name])])
    both = [(name, a[name], b[name]) for name in shared]
    used = [sorted({one for variant in side.values() for one in variant.environments}) for side in (a, b)]
    return Comparison(
        first=first,
        second=second,
        changes=changes,
        only_first=_only(a, b),
        only_second=_only(b, a),
        statuses=_switches(both, _outcomes),
        params=_switches(both, lambda variant: variant.params),
        data=_switches(both, lambda variant: variant.data),
        environments=() if used[0] == used[1] else (Switch("", "environment", *map(", ".join, used)),),
    )


def _judged(changes: Sequence[Change]) -> tuple[Change, ...]:
    """The changes with their judgements; the false discovery rate is controlled over all tested differences."""
    told = iter(discoveries([p_value(change.difference) for change in changes if change.is_tested]))
    return tuple(
        replace(change, judgement=_judge(change, next(told) if change.is_tested else True)) for change in changes
    )


def _judge(change: Change, is_told: bool) -> Judgement:
    difference = change.difference
    if difference.mean == 0.0 and not change.is_tested:
        return "unchanged"
    if difference.n == 1:
        return "no interval"
    if not is_told:
        return "within noise"
    if change.higher_is_better is None:
        return "changed"
    return "better" if (difference.mean > 0.0) == change.higher_is_better else "worse"


def tables(comparison: Comparison) -> "list[Table]":
    """The comparison for the terminal: numbers first, then everything else that differs."""
    parts = [_changes_table(comparison)]
    for title, switches in (
        ("Status", comparison.statuses),
        ("Parameters", comparison.params),
        ("Data", comparison.data),
        ("Environment", comparison.environments),
    ):
        if switches:
            rows = [(one.variant, one.what, one.first, one.second) for one in switches]
            parts.append(_listing(title, ("Variant", "What", "A", "B"), rows))
    only = [(name, "A") for name in comparison.only_first] + [(name, "B") for name in comparison.only_second]
    return [*parts, _listing("In one folder only", ("Variant", "In"), only)] if only else parts


def _variants(folder: Path) -> dict[str, _Variant]:
    variants: dict[str, _Variant] = {}
    for record in _current(folder):
        name = f"{record.scale}/{record.paper}/{record.experiment}/{record.variant}"
        _add(variants.setdefault(name, _Variant()), record)
    return dict(sorted(variants.items()))


def _current(folder: Path) -> list[Result]:
    """One record for each job: the one with the key that the workflow collected last, or else the latest.

    After a return to earlier parameters, the latest record is that of the abandoned parameters and must not be taken.
    """
    keys = _collected_keys(folder)
    chosen: dict[tuple[str, str], Result] = {}
    for record in sorted(_results(folder), key=lambda record: record.finished):
        job = (record.scale, record.job)
        if job not in chosen or chosen[job].key != keys.get(job):
            chosen[job] = record
    return list(chosen.values())


def _collected_keys(folder: Path) -> dict[tuple[str, str], str]:
    keys: dict[tuple[str, str], str] = {}
    for path in _below(folder, "collected/*/*/jobs.parquet"):
        with suppress(UserError):  # if the table is damaged, the latest records are taken
            for row in collect.arrow_table(path, "jobs").select(["scale", "job", "key"]).to_pylist():
                keys[row["scale"], row["job"]] = row["key"]
    return keys


def _below(folder: Path, pattern: str) -> list[Path]:
    places = ("", *(f"{scale}/" for scale in SCALES))
    return [path for place in places for path in sorted(folder.glob(f"{place}{pattern}"))]


def _results(folder: Path) -> list[Result]:
    try:
        there = folder.is_dir()
    except OSError as error:
        raise UserError(f"{folder}: cannot be read: {error.strerror}") from error
    if not there:
        raise UserError(f"{folder}: no such folder; name a results folder, such as results/laptop")
    if recorded.is_recording(folder):
        return recorded.read(folder)
    paths = _below(folder, "*/*/*/*/result.json")
    if not paths:
        raise UserError(f"{folder}: holds no results; name a results folder, such as results/laptop")
    return [result.read(path) for path in paths]


def _add(variant: _Variant, record: Result) -> None:
    variant.metrics |= record.metrics
    variant.statuses = sorted({*variant.statuses, record.status})
    variant.environments = sorted({*variant.environments, record.environment} - {""})
    for key, value in record.params.items():
        variant.params[key] = sorted({*variant.params.get(key, []), _shown(value)})
    for used in record.datasets:
        origin = f"{used.provenance}, {used.checksum[:12] or used.identity}"
        variant.data[used.name] = sorted({*variant.data.get(used.name, []), origin})
    for seed in record.seeds:
        for metric, value in seed.metrics.items():
            variant.values.setdefault(metric, {})[seed.seed] = value
        variant.seeds[seed.seed] = seed.status


def _outcomes(variant: _Variant) -> dict[str, list[str]]:
    """The status of the variant and of every seed, as different seeds may have diverged in the two folders."""
    return {"status": variant.statuses, **{f"seed {seed}": [of] for seed, of in sorted(variant.seeds.items())}}


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)


def _changes(name: str, first: _Variant, second: _Variant) -> Iterable[Change]:
    for metric, values in first.values.items():
        if metric in second.values:
            about = (first.metrics.get(metric, MetricRecord()), second.metrics.get(metric, MetricRecord()))
            same = about[0].higher_is_better == about[1].higher_is_better
            a, b, difference, paired = _difference(values, second.values[metric])
            direction = about[1].higher_is_better if same else None
            yield Change(name, metric, about[1].unit, a, b, difference, paired, direction)


def _difference(first: dict[int, float], second: dict[int, float]) -> tuple[Interval, Interval, Interval, bool]:
    """Both means, second minus first, and whether it is paired; if so, only shared seeds count, also in the means."""
    shared = sorted(first.keys() & second.keys())
    if len(shared) >= 2 or (shared and min(len(first), len(second)) == 1):
        a, b = [first[seed] for seed in shared], [second[seed] for seed in shared]
        paired = mean_interval([after - before for before, after in zip(a, b, strict=True)])
        return mean_interval(a), mean_interval(b), paired, True
    a, b = list(first.values()), list(second.values())
    return mean_interval(a), mean_interval(b), welch_interval(b, a), False


def _only(these: Mapping[str, _Variant], those: Mapping[str, _Variant]) -> tuple[str, ...]:
    """Variants that only `these` have, and for shared variants the metrics that only `these` have."""
    names = [name for name in these if name not in those]
    for name in these.keys() & those.keys():
        names += [f"{name}: {metric}" for metric in these[name].values if metric not in those[name].values]
    return tuple(sorted(names))


def _switches(
    both: Iterable[tuple[str, _Variant, _Variant]], facts: Callable[[_Variant], dict[str, list[str]]]
) -> tuple[Switch, ...]:
    return tuple(
        Switch(name, what, " | ".join(a.get(what, ["none"])), " | ".join(b.get(what, ["none"])))
        for name, first, second in both
        for a, b in [(facts(first), facts(second))]
        for what in dict.fromkeys([*a, *b])
        if a.get(what) != b.get(what)
    )


def _changes_table(comparison: Comparison) -> "Table":
    """The changes by variant, without unchanged metrics; variants with the most important judgement come first."""
    right = ("A", "B", "B \u2212 A")
    title = f"A: {comparison.first}\nB: {comparison.second}"
    counted = Counter(change.judgement for change in comparison.changes)
    summary = ", ".join(f"{counted[name]} {name}" for name in JUDGEMENTS if counted[name]) or "nothing in common"
    tested = sum(change.is_tested for change in comparison.changes)
    caption = f"{summary} (unchanged numbers are not listed). {CAPTION.format(tested=tested)}"
    shown = table(title, "Variant and metric", *right, "n", "Verdict", right=right, caption=caption)
    variants: dict[str, list[Change]] = {}
    for change in sorted(comparison.changes, key=lambda change: JUDGEMENTS.index(change.judgement)):
        if change.judgement != "unchanged":
            variants.setdefault(change.variant, []).append(change)
    for variant, changes in variants.items():
        shown.add_row(plain(variant, "bold"))
        for change in changes:
            shown.add_row(*_change_line(change))
        shown.add_section()
    return shown


def _change_line(change: Change) -> "list[Text]":
    unit = f" ({change.unit})" if change.unit else ""
    return [
        plain(f"  {change.metric}{unit}"),
        plain(numbers.mean(change.first)),
        plain(numbers.mean(change.second)),
        plain(numbers.difference(change.difference)),
        plain(f"{change.difference.n}{' paired' if change.paired else ''}"),
        word(change.judgement),
    ]


def _listing(title: str, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> "Table":
    shown = table(title, *columns)
    for row in rows:
        shown.add_row(*map(plain, row))
    return shown
