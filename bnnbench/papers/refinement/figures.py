"""The paper's figures and tables redrawn from results, and that of the control."""

from typing import TYPE_CHECKING

from bnnbench.harness import paper
from bnnbench.harness.collect import NotRun, Results
from bnnbench.harness.figure import PALETTE, figure
from bnnbench.harness.statistics import mean_interval

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

FMNIST, MISMATCH, LENGTH = "refinement/fmnist", "refinement/prior-mismatch", "refinement/flow-length"
LAYERS, TOY, INTEGRATION = "refinement/all-layer", "refinement/toy", "refinement/mc-integration"
LINEAR, PROBIT = "refinement/linearisation", "refinement/mpa-toy"
METHODS = {
    "map": "MAP",
    "map-matched": "MAP, target's prior",
    "temperature": "temperature scaling",
    "la": "LA",
    "la-many": "LA, many draws",
    "la-probit": "LA, multiclass probit",
    "la-matched": "LA, target's prior",
    "refine-1": "Refine-1",
    "refine-5": "Refine-5",
    "refine-10": "Refine-10",
    "refine-30": "Refine-30",
    "hmc-10": "HMC, 10 draws",
    "hmc": "HMC",
}
CONTROL = {
    "la-published": "LA as published",
    "la-target-prior": "LA, target's prior, mean left",
    "refine-5": "Refine-5",
    "refine-10": "Refine-10",
    "la-matched": "LA, target's prior and mode",
    "hmc": "HMC again",
}


@figure(
    "fmnist_methods",
    "Posteriors of the last layer on Fashion-MNIST",
    "Negative log-likelihood, calibration error as published (100 bins, the last one left out) and squared MMD to "
    "HMC as published: points are seeds, bars the mean with its 95 % Student-t interval, diamonds what the first "
    "author's dissertation prints for its own setting (60,000 images).",
    source="Tables 4.1 to 4.3 and E.1",
    experiments=[FMNIST],
)
def fmnist_methods(results: Results) -> "Canvas":
    """A row a method, a column a metric."""
    metrics = {"nll": "NLL (nats)", "ece_published": "calibration error (%)", "mmd_published": "squared MMD to HMC"}
    return _rows(results, FMNIST, METHODS, metrics)


@figure(
    "prior_mismatch",
    "The flow or the prior?",
    "Squared MMD to HMC (unbiased, one width for all) and negative log-likelihood on Fashion-MNIST: points are "
    "seeds, bars the mean with its 95 % Student-t interval. If refinement mended what no Gaussian can be, the "
    "Gaussian with the prior and the mode of the target would stay away from HMC.",
    source="a control for Table 4.3",
    experiments=[MISMATCH],
)
def prior_mismatch(results: Results) -> "Canvas":
    """A row a method."""
    return _rows(results, MISMATCH, CONTROL, {"mmd": "squared MMD to HMC", "nll": "NLL (nats)"})


def _rows(results: Results, experiment: str, variants: dict[str, str], metrics: dict[str, str]) -> "Canvas":
    from matplotlib.figure import Figure as Canvas

    shown = {variant: label for variant, label in variants.items() if _has(results, experiment, variant)}
    if not shown:
        results.values(experiment, next(iter(variants)), "nll")  # raises NotRun with the reason
    canvas = Canvas(figsize=(7.2, 0.42 * len(shown) + 1.2))
    columns = canvas.subplots(1, len(metrics), sharey=True)
    for axes, (metric, label) in zip(columns, metrics.items(), strict=True):
        _column(axes, results, experiment, list(shown), metric)
        axes.set(xlabel=label)
        axes.grid(axis="y", visible=False)
    columns[0].set_yticks(range(len(shown)), list(shown.values()))
    columns[0].invert_yaxis()
    columns[-1].plot([], [], "D", color=PALETTE[1], label="published")
    canvas.legend(loc="outside upper right")
    return canvas


