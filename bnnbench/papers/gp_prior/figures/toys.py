"""Functions of the prior, and of posteriors on the line and in the plane."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bnnbench.harness.charts import first_tables, panels, rows
from bnnbench.harness.collect import Results
from bnnbench.harness.figure import PALETTE, figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

PRIOR, GAP, PERIODIC, TREND, MOONS = (
    f"gp_prior/{name}" for name in ("prior-draws", "gap", "periodic", "trend", "moons")
)
PRIORS = {
    "global": "no kernel over inputs",
    "rbf": "RBF kernel",
    "periodic": "periodic kernel",
    "periodic-constant": "periodic kernel, net fed with 1",
    "locally-periodic": "RBF times periodic kernel",
}
METHODS = {
    "metagp": "MetaGP",
    "metagp-det": "MetaGP, det",
    "metagp-full": "MetaGP, full",
    "metagp-nuts": "MetaGP's prior, NUTS",
    "metaprior": "MetaPrior",
    "local-rbf": "local MetaGP, RBF",
    "local-rbf-det": "local RBF, det",
    "local-rbf-last": "local RBF, last layer",
    "local-rbf-narrow": "local RBF, s² = 1",
    "local-rbf-wide": "local RBF, s² = 9",
    "local-periodic": "local MetaGP, periodic",
    "local-periodic-det": "local periodic, det",
    "local-periodic-tanh": "local periodic, tanh",
    "local-periodic-constant": "local periodic, net fed with 1",
    "local-locally-periodic": "local, RBF × periodic",
    "gp": "GP, RBF",
    "gp-rbf": "GP, RBF",
    "gp-periodic": "GP, periodic",
    "gp-periodic-free": "GP, periodic, any period",
    "hmc": "NUTS, independent weights",
    "mfvi": "mean field",
    "dropout": "MC dropout",
    "ensemble": "ensemble of 5",
    "map": "point estimate",
}
OF_GAP = {
    name: METHODS[name] for name in ("mfvi", "metaprior", "metagp", "metagp-nuts", "local-rbf", "gp", "hmc", "ensemble")
}
OF_WAVES = {
    name: METHODS[name]
    for name in (
        "mfvi", "local-rbf", "local-periodic", "local-periodic-det", "local-periodic-constant", "gp-rbf", "gp-periodic"
    )
}  # fmt: skip


@figure(
    "prior_functions",
    "Functions drawn from the prior",
    "Ten functions of a net of 1-20-1 units whose weights come from the process, for several kernels over its inputs; "
    "the period is 2. With x also fed to the net, periodic weights give functions that grow like x.",
    source="of ours, for what the abstract says of periodicity",
    experiments=[PRIOR],
)
def prior_functions(results: Results) -> "Canvas":
    """A panel a kernel."""
    from matplotlib.figure import Figure as Canvas

    tables = first_tables(results, PRIOR, PRIORS, "functions")
    canvas = Canvas(figsize=(7.2, 1.25 * len(tables) + 0.5))
    column = canvas.subplots(len(tables), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, table) in zip(column, tables.items(), strict=True):
        _curves(axes, table)
        axes.set_title(PRIORS[name], fontsize=9)
        axes.set_ylabel("f(x)")
    column[-1].set_xlabel("x")
    return canvas


def _curves(axes: "Axes", table: "pd.DataFrame", color: str | None = None) -> None:
    for k, (_, one) in enumerate(table.groupby("draw")):
        axes.plot(one["x"], one["y"], color=color or PALETTE[k % len(PALETTE)], linewidth=0.7, alpha=0.8)


@figure(
    "gap_functions",
    "Two clusters of points with a gap",
    "Mean of f(x) (line), twice its standard deviation (band), the true function (dashed) and the points (dots); the "
    "gap is shaded. First seed.",
    source="of ours, for uncertainty between and beyond the points",
    experiments=[GAP],
)
def gap_functions(results: Results) -> "Canvas":
    """A panel a method."""
    bands = first_tables(results, GAP, OF_GAP, "band")
    points = first_tables(results, GAP, OF_GAP, "points")
    canvas, every = panels(len(bands))
    for axes, (name, band) in zip(every, bands.items(), strict=True):
        axes.axvspan(-0.4, 0.4, color="0.9", linewidth=0)
        low, high = band["mean"] - 2 * band["std"], band["mean"] + 2 * band["std"]
        axes.fill_between(band["x"], low, high, color=PALETTE[0], alpha=0.35, linewidth=0)
        axes.plot(band["x"], band["mean"], color=PALETTE[0], linewidth=1.2)
        _truth(axes, "gap", band["x"], points[name])
        axes.set(ylim=(-5, 5), xlim=(-2.5, 2.5))
        axes.set_title(METHODS[name], fontsize=9)
    return canvas


def _truth(axes: "Axes", name: str, x: "pd.Series[float]", points: "pd.DataFrame") -> None:
    from bnnbench.papers.gp_prior.points import CURVES

    axes.plot(x, CURVES[name].function(x.to_numpy()), color="0.3", linestyle="--", linewidth=0.8)
    axes.plot(points["x"], points["y"], "o", color="0.1", markersize=1.4)


def _waves(results: Results, experiment: str, limits: tuple[float, float]) -> "Canvas":
    bands = first_tables(results, experiment, OF_WAVES, "band")
    points = first_tables(results, experiment, OF_WAVES, "points")
    drawn = first_tables(results, experiment, OF_WAVES, "functions")
    canvas, every = panels(len(bands))
    for axes, (name, band) in zip(every, bands.items(), strict=True):
        axes.fill_between(band["x"], band["low"], band["high"], color=PALETTE[0], alpha=0.3, linewidth=0)
        if name in drawn:
            _curves(axes, drawn[name], PALETTE[1])
        axes.plot(band["x"], band["median"], color=PALETTE[0], linewidth=1.2)
        _truth(axes, experiment.partition("/")[2], band["x"], points[name])
        axes.axvline(3, color="0.6", linewidth=0.8)
        axes.set(ylim=limits, xlim=(-3, 9))
        axes.set_title(METHODS[name], fontsize=8)
    return canvas


@figure(
    "periodic_functions",
    "A periodic function beyond its points",
    "Median of f(x) (blue), its central 90 % (band), five drawn functions (orange), the true function (dashed) and the "
    "points, which end at the grey line. First seed.",
    source="of ours, for extrapolation by kernels on the inputs",
    experiments=[PERIODIC],
)
def periodic_functions(results: Results) -> "Canvas":
    """A panel a method."""
    return _waves(results, PERIODIC, (-3, 3))


@figure(
    "trend_functions",
    "A periodic kernel where the function has a trend",
    "As before. A Gaussian process with a periodic kernel cannot follow the trend; the net of the local model can.",
    source="asked for in the published review",
    experiments=[TREND],
)
def trend_functions(results: Results) -> "Canvas":
    """A panel a method."""
    return _waves(results, TREND, (-4, 7))


def _numbers(results: Results, experiment: str, metrics: Mapping[str, str]) -> "Canvas":
    return rows(results, experiment, METHODS, metrics)


@figure(
    "gap_numbers",
    "Uncertainty between two clusters",
    "Standard deviation of f(x) in the gap over that at the points, negative log density of the function in the gap, "
    "error at the points, and the bound on the log evidence for a point (of the Gaussian process the evidence). Points "
    "are seeds, bars their mean with its 95 % interval.",
    source="numbers behind the figure above",
    experiments=[GAP],
)
def gap_numbers(results: Results) -> "Canvas":
    """A row a method."""
    metrics = {
        "gap_ratio": "deviation,\ngap / points",
        "nll_gap": "NLL in the gap\n(nats)",
        "rmse_inside": "RMSE\nat points",
        "bound": "bound\n(nats a point)",
    }
    canvas = _numbers(results, GAP, metrics)
    _widely(canvas.axes[1])
    return canvas


def _beyond(results: Results, experiment: str) -> "Canvas":
    metrics = {
        "rmse_inside": "RMSE\nat points",
        "rmse_median_beyond": "RMSE of the\nmedian beyond",
        "nll_beyond": "NLL beyond\n(nats)",
        "period": "period\n(truth 2)",
    }
    canvas = _numbers(results, experiment, metrics)
    _widely(canvas.axes[2])
    return canvas


def _widely(axes: "Axes") -> None:
    """A scale for losses from about 0 to thousands."""
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xticks([0, 10, 1000], ["0", "10", "1000"])
    axes.minorticks_off()


@figure(
    "periodic_numbers",
    "Extrapolation of a periodic function",
    "Errors of the mean at the points and of the median beyond them, negative log density of the function beyond them, "
    "and the learned period. Points are seeds, bars their mean with its 95 % interval.",
    source="numbers behind the figure above",
    experiments=[PERIODIC],
)
def periodic_numbers(results: Results) -> "Canvas":
    """A row a method."""
    return _beyond(results, PERIODIC)


@figure(
    "trend_numbers",
    "Extrapolation with a kernel that does not fit",
    "As before, for a periodic function with a trend.",
    source="numbers behind the figure above",
    experiments=[TREND],
)
def trend_numbers(results: Results) -> "Canvas":
    """A row a method."""
    return _beyond(results, TREND)


@figure(
    "moons_maps",
    "Two moons",
    "Entropy of the prediction (colour; dark is certain) and the line where both classes are equally likely, with the "
    "points of both classes; no line is drawn where nothing is known. First seed.",
    source="of ours, for uncertainty away from the data",
    experiments=[MOONS],
)
def moons_maps(results: Results) -> "Canvas":
    """A panel a method."""
    from math import log

    from matplotlib.figure import Figure as Canvas

    names = {name: METHODS[name] for name in ("mfvi", "metaprior", "metagp", "local-rbf", "hmc", "ensemble")}
    maps = first_tables(results, MOONS, names, "map")
    points = first_tables(results, MOONS, names, "points")
    canvas = Canvas(figsize=(1.9 * len(maps) + 0.8, 2.3))
    row = canvas.subplots(1, len(maps), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (name, table) in zip(row, maps.items(), strict=True):
        entropy, p = (table.pivot(index="y", columns="x", values=column) for column in ("entropy", "p"))
        ends = [entropy.columns[0], entropy.columns[-1]] * 2
        picture = {"cmap": "cividis", "vmin": 0, "vmax": log(2), "origin": "lower", "extent": ends}
        mesh = axes.imshow(entropy.to_numpy(), **picture)
        decided = p.where(entropy < 0.99 * log(2))  # where nothing is known, the line would be noise
        axes.contour(p.columns, p.index, decided.to_numpy(), levels=[0.5], colors="white", linewidths=0.8)
        for label, marker in ((0, "o"), (1, "^")):
            own = points[name][points[name]["label"] == label]
            axes.plot(own["x"], own["y"], marker, color=PALETTE[1 - label], markersize=2, linestyle="none")
        axes.set_title(METHODS[name], fontsize=9)
        axes.set_xlabel("x₁")
        axes.grid(visible=False)
    row[0].set_ylabel("x₂")
    canvas.colorbar(mesh, ax=list(row), label="entropy (nats)")
    return canvas


@figure(
    "moons_numbers",
    "Two moons: accuracy and entropy",
    "Accuracy and negative log-likelihood at test points, and the mean entropy on a circle far from all points (at "
    "most 0.693). Points are seeds, bars their mean with its 95 % interval.",
    source="numbers behind the figure above",
    experiments=[MOONS],
)
def moons_numbers(results: Results) -> "Canvas":
    """A row a method."""
    metrics = {"accuracy": "accuracy (%)", "nll": "NLL (nats)", "entropy_far": "entropy far away\n(nats)"}
    return _numbers(results, MOONS, metrics)
