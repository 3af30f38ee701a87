"""Bands of functions, weights, and the iteration towards the smallest singular value."""

from typing import TYPE_CHECKING

from bnnbench.harness.charts import first_tables, panels, rows
from bnnbench.harness.collect import NotRun, Results
from bnnbench.harness.figure import PALETTE, figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

TOY, SINGULAR = "livi/toy", "livi/singular-value"
LABELS = {
    "mfvi": "mean field",
    "mfvi-tempered": "mean field, KL / 10",
    "avb": "AVB",
    "kivi": "KIVI",
    "livi": "LIVI, log det",
    "livi-smallest": "LIVI, smallest value",
    "livi-same-prior": "LIVI, HMC's prior",
    "no-entropy": "LIVI without entropy",
    "ensemble": "ensemble of 5",
    "hmc": "HMC",
}
PANELS = ("mfvi", "avb", "kivi", "livi", "livi-smallest", "no-entropy", "ensemble", "hmc")
VERTICAL = -7.5, 7.5


@figure(
    "toy_bands",
    "Functions on two clusters of points",
    "Mean of functions (line), their central 90 % (dark), with twice the mean noise on both sides (light), the true "
    "function (dashed) and the data (dots); the first seed.",
    source="Figure 1; AVB and KIVI with settings of ours",
    experiments=[TOY],
)
def toy_bands(results: Results) -> "Canvas":
    """A panel a method, in the order of the figure."""
    bands = first_tables(results, TOY, PANELS, "band")
    points = first_tables(results, TOY, PANELS, "points")
    canvas, every = panels(len(bands))
    for axes, (name, band) in zip(every, bands.items(), strict=True):
        _band(axes, band, points[name])
        axes.set(title=LABELS[name], xlim=(-1.5, 1.5), ylim=VERTICAL)
    return canvas


def _band(axes: "Axes", band: "pd.DataFrame", points: "pd.DataFrame") -> None:
    from bnnbench.data.synthetic import LONGEST, waves

    x, color = band["x"], PALETTE[0]
    axes.fill_between(x, band["low"] - band["noise"], band["high"] + band["noise"], color=color, alpha=0.2, linewidth=0)
    axes.fill_between(x, band["low"], band["high"], color=color, alpha=0.4, linewidth=0)
    axes.plot(x, band["mean"], color=color, linewidth=1.2)
    axes.plot(x, waves(LONGEST * x.to_numpy()), color="0.35", linestyle="--", linewidth=0.8)
    axes.plot(points["x"], points["y"], "o", color="0.1", markersize=1.6)


@figure(
    "toy_distances",
    "Distance of functions to those of HMC",
    "Mean Wasserstein distance of f(x) where there are points, in the gap and beyond, in the unit of y, and the "
    "correlation of weights in different layers. For HMC the distances are those of one half of its chains to the "
    "other. Points are data sets, bars their mean with its 95 % interval.",
    source="numbers behind Figure 1, of ours",
    experiments=[TOY],
)
def toy_distances(results: Results) -> "Canvas":
    """A row a method."""
    metrics = {
        "distance_inside": "distance\nat points",
        "distance_gap": "distance\nin the gap",
        "distance_outside": "distance\nbeyond",
        "correlation": "correlation\nof layers",
        "noise": "noise\n(truth 0.3)",
    }
    return rows(results, TOY, LABELS, metrics)


@figure(
    "toy_weights",
    "Weight vectors of the toy net",
    "Fifty draws of 105 weights as lines; weights are ordered by their mean under each method. First seed.",
    source="parallel coordinates in the authors' notebook",
    experiments=[TOY],
)
def toy_weights(results: Results) -> "Canvas":
    """A panel a method."""
    from matplotlib.figure import Figure as Canvas

    tables = first_tables(results, TOY, ("mfvi", "livi", "livi-smallest", "hmc"), "weights")
    canvas = Canvas(figsize=(7.2, 1.5 * len(tables) + 0.4))
    column = canvas.subplots(len(tables), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, table) in zip(column, tables.items(), strict=True):
        wide = table.pivot(index="draw", columns="weight", values="value")
        wide = wide[wide.mean().sort_values().index]
        axes.plot(range(wide.shape[1]), wide.to_numpy().T, color=PALETTE[0], alpha=0.25, linewidth=0.6)
        axes.set_ylabel(LABELS[name].replace(", ", ",\n"), rotation=0, ha="right", va="center")
    column[-1].set_xlabel("weight, in the order of means")
    return canvas


@figure(
    "singular_value",
    "The iteration towards the smallest singular value",
    "Iterated over exact value by iterations (left), and the bound that it gives (right) beside the entropy by the log "
    "determinant (dashed) and the bound by the exact value (dotted): generators at their start, d dimensions of noise. "
    "Bands span seeds.",
    source="a control that the paper lacks",
    experiments=[SINGULAR],
)
def singular_value(results: Results) -> "Canvas":
    """A line a generator."""
    from matplotlib.figure import Figure as Canvas

    names = {"d-100": "d = 100", "d-400": "d = 400", "d-4225": "d = 4,225"}
    counts = (3, 5, 12, 50, 200)
    canvas = Canvas(figsize=(7.2, 3.0))
    left, right = canvas.subplots(1, 2)
    for k, (name, label) in enumerate(names.items()):
        try:
            excess = [results.values(SINGULAR, name, f"excess_{n}") for n in counts]
            bound = [results.values(SINGULAR, name, f"bound_{n}") for n in counts]
            levels = [results.values(SINGULAR, name, what) for what in ("half_log_det", "bound")]
        except NotRun:
            continue
        for axes, series in ((left, excess), (right, bound)):
            values = [list(one.values()) for one in series]
            means = [sum(one) / len(one) for one in values]
            axes.plot(counts, means, "o-", color=PALETTE[k], label=label, markersize=4)
            axes.fill_between(
                counts, [min(one) for one in values], [max(one) for one in values], color=PALETTE[k], alpha=0.2
            )
        for level, style in zip(levels, ("--", ":"), strict=True):
            right.axhline(sum(level.values()) / len(level), color=PALETTE[k], linestyle=style, linewidth=1)
    if not left.lines:
        results.values(SINGULAR, "d-100", "excess_5")  # raises NotRun with the reason
    left.set(xscale="log", yscale="log", xlabel="iterations", ylabel="iterated / exact value")
    right.set(xscale="log", xlabel="iterations", ylabel="entropy (nats)")
    for axes in (left, right):
        axes.set_xticks(counts, [str(n) for n in counts])
        axes.minorticks_off()
    left.set_yticks([1, 2, 4, 8], ["1", "2", "4", "8"])
    left.legend()
    return canvas