def _column(axes: "Axes", results: Results, experiment: str, variants: list[str], metric: str) -> None:
    room = paper.get("refinement")
    printed = {
        row.variant: row.value
        for row in room.published()
        if f"refinement/{row.experiment}" == experiment and row.metric == metric and row.verified
    }
    for row, variant in enumerate(variants):
        try:
            values = list(results.values(experiment, variant, metric).values())
        except NotRun:
            continue
        interval = mean_interval(values)
        spread = interval.half_width if interval.n > 1 else 0.0
        axes.barh(row, interval.mean, xerr=spread, color=PALETTE[0], alpha=0.35, capsize=3, height=0.6)
        axes.plot(values, [row] * len(values), "o", color=PALETTE[0], markersize=3)
        if variant in printed:
            axes.plot(printed[variant], row, "D", color=PALETTE[1], markersize=5)


def _has(results: Results, experiment: str, variant: str) -> bool:
    try:
        return bool(results.values(experiment, variant, "nll"))
    except NotRun:
        return False


@figure(
    "integration",
    "Monte Carlo and probit integration of a sigmoid",
    "Left: standard error of draws of sigmoid(f), f ~ N(5, 10^2), against their number; the mark is the printed 0.08 "
    "at 30. Right: error of 100 draws and of the probit approximation over means and standard deviations of the "
    "logit, by colour (the same scale).",
    source="Figures 4.1a and 4.2",
    experiments=[INTEGRATION],
)
def integration(results: Results) -> "Canvas":
    """The first seed's curve and grid."""
    from matplotlib.figure import Figure as Canvas

    curve, grid = (results.table(INTEGRATION, "default", name) for name in ("curve", "grid"))
    grid = grid[grid["seed"] == grid["seed"].min()]
    canvas = Canvas(figsize=(7.2, 3.0))
    left, middle, right = canvas.subplots(1, 3, width_ratios=(1.2, 1, 1.1))
    for _, part in curve.groupby("seed"):
        left.plot(part["samples"], part["standard_error"], color=PALETTE[0], alpha=0.7)
    left.plot(30, 0.08, "D", color=PALETTE[1], label="published")
    left.set(xscale="log", xlabel="draws", ylabel="standard error", ylim=(0, None))
    left.legend()
    largest = float(grid[["100", "probit"]].max().max())
    for axes, name, title in ((middle, "100", "100 draws"), (right, "probit", "probit")):
        errors = grid.pivot_table(index="deviation", columns="mean", values=name)
        extent = (errors.columns.min(), errors.columns.max(), errors.index.min(), errors.index.max())
        image = axes.imshow(errors, origin="lower", aspect="auto", extent=extent, cmap="cividis", vmin=0, vmax=largest)
        axes.set(title=title, xlabel="mean of the logit")
        axes.grid(visible=False)
    middle.set(ylabel="standard deviation")
    canvas.colorbar(image, ax=right, label="absolute error")
    return canvas


@figure(
    "flow_length",
    "Length and base of the flow",
    "Left: negative log-likelihood against the length of the flow, from the Laplace approximation and from N(0, I). "
    "Right: time of the fit. Means over seeds with 95 % Student-t intervals.",
    source="Figure 4.7 (on CIFAR-10 there)",
    experiments=[LENGTH],
)
def flow_length(results: Results) -> "Canvas":
    """Lengths that were run."""
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(7.2, 3.2))
    for axes, metric, label in zip(
        canvas.subplots(1, 2), ("nll", "fit_seconds"), ("NLL (nats)", "time of the fit (s)"), strict=True
    ):
        for base, name, color in (("laplace", "Laplace", PALETTE[0]), ("standard", "N(0, I)", PALETTE[1])):
            found = {}
            for length in (1, 5, 10, 20):
                if _has(results, LENGTH, f"{base}-{length}"):
                    found[length] = results.interval(LENGTH, f"{base}-{length}", metric)
            if not found:
                results.values(LENGTH, f"{base}-1", "nll")  # raises NotRun with the reason
            spread = [interval.half_width if interval.n > 1 else 0.0 for interval in found.values()]
            means = [interval.mean for interval in found.values()]
            axes.errorbar(list(found), means, yerr=spread, marker="o", color=color, capsize=3, label=name)
        axes.set(xlabel="layers of the flow", ylabel=label)
    canvas.axes[0].legend()
    return canvas


