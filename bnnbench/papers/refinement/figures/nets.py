"""The paper's figures and tables of trained nets, redrawn from results, and that of the control."""

from typing import TYPE_CHECKING

from bnnbench.evaluation.image_params import ANGLES
from bnnbench.harness.charts import PUBLISHED, first_seed, line, measured, printed, rows
from bnnbench.harness.collect import NotRun, Results
from bnnbench.harness.figure import PALETTE, figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as Canvas

FMNIST, CIFAR10, CIFAR100 = "refinement/fmnist", "refinement/cifar10", "refinement/cifar100"
MISMATCH, LAYERS = "refinement/prior-mismatch", "refinement/all-layer"
LENGTH, CIFAR_LENGTH = "refinement/flow-length", "refinement/cifar10-flow-length"
METHODS = {
    "map": "MAP",
    "map-matched": "MAP, target's prior",
    "temperature": "temperature scaling",
    "mfvi": "VB",
    "csghmc": "CSGHMC",
    "swag": "SWAG",
    "ensemble": "deep ensemble",
    "la": "LA",
    "la-many": "LA, many draws",
    "la-diagonal": "LA, diagonal",
    "la-probit": "LA, multiclass probit",
    "la-matched": "LA, target's prior",
    "refine-1": "Refine-1",
    "refine-5": "Refine-5",
    "refine-10": "Refine-10",
    "refine-15": "Refine-15",
    "refine-30": "Refine-30",
    "hmc-10": "HMC, 10 draws",
    "hmc": "HMC",
}
SHIFTED = ("map", "la", "refine-1", "refine-5", "refine-10", "refine-30", "hmc")
LENGTHS = (1, 5, 10, 20)
QUALITY = {"nll": "NLL (nats)", "ece_published": "calibration error (%)", "mmd_published": "squared MMD to HMC"}
CONTROL = {
    "la-published": "LA as published",
    "la-target-prior": "LA, target's prior, mean left",
    "refine-5": "Refine-5",
    "refine-10": "Refine-10",
    "la-matched": "LA, target's prior and mode",
    "hmc": "HMC again",
}
READING = (
    "Points are seeds, bars the mean with its 95 % Student-t interval, diamonds what the first author's dissertation "
    "prints for its own setting."
)
BAND = "Means over seeds, the band from the lowest to the highest; diamonds are published, for the paper's own setting."


@figure(
    "few_samples",
    "A few good draws against many poor ones on Fashion-MNIST",
    f"Calibration error as published and negative log-likelihood. {READING}",
    source="Figure 4.1b, Tables 4.1 and 4.2",
    experiments=[FMNIST],
)
def few_samples(results: Results) -> "Canvas":
    """Three bars and the multiclass probit."""
    chosen = {name: METHODS[name] for name in ("la-many", "la-probit", "hmc-10", "hmc")}
    return rows(results, FMNIST, chosen, {"ece_published": QUALITY["ece_published"], "nll": QUALITY["nll"]})


@figure(
    "fmnist_methods",
    "Posteriors of the last layer on Fashion-MNIST",
    f"Negative log-likelihood, calibration error and squared MMD to HMC, all as published. {READING}",
    source="Tables 4.1 to 4.3 and E.1",
    experiments=[FMNIST],
)
def fmnist_methods(results: Results) -> "Canvas":
    """A row a method, a column a metric."""
    return rows(results, FMNIST, METHODS, QUALITY)


@figure(
    "cifar10_methods",
    "Posteriors of the last layer on CIFAR-10",
    f"Negative log-likelihood, calibration error and squared MMD to HMC, all as published. {READING} At laptop scale "
    "the net is small and sees 5,000 images, so only the pattern can be compared.",
    source="Tables 4.1 to 4.3 and E.1",
    experiments=[CIFAR10],
)
def cifar10_methods(results: Results) -> "Canvas":
    """A row a method, a column a metric."""
    return rows(results, CIFAR10, METHODS, QUALITY)


@figure(
    "cifar100_methods",
    "Posteriors of the last layer on CIFAR-100",
    f"Negative log-likelihood, calibration error and squared MMD to HMC, all as published. {READING}",
    source="Tables 4.3 and E.1",
    experiments=[CIFAR100],
)
def cifar100_methods(results: Results) -> "Canvas":
    """A row a method, a column a metric."""
    return rows(results, CIFAR100, METHODS, QUALITY)


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
    return rows(results, MISMATCH, CONTROL, {"mmd": "squared MMD to HMC", "nll": "NLL (nats)"})


