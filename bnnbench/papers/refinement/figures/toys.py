"""The paper's figures of integrals and toys, redrawn from results."""

from typing import TYPE_CHECKING

from bnnbench.harness.charts import PUBLISHED, first_seed, printed
from bnnbench.harness.collect import Results
from bnnbench.harness.figure import PALETTE, figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas
    from matplotlib.image import AxesImage

TOY, INTEGRATION = "refinement/toy", "refinement/mc-integration"
LINEAR, PROBIT = "refinement/linearisation", "refinement/mpa-toy"


@figure(
    "integration",
    "Monte Carlo and probit integration of a sigmoid",
    "Upper left: standard error of draws of sigmoid(f), f ~ N(5, 10^2), against their number, by seed; diamonds are "
    "published (one stream there, too). Others: absolute error of 100 and of 10,000 draws and of the probit "
    "approximation over means and standard deviations of the logit, first seed, on one colour scale; circles mark "
    "the largest error.",
    source="Figures 4.1a and 4.2",
    experiments=[INTEGRATION],
)
def integration(results: Results) -> "Canvas":
    """The curves of all seeds and the grid of the first."""
    from matplotlib.figure import Figure as Canvas

    curve, grid = (results.table(INTEGRATION, "default", name) for name in ("curve", "grid"))
    grid = first_seed(grid)
    canvas = Canvas(figsize=(7.2, 5.2))
    (upper, many), (few, probit) = canvas.subplots(2, 2)
    for _, part in curve.groupby("seed"):
        upper.plot(part["samples"], part["standard_error"], color=PALETTE[0], alpha=0.7)
    known = {int(name.rpartition("_")[2]): value for name, value in printed(INTEGRATION, "default").items()
             if name.startswith("standard_error_")}  # fmt: skip
    upper.plot(list(known), list(known.values()), **PUBLISHED)
    upper.set(xscale="log", xlabel="draws", ylabel="standard error", ylim=(0, None))
    upper.legend()
    largest = float(grid[["100", "10000", "probit"]].max().max())
    for axes, name, title in ((few, "100", "100 draws"), (many, "10000", "10,000 draws"), (probit, "probit", "probit")):
        image = _errors(axes, grid, name, title, largest)
    canvas.colorbar(image, ax=[many, probit], label="absolute error")
    return canvas


def _errors(axes: "Axes", grid: "pd.DataFrame", name: str, title: str, largest: float) -> "AxesImage":
    errors = grid.pivot_table(index="deviation", columns="mean", values=name)
    low, high = (tuple(float(grid[axis].agg(end)) for axis in ("mean", "deviation")) for end in ("min", "max"))
    extent = (low[0], high[0], low[1], high[1])
    image = axes.imshow(errors, origin="lower", aspect="auto", extent=extent, cmap="cividis", vmin=0, vmax=largest)
    worst = grid.sort_values(name).iloc[-1]
    axes.plot(worst["mean"], worst["deviation"], "o", markerfacecolor="none", color=PALETTE[1])
    axes.set(title=f"{title}: at most {worst[name]:.3f}", xlabel="mean of the logit", ylabel="standard deviation")
    axes.grid(visible=False)
    return image


@figure(
    "toy",
    "Logistic regression in two dimensions",
    "Draws of each approximation (dots) over contours of the exact posterior that hold 50, 90 and 99 % of its mass "
    "(black), first seed; above each panel the squared MMD to exact draws (unbiased), mean over seeds.",
    source="Figure 4.5",
    experiments=[TOY],
)
def toy(results: Results) -> "Canvas":
    """A panel an approximation."""
    from matplotlib.figure import Figure as Canvas

    names = {"la": "LA", "vb": "VB", "refine": "refined", "refine-raw": "refined, raw", "hmc": "HMC"}
    canvas = Canvas(figsize=(7.2, 2.4))
    panels = canvas.subplots(1, len(names), sharex=True, sharey=True)
    for axes, (name, label), color in zip(panels, names.items(), PALETTE, strict=False):
        draws, density = (first_seed(results.table(TOY, name, table)) for table in ("draws", "density"))
        axes.plot(draws["x"], draws["y"], ".", color=color, alpha=0.5, markersize=2)
        _contours(axes, density)
        likely = density[density["log_density"] > density["log_density"].max() - 10]
        axes.set(xlim=(likely["x"].min(), likely["x"].max()), ylim=(likely["y"].min(), likely["y"].max()))
        axes.set(title=f"{label}\nMMD$^2$ {results.interval(TOY, name, 'mmd').mean:.4f}", xlabel="weight 1")
    panels[0].set(ylabel="weight 2")
    return canvas


