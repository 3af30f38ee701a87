"""Tables of UCI, images and their shifts, and the number of weights."""

from typing import TYPE_CHECKING

from bnnbench.harness.charts import entropies, line, rows
from bnnbench.harness.collect import NotRun, Results
from bnnbench.harness.figure import PALETTE, figure
from bnnbench.papers.livi.settings import NETS

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

UCI, MNIST, SCALING = "livi/uci", "livi/mnist", "livi/scaling"
METHODS = {
    "livi": "LIVI",
    "no-entropy": "LIVI without entropy",
    "livi-warm": "LIVI, warm start",
    "livi-sigma": "LIVI, sigma 0.05",
    "livi-branches": "LIVI, branches",
    "livi-separate": "LIVI, separate parts",
    "avb": "AVB",
    "kivi": "KIVI",
    "mfvi": "mean field",
    "laplace": "last-layer Laplace",
    "swag": "SWAG",
    "ensemble": "ensemble",
    "map": "point estimate",
}
STYLES = {"livi": "-", "no-entropy": "--", "map": ":", "ensemble": "-.", "laplace": (0, (1, 1)), "mfvi": (0, (5, 1))}


def _tables_of(name: str) -> dict[str, str]:
    return {f"{variant},dataset={name}": label for variant, label in METHODS.items()}


@figure(
    "uci",
    "Tables of UCI",
    "Root mean squared error and negative log-likelihood in the unit of the target, and coverage of the central 95 %, "
    "for Boston housing, concrete and energy. Points are splits, bars their mean with its 95 % interval.",
    source="the paper's table was not available",
    experiments=[UCI],
)
def uci(results: Results) -> "Canvas":
    """A row a method and table."""
    variants = {
        cell: f"{label}, {name.removeprefix('uci-')}"
        for name in ("uci-boston", "uci-concrete", "uci-energy")
        for cell, label in _tables_of(name).items()
    }
    metrics = {"rmse": "RMSE", "nll": "NLL (nats)", "coverage_95": "95 % coverage (%)"}
    return rows(results, UCI, variants, metrics)


@figure(
    "mnist",
    "LeNet on MNIST",
    "Accuracy, negative log-likelihood, calibration error, and the area under the ROC curve by which other data are "
    "told from the test images. Points are seeds, bars their mean with its 95 % interval.",
    source="the paper's table was not available",
    experiments=[MNIST],
)
def mnist(results: Results) -> "Canvas":
    """A row a method."""
    metrics = {
        "accuracy": "accuracy (%)",
        "nll": "NLL (nats)",
        "ece_15": "ECE (%)",
        "auroc_fashion-mnist": "AUROC (%)\nFashion-MNIST",
        "auroc_kmnist": "AUROC (%)\nKMNIST",
        "auroc_notmnist": "AUROC (%)\nnotMNIST",
    }
    return rows(results, MNIST, METHODS, metrics)


@figure(
    "entropy_of_predictions",
    "Entropy of predictions for MNIST and other data",
    "Share of images whose predictive entropy is at most the value below: test images should be far left, other data "
    "far right. Means of quantiles over seeds.",
    source="distribution functions in the authors' code",
    experiments=[MNIST],
)
def entropy_of_predictions(results: Results) -> "Canvas":
    """A panel a data set, a line a method."""
    return entropies(results, MNIST, {variant: METHODS[variant] for variant in STYLES}, list(STYLES.values()))


@figure(
    "rotated_mnist",
    "Rotated MNIST",
    "Negative log-likelihood against the angle by which test images are rotated: means over seeds, bands from the "
    "lowest seed to the highest.",
    source="rotations in the authors' code; the paper's figure was not available",
    experiments=[MNIST],
)
def rotated_mnist(results: Results) -> "Canvas":
    """A line a method."""
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(5.4, 3.2))
    axes = canvas.subplots()
    for k, variant in enumerate(STYLES):
        try:
            table = results.table(MNIST, variant, "rotation")
        except NotRun:
            continue
        line(axes, table, "angle", PALETTE[k], METHODS[variant])
    if not axes.lines:
        results.table(MNIST, "livi", "rotation")  # raises NotRun with the reason
    axes.set(xlabel="angle (degrees)", ylabel="NLL (nats)")
    axes.legend(fontsize="small")
    return canvas


@figure(
    "scaling",
    "Cost of the bound against the number of weights",
    "CPU time of one bound with its gradient for a draw of the weights (left), and memory beyond the generator "
    "(right): LeNet, an MLP, WRN-16-4 and WRN-28-10. The dotted line is what the Jacobians of the draws would take.",
    source="sizes of the authors' code; times and memory of this machine",
    experiments=[SCALING],
)
def scaling(results: Results) -> "Canvas":
    """A point a net."""
    from matplotlib.figure import Figure as Canvas

    points: dict[str, list[float]] = {"n_weights": [], "step_seconds": [], "bound_memory": [], "jacobian": []}
    for net in NETS:
        try:
            for metric, values in points.items():
                found = results.values(SCALING, net, metric)
                values.append(sum(found.values()) / len(found))
        except NotRun:
            continue
    if not points["jacobian"]:
        results.values(SCALING, "lenet", "n_weights")  # raises NotRun with the reason
    canvas = Canvas(figsize=(7.0, 2.8))
    left, right = canvas.subplots(1, 2)
    left.plot(points["n_weights"], points["step_seconds"], "o-", color=PALETTE[0])
    right.plot(points["n_weights"], points["bound_memory"], "o-", color=PALETTE[0], label="measured")
    right.plot(points["n_weights"], points["jacobian"], ":", color="0.3", label="Jacobians")
    left.set(xscale="log", yscale="log", xlabel="weights", ylabel="CPU time (s)")
    right.set(xscale="log", yscale="log", xlabel="weights", ylabel="memory (MB)")
    right.legend()
    return canvas