@figure(
    "other_data",
    "Telling other data from Fashion-MNIST",
    f"False positives at 95 % true positives by the largest probability, for data that this machine has. {READING}",
    source="Table E.3",
    experiments=[FMNIST],
)
def other_data(results: Results) -> "Canvas":
    """A row a method, a column a data set."""
    return _other_data(results, FMNIST, ("mnist", "kmnist", "emnist-digits"))


@figure(
    "other_data_cifar10",
    "Telling other data from CIFAR-10",
    f"False positives at 95 % true positives by the largest probability, for data that this machine has. {READING}",
    source="Tables 4.4 and E.3",
    experiments=[CIFAR10],
)
def other_data_cifar10(results: Results) -> "Canvas":
    """A row a method, a column a data set, and their published mean."""
    return _other_data(results, CIFAR10, ("svhn", "lsun", "cifar100", "mean", "tiny-imagenet"))


def _other_data(results: Results, experiment: str, names: tuple[str, ...]) -> "Canvas":
    there = {f"fpr95_{name}": f"{name} (%)" for name in names if measured(results, experiment, "map", f"fpr95_{name}")}
    if not there:
        results.values(experiment, "map", "nll")  # raises NotRun with the reason where nothing was computed
        raise NotRun(f"none of {', '.join(names)} is on this machine as data beside the test images")
    return rows(results, experiment, METHODS, there)


@figure(
    "marginals",
    "Marginal distributions of four weights of the last layer on CIFAR-10",
    "Draws of the posterior, first seed; the number is the mean standard deviation over all weights. Published are "
    "0.80 (LA), 0.58, 0.30, 0.17, 0.16 (5, 10, 15, 30 layers) and 0.16 (HMC).",
    source="Figure 4.6",
    experiments=[CIFAR10],
)
def marginals(results: Results) -> "Canvas":
    """A row a method, a column a weight."""
    from matplotlib.figure import Figure as Canvas

    names = ("la", "la-diagonal", "la-matched", "refine-5", "refine-10", "refine-15", "refine-30", "hmc")
    shown = [name for name in names if measured(results, CIFAR10, name, "weight_std")]
    if not shown:
        results.values(CIFAR10, "la", "weight_std")  # raises NotRun with the reason
    tables = {name: first_seed(results.table(CIFAR10, name, "marginals")) for name in shown}
    weights = list(dict.fromkeys(tables[shown[0]]["weight"]))
    canvas = Canvas(figsize=(7.2, 0.75 * len(shown) + 0.8))
    panels = canvas.subplots(len(shown), len(weights), sharex="col", squeeze=False)
    for line_of_panels, (name, table), color in zip(panels, tables.items(), PALETTE, strict=False):
        spread = results.interval(CIFAR10, name, "weight_std").mean
        for axes, weight in zip(line_of_panels, weights, strict=True):
            axes.hist(table[table["weight"] == weight]["value"], bins=20, density=True, color=color)
            axes.set(yticks=[])
        line_of_panels[0].set_ylabel(f"{METHODS[name]}\n{spread:.3f}", rotation=0, ha="right", va="center")
    for axes, weight in zip(panels[-1], weights, strict=True):
        axes.set(xlabel=f"weight {weight}")
    return canvas


@figure(
    "flow_length",
    "Length and base of the flow on Fashion-MNIST",
    "Left: negative log-likelihood against the length of the flow, from the Laplace approximation and from N(0, I). "
    "Right: time of the fit. Means over seeds with 95 % Student-t intervals; diamonds are published times (on one "
    "RTX 2080 Ti, 20 epochs of 60,000 images).",
    source="Figure 4.7",
    experiments=[LENGTH],
)
def flow_length(results: Results) -> "Canvas":
    """Lengths that were run."""
    return _lengths(results, LENGTH)


@figure(
    "flow_length_cifar10",
    "Length and base of the flow on CIFAR-10",
    "As for Fashion-MNIST; diamonds are published, whose likelihoods are inferred to be those of CIFAR-10.",
    source="Figure 4.7",
    experiments=[CIFAR_LENGTH],
)
def flow_length_cifar10(results: Results) -> "Canvas":
    """Lengths that were run."""
    return _lengths(results, CIFAR_LENGTH)


