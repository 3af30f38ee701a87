"""The paper's figures redrawn from results, and those that its claims call for."""

from typing import TYPE_CHECKING

from bnnbench.harness import paper
from bnnbench.harness.collect import NotRun, Results
from bnnbench.harness.figure import PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

MNIST = "binarized/mnist-mlp"
METHODS = {
    "float-relu": "float, ReLU",
    "float-hardtanh": "float, HardTanh",
    "binaryconnect": "BinaryConnect",
    "bnn": "BNN",
    "bnn-stochastic": "BNN, stochastic",
}
ABLATIONS = {
    "bnn": "BNN",
    "bnn-no-mask": "without gradient mask",
    "bnn-no-lr-scale": "without learning-rate scale",
    "bnn-no-clip": "without clipping",
}


@figure(
    "mnist_curves",
    "Training curves on MNIST",
    "Training loss (dotted) and validation error (solid) by epoch: mean over seeds, the band from the lowest to the "
    "highest seed. The paper's Figure 1 shows the same for its CIFAR-10 net: BNNs train more slowly and end nearly as "
    "accurate.",
    source="after Figure 1",
    experiments=[MNIST],
)
def mnist_curves(results: Results) -> "Canvas":
    """Loss and validation error on two stacked axes with a common epoch axis, both logarithmic."""
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(7.2, 6.0))
    top, bottom = canvas.subplots(2, 1, sharex=True)
    drawn = [
        _band(axes, results, variant, name, style, color, label)
        for (variant, label), color in zip(METHODS.items(), PALETTE, strict=False)
        for axes, name, style in ((top, "validation_error", "-"), (bottom, "train_loss", ":"))
    ]
    if not any(drawn):
        results.curves(MNIST, "bnn", "validation_error")  # raises NotRun with the reason
    top.set(ylabel="validation error (%)", yscale="log")
    bottom.set(ylabel="squared hinge loss", xlabel="epoch", yscale="log")
    _readable_ticks(top)
    top.legend(ncols=2)
    return canvas


def _band(axes: "Axes", results: Results, variant: str, name: str, style: str, color: str, label: str) -> bool:
    try:
        curves = results.curves(MNIST, variant, name)
    except NotRun:
        return False
    axes.plot(curves.index, curves.mean(axis=1), style, color=color, label=label, linewidth=1.8)
    axes.fill_between(curves.index, curves.min(axis=1), curves.max(axis=1), color=color, alpha=0.18, linewidth=0)
    return True


def _readable_ticks(axes: "Axes") -> None:
    from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, ScalarFormatter

    axes.yaxis.set_major_locator(FixedLocator([1, 1.5, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50, 70, 100]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


@figure(
    "mnist_errors",
    "Test error on MNIST by method",
    "Test error at the best validation epoch: points are seeds, bars the mean with its 95 % Student-t interval, "
    "diamonds what the paper's Table 1 prints for its own setting (3 x 4096 units, 1000 epochs).",
    source="Table 1, MNIST column",
    experiments=[MNIST],
)
def mnist_errors(results: Results) -> "Canvas":
    """Methods of Table 1 that this experiment has."""
    return _errors(results, METHODS, published=True)


@figure(
    "mnist_ablations",
    "What makes a BNN train: ablations on MNIST",
    "Test error of the BNN and of the same net without one of the paper's measures: points are seeds, bars the mean "
    "with its 95 % Student-t interval.",
    source="Algorithm 1 and Section 1.3",
    experiments=[MNIST],
)
def mnist_ablations(results: Results) -> "Canvas":
    """The BNN beside its ablations."""
    return _errors(results, ABLATIONS, published=False)


def _errors(results: Results, variants: dict[str, str], published: bool) -> "Canvas":
    from matplotlib.figure import Figure as Canvas

    from bnnbench.harness.statistics import mean_interval

    canvas = Canvas(figsize=(7.2, 0.55 * len(variants) + 1.3))
    axes = canvas.subplots()
    found = {variant: results.values(MNIST, variant, "test_error") for variant in variants if _has(results, variant)}
    if not found:
        results.values(MNIST, "bnn", "test_error")  # raises NotRun with the reason
    rows = [row for row in paper.get("binarized").published() if row.experiment == "mnist-mlp" and row.verified]
    printed = {row.variant: row.value for row in rows if row.metric == "test_error"}
    for row, variant in enumerate(found):
        values = list(found[variant].values())
        interval = mean_interval(values)
        if interval.n > 1:
            axes.barh(row, interval.mean, xerr=interval.half_width, color=PALETTE[0], alpha=0.35, capsize=4, height=0.6)
        axes.plot(values, [row] * len(values), "o", color=PALETTE[0], markersize=4)
        if published and variant in printed:
            axes.plot(printed[variant], row, "D", color=PALETTE[1], markersize=7)
    axes.set_yticks(range(len(found)), [variants[variant] for variant in found])
    axes.invert_yaxis()
    axes.set(xlabel="test error (%)", xlim=(0, None))
    axes.grid(axis="y", visible=False)
    if published:
        setting = "published" if results.scale == "paper" else "published (paper's setting)"
        axes.plot([], [], "D", color=PALETTE[1], label=setting)
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1))
    return canvas


def _has(results: Results, variant: str) -> bool:
    try:
        return bool(results.values(MNIST, variant, "test_error"))
    except NotRun:
        return False
