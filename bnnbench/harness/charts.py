"""Parts of figures that several papers share: published values, one row per variant, lines over a table's column."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bnnbench.harness import paper
from bnnbench.harness.collect import NotRun, Results
from bnnbench.harness.figure import PALETTE
from bnnbench.harness.statistics import mean_interval

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

PUBLISHED: dict[str, Any] = {
    "marker": "D",
    "linestyle": "none",
    "color": PALETTE[1],
    "markersize": 5,
    "label": "published",
}


def printed(experiment: str, variant: str) -> dict[str, float]:
    """The published values that a variant is compared with, by metric; the first value where a metric has several."""
    numbers: dict[str, float] = {}
    paper_name, _, name = experiment.partition("/")
    for row in paper.get(paper_name).published():
        if row.experiment == name and row.variant == variant and row.compared is not None:
            numbers.setdefault(row.metric, row.compared)
    return numbers


def measured(results: Results, experiment: str, variant: str, metric: str) -> dict[int, float]:
    """The values of the metric by seed; empty where there are none."""
    try:
        return results.values(experiment, variant, metric)
    except NotRun:
        return {}


def first_seed(table: "pd.DataFrame") -> "pd.DataFrame":
    """The rows of the lowest seed."""
    first: pd.DataFrame = table[table["seed"] == table["seed"].min()]
    return first


def rows(results: Results, experiment: str, variants: Mapping[str, str], metrics: Mapping[str, str]) -> "Canvas":
    """A row for each variant, a column for each metric: points are seeds, bars intervals, diamonds published values.

    Variants that the user has added to the experiment follow those of `variants`.
    """
    from matplotlib.figure import Figure as Canvas

    paper_name, _, name = experiment.partition("/")
    own = paper.get(paper_name).spec.experiments[name].variants
    ran = results.of(results.jobs, experiment)["variant"].unique()
    added = [one for one in ran if one.partition(",")[0] not in own]  # a comma ends the variant in a cell's name
    variants = {**variants, **{one: one for one in added}}
    shown = {
        variant: label
        for variant, label in variants.items()
        if any(measured(results, experiment, variant, metric) for metric in metrics)
    }
    if not shown:
        results.values(experiment, next(iter(variants)), next(iter(metrics)))  # raises NotRun with the reason
    canvas = Canvas(figsize=(7.2, 0.42 * len(shown) + 1.2))
    columns = canvas.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for axes, (metric, label) in zip(columns, metrics.items(), strict=True):
        for row, variant in enumerate(shown):
            _bar(axes, row, list(measured(results, experiment, variant, metric).values()))
            if metric in (known := printed(experiment, variant)):
                axes.plot(known[metric], row, **PUBLISHED)
        axes.set(xlabel=label)
        axes.grid(axis="y", visible=False)
    columns[0].set_yticks(range(len(shown)), list(shown.values()))
    columns[0].invert_yaxis()
    if any(metrics.keys() & printed(experiment, variant).keys() for variant in shown):
        columns[-1].plot([], [], **PUBLISHED)
        canvas.legend(handles=columns[-1].lines[-1:], loc="outside upper right")
    return canvas


def _bar(axes: "Axes", row: int, values: list[float]) -> None:
    if not values:
        return
    interval = mean_interval(values)
    spread = interval.half_width if interval.n > 1 else 0.0
    axes.barh(row, interval.mean, xerr=spread, color=PALETTE[0], alpha=0.35, capsize=3, height=0.6)
    axes.plot(values, [row] * len(values), "o", color=PALETTE[0], markersize=3)


def line(axes: "Axes", table: "pd.DataFrame", over: str, color: str, label: str, style: str = "-") -> None:
    """The mean NLL over seeds against the column `over`, and a band from the lowest seed to the highest."""
    seeds = table.groupby([over, "seed"])["nll"].mean().unstack()
    axes.plot(seeds.index, seeds.mean(axis=1), style, color=color, label=label)
    axes.fill_between(seeds.index, seeds.min(axis=1), seeds.max(axis=1), color=color, alpha=0.15, linewidth=0)


def entropies(results: Results, experiment: str, variants: Mapping[str, str], styles: Sequence[Any]) -> "Canvas":
    """A panel for each data set of the table "entropy", a line for each variant: the share of images up to an entropy.

    Shares are the means over seeds; a line has the style at its place.
    """
    from matplotlib.figure import Figure as Canvas

    tables = tables_of(results, experiment, variants, "entropy")
    names = list(dict.fromkeys(name for table in tables.values() for name in table["data"]))
    canvas = Canvas(figsize=(1.9 * len(names) + 0.6, 2.6))
    row = canvas.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for axes, name in zip(row, names, strict=True):
        for k, (variant, table) in enumerate(tables.items()):
            curve = table[table["data"] == name].groupby("share")["entropy"].mean()
            label, style = variants[variant] if axes is row[0] else None, styles[list(variants).index(variant)]
            axes.plot(curve, curve.index, color=PALETTE[k], linestyle=style, label=label, linewidth=1.3)
        axes.set(xlabel="entropy (nats)", title="test images" if name == "test" else name)
    row[0].set_ylabel("share of images")
    canvas.legend(loc="outside lower center", ncols=3, fontsize="small")
    return canvas


def tables_of(results: Results, experiment: str, variants: Iterable[str], name: str) -> "dict[str, pd.DataFrame]":
    """The table `name` of each variant that has one; raises `NotRun` with the first one's reason where none has."""
    tables: dict[str, pd.DataFrame] = {}
    missing: NotRun | None = None
    for variant in variants:
        try:
            tables[variant] = results.table(experiment, variant, name)
        except NotRun as reason:
            missing = missing or reason
    if missing is not None and not tables:
        raise missing
    return tables


def first_tables(results: Results, experiment: str, variants: Iterable[str], name: str) -> "dict[str, pd.DataFrame]":
    """As `tables_of`, with the rows of each table's lowest seed."""
    return {variant: first_seed(table) for variant, table in tables_of(results, experiment, variants, name).items()}


def panels(count: int, columns: int = 4) -> "tuple[Canvas, list[Axes]]":
    """A figure of `count` panels of functions y of x with common axes; the rest of the last row is empty."""
    from matplotlib.figure import Figure as Canvas

    columns = min(columns, count)
    lines = -(-count // columns)
    canvas = Canvas(figsize=(1.85 * columns + 0.4, 1.85 * lines + 0.5))
    grid = canvas.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    every = list(grid.flat)
    for axes in every[count:]:
        axes.axis("off")
    for axes in grid[:, 0]:
        axes.set_ylabel("y")
    for axes in every[max(0, count - columns) : count]:
        axes.set_xlabel("x")
        axes.tick_params(labelbottom=True)
    return canvas, every[:count]