def _lengths(results: Results, experiment: str) -> "Canvas":
    from matplotlib.figure import Figure as Canvas

    if not any(
        measured(results, experiment, f"{base}-{n}", "nll") for base in ("laplace", "standard") for n in LENGTHS
    ):
        results.values(experiment, "laplace-1", "nll")  # raises NotRun with the reason
    canvas = Canvas(figsize=(7.2, 3.2))
    for axes, metric, label in zip(
        canvas.subplots(1, 2), ("nll", "fit_seconds"), ("NLL (nats)", "time of the fit (s)"), strict=True
    ):
        for base, name, color in (("laplace", "Laplace", PALETTE[0]), ("standard", "N(0, I)", PALETTE[2])):
            lengths = [n for n in LENGTHS if measured(results, experiment, f"{base}-{n}", metric)]
            if not lengths:
                continue
            intervals = [results.interval(experiment, f"{base}-{n}", metric) for n in lengths]
            spread = [interval.half_width if interval.n > 1 else 0.0 for interval in intervals]
            means = [interval.mean for interval in intervals]
            axes.errorbar(lengths, means, yerr=spread, marker="o", color=color, capsize=3, label=name)
            known = {n: printed(experiment, f"{base}-{n}").get(metric) for n in LENGTHS}
            marks = {n: value for n, value in known.items() if value is not None}
            axes.plot(list(marks), list(marks.values()), **{**PUBLISHED, "color": color, "label": "_", "mfc": "none"})
        axes.set(xlabel="layers of the flow", ylabel=label, ylim=(0, None))
    canvas.axes[0].plot([], [], **{**PUBLISHED, "color": "#000000", "mfc": "none"})
    canvas.axes[0].legend()
    return canvas


@figure(
    "rotation",
    "Rotated Fashion-MNIST",
    f"Negative log-likelihood against the angle by which test images are rotated. {BAND}",
    source="Figure E.1, left",
    experiments=[FMNIST],
)
def rotation(results: Results) -> "Canvas":
    """Methods of the published figure."""
    tables = _tables(results, FMNIST, "rotation")
    canvas = _shift(tables, "angle", "angle (degrees)")
    _marks(canvas, FMNIST, tables, {angle: f"nll_rotated_{angle}" for angle in ANGLES})
    return canvas


@figure(
    "corruption",
    "Corrupted CIFAR-10",
    "Negative log-likelihood against severity, mean over kinds of corruption: by our own transforms (solid) and on "
    f"CIFAR-10-C's files where this machine has them (dashed). {BAND} They belong to CIFAR-10-C.",
    source="Figure E.1, right",
    experiments=[CIFAR10],
)
def corruption(results: Results) -> "Canvas":
    """Methods of the published figure."""
    tables = _tables(results, CIFAR10, "corruption")
    canvas = _shift(tables, "severity", "severity")
    _marks(canvas, CIFAR10, tables, {severity: f"nll_cifar10c_{severity}" for severity in range(6)})
    return canvas


def _tables(results: Results, experiment: str, name: str) -> "dict[str, pd.DataFrame]":
    tables = {}
    for variant in SHIFTED:
        try:
            tables[variant] = results.table(experiment, variant, name)
        except NotRun:
            continue
    if not tables:
        results.table(experiment, "map", name)  # raises NotRun with the reason
    return tables


def _shift(tables: "dict[str, pd.DataFrame]", over: str, label: str) -> "Canvas":
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(7.2, 3.8))
    axes = canvas.subplots()
    for (variant, table), color in zip(tables.items(), PALETTE, strict=False):
        parts = dict(list(table.groupby("source"))) if "source" in table else {"": table}
        for source, part in parts.items():
            official = source == "cifar10c"
            line(axes, part, over, color, "_" if official else METHODS[variant], "--" if official else "-")
    axes.set(xlabel=label, ylabel="NLL (nats)", ylim=(0, None))
    return canvas


def _marks(canvas: "Canvas", experiment: str, variants: "dict[str, pd.DataFrame]", metrics: dict[int, str]) -> None:
    """Published values in the colour of the method's line."""
    axes = canvas.axes[0]
    for variant, color in zip(variants, PALETTE, strict=False):
        known = printed(experiment, variant)
        marks = {x: known[metric] for x, metric in metrics.items() if metric in known}
        style = {**PUBLISHED, "color": color, "label": "_", "markersize": 3, "mfc": "none"}
        axes.plot(list(marks), list(marks.values()), **style)
    axes.plot([], [], **{**PUBLISHED, "color": "#000000", "mfc": "none"})
    axes.legend(ncols=2)


@figure(
    "all_layer",
    "All weights of a small MLP",
    f"Negative log-likelihood, calibration error and squared MMD to HMC, all as published. {READING}",
    source="Table E.2",
    experiments=[LAYERS],
)
def all_layer(results: Results) -> "Canvas":
    """A row a method."""
    return rows(results, LAYERS, METHODS, QUALITY)