def _contours(axes: "Axes", density: "pd.DataFrame") -> None:
    """Around the smallest regions that hold the shares of the mass."""
    import numpy as np

    log_density = density.pivot_table(index="y", columns="x", values="log_density")
    mass = np.exp(log_density.to_numpy() - log_density.to_numpy().max())
    ordered = np.sort(mass.ravel())[::-1]
    shares = np.cumsum(ordered) / ordered.sum()
    levels = [float(ordered[np.searchsorted(shares, share)]) for share in (0.99, 0.9, 0.5)]
    axes.contour(log_density.columns, log_density.index, mass, levels=levels, colors="#000000", linewidths=0.8)


@figure(
    "linearisation",
    "Draws of weights and a linearised net",
    "A Laplace approximation of all layers on a toy regression, first seed: means and bands of two standard "
    "deviations by draws of weights and by linearisation.",
    source="Figure 4.3",
    experiments=[LINEAR],
)
def linearisation(results: Results) -> "Canvas":
    """Both on one axis."""
    from matplotlib.figure import Figure as Canvas

    bands, data = (first_seed(results.table(LINEAR, "default", name)) for name in ("bands", "data"))
    canvas = Canvas(figsize=(7.2, 3.4))
    axes = canvas.subplots()
    for prefix, label, color in (("", "draws of weights", PALETTE[0]), ("linearised_", "linearised", PALETTE[1])):
        mean, deviation = bands[f"{prefix}mean"], bands[f"{prefix}deviation"]
        axes.plot(bands["x"], mean, color=color, label=label)
        axes.fill_between(bands["x"], mean - 2 * deviation, mean + 2 * deviation, color=color, alpha=0.2, linewidth=0)
    axes.plot(data["x"], data["y"], ".", color="#000000", markersize=3, label="data")
    axes.set(xlabel="x", ylabel="y", ylim=(-3, 3))
    axes.legend(ncols=3)
    return canvas


@figure(
    "mpa_toy",
    "Confidence by draws and by the multiclass probit",
    "Largest probability over two-dimensional inputs around three clusters (dots), first seed, by draws of "
    "linearised logits and by the multiclass probit approximation.",
    source="Figure 4.4",
    experiments=[PROBIT],
)
def mpa_toy(results: Results) -> "Canvas":
    """Two maps on one colour scale."""
    from matplotlib.figure import Figure as Canvas

    table, data = (first_seed(results.table(PROBIT, "default", name)) for name in ("map", "data"))
    canvas = Canvas(figsize=(7.2, 3.2))
    panels = canvas.subplots(1, 2, sharey=True)
    for axes, name in zip(panels, ("draws", "probit"), strict=True):
        values = table.pivot_table(index="y", columns="x", values=name)
        extent = (values.columns.min(), values.columns.max(), values.index.min(), values.index.max())
        image = axes.imshow(values, origin="lower", extent=extent, cmap="cividis", vmin=1 / 3, vmax=1)
        axes.plot(data["x"], data["y"], ".", color="#ffffff", markersize=2)
        axes.set(title=name, xlabel="x")
        axes.grid(visible=False)
    panels[0].set(ylabel="y")
    canvas.colorbar(image, ax=panels, label="largest probability")
    return canvas