@figure(
    "rotation",
    "Rotated Fashion-MNIST",
    "Negative log-likelihood against the angle by which test images are rotated: means over seeds, the band from the "
    "lowest to the highest.",
    source="Figure E.1, left",
    experiments=[FMNIST],
)
def rotation(results: Results) -> "Canvas":
    """Methods of the published figure."""
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(7.2, 3.6))
    axes = canvas.subplots()
    names = ("map", "la", "refine-1", "refine-5", "refine-10", "hmc")
    tables = {}
    for name in names:
        try:
            table = results.table(FMNIST, name, "rotation")
        except NotRun:
            continue
        tables[name] = table.pivot_table(index="angle", columns="seed", values="nll")
    if not tables:
        results.table(FMNIST, "map", "rotation")  # raises NotRun with the reason
    for (name, table), color in zip(tables.items(), PALETTE, strict=False):
        axes.plot(table.index, table.mean(axis=1), color=color, label=METHODS[name])
        axes.fill_between(table.index, table.min(axis=1), table.max(axis=1), color=color, alpha=0.15, linewidth=0)
    axes.set(xlabel="angle (degrees)", ylabel="NLL (nats)")
    axes.legend(ncols=2)
    return canvas


@figure(
    "toy",
    "Logistic regression in two dimensions",
    "Draws of each approximation (colour) over draws of the exact posterior (grey), first seed.",
    source="Figure 4.5",
    experiments=[TOY],
)
def toy(results: Results) -> "Canvas":
    """A panel an approximation, with its squared MMD."""
    from matplotlib.figure import Figure as Canvas

    names = {"la": "LA", "vb": "VB", "refine": "refined", "refine-raw": "refined, raw", "hmc": "HMC"}
    canvas = Canvas(figsize=(7.2, 2.4))
    panels = canvas.subplots(1, len(names), sharex=True, sharey=True)
    for axes, (name, label), color in zip(panels, names.items(), PALETTE, strict=False):
        exact, draws = results.table(TOY, name, "exact"), results.table(TOY, name, "draws")
        first = exact["seed"].min()
        for table, shade, alpha in ((exact, "#999999", 0.5), (draws, color, 0.6)):
            part = table[table["seed"] == first]
            axes.plot(part["x"], part["y"], ".", color=shade, alpha=alpha, markersize=2)
        axes.set(title=f"{label}\nMMD$^2$ {results.interval(TOY, name, 'mmd').mean:.4f}", xlabel="weight 1")
    panels[0].set(ylabel="weight 2")
    return canvas


@figure(
    "all_layer",
    "All weights of a small MLP",
    "Negative log-likelihood, calibration error as published and squared MMD to HMC as published: points are seeds, "
    "bars the mean with its 95 % Student-t interval, diamonds what the dissertation prints for its own setting.",
    source="Table E.2",
    experiments=[LAYERS],
)
def all_layer(results: Results) -> "Canvas":
    """A row a method."""
    metrics = {"nll": "NLL (nats)", "ece_published": "calibration error (%)", "mmd_published": "squared MMD to HMC"}
    return _rows(results, LAYERS, METHODS, metrics)


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

    bands, data = (_first(results.table(LINEAR, "default", name)) for name in ("bands", "data"))
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

    table, data = (_first(results.table(PROBIT, "default", name)) for name in ("map", "data"))
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


def _first(table: "pd.DataFrame") -> "pd.DataFrame":
    first: pd.DataFrame = table[table["seed"] == table["seed"].min()]
    return first
