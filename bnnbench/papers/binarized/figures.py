"""The paper's figures redrawn from results, and those that its claims call for."""

from typing import TYPE_CHECKING

from bnnbench.harness import paper
from bnnbench.harness.collect import NotRun, Results
from bnnbench.harness.figure import PALETTE, figure

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas
    from numpy.typing import NDArray

MNIST, CIFAR, SVHN = "binarized/mnist-mlp", "binarized/cifar10-convnet", "binarized/svhn-convnet"
MATMUL, MLP, ENERGY = "binarized/matmul", "binarized/mlp-runtime", "binarized/energy"
METHODS = {
    "float-relu": "float, ReLU",
    "float-hardtanh": "float, HardTanh",
    "binaryconnect": "BinaryConnect",
    "bnn": "BNN",
    "bnn-stochastic": "BNN, stochastic",
    "bnn-shift": "BNN, shift-based",
    "bnn-torch7": "BNN, Torch7 recipe",
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
    return _curves(results, MNIST)


@figure(
    "cifar10_curves",
    "Training curves on CIFAR-10",
    "Training loss (dotted) and validation error (solid) by epoch: mean over seeds, the band from the lowest to the "
    "highest seed. At laptop scale the net has 16 maps in place of 128.",
    source="Figure 1",
    experiments=[CIFAR],
)
def cifar10_curves(results: Results) -> "Canvas":
    """The paper's Figure 1 with the curves that it must have had: real-valued, BinaryConnect, BNN, shift-based BNN."""
    return _curves(results, CIFAR)


def _curves(results: Results, experiment: str) -> "Canvas":
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(7.2, 6.0))
    top, bottom = canvas.subplots(2, 1, sharex=True)
    drawn = [
        _band(axes, results, (experiment, variant, name), style, color, label)
        for (variant, label), color in zip(METHODS.items(), PALETTE, strict=False)
        for axes, name, style in ((top, "validation_error", "-"), (bottom, "train_loss", ":"))
    ]
    if not any(drawn):
        results.curves(experiment, "bnn", "validation_error")  # raises NotRun with the reason
    top.set(ylabel="validation error (%)", yscale="log")
    bottom.set(ylabel="squared hinge loss", xlabel="epoch", yscale="log")
    _readable_ticks(top)
    top.legend(ncols=2)
    return canvas


def _band(axes: "Axes", results: Results, curve: tuple[str, str, str], style: str, color: str, label: str) -> bool:
    try:
        curves = results.curves(*curve)
    except NotRun:
        return False
    axes.plot(curves.index, curves.mean(axis=1), style, color=color, label=label, linewidth=1.8)
    axes.fill_between(curves.index, curves.min(axis=1), curves.max(axis=1), color=color, alpha=0.18, linewidth=0)
    return True


def _readable_ticks(axes: "Axes") -> None:
    from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, ScalarFormatter

    axes.yaxis.set_major_locator(FixedLocator([1, 1.5, 2, 3, 4, 5, 7, 10, 15, 20, 30, 40, 50, 60, 70, 80, 100]))
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
    return _errors(results, MNIST, METHODS, published=True)


@figure(
    "cifar10_errors",
    "Test error on CIFAR-10 by method",
    "Test error at the best validation epoch: points are seeds, bars the mean with its 95 % Student-t interval, "
    "diamonds what the paper's Table 1 prints for its own setting (128 maps, 500 epochs).",
    source="Table 1, CIFAR-10 column",
    experiments=[CIFAR],
)
def cifar10_errors(results: Results) -> "Canvas":
    """Methods of Table 1 that this experiment has."""
    return _errors(results, CIFAR, METHODS, published=True)


@figure(
    "svhn_errors",
    "Test error on SVHN by method",
    "Test error at the best validation epoch: points are seeds, bars the mean with its 95 % Student-t interval, "
    "diamonds what the paper's Table 1 prints for its own setting (64 maps, 200 epochs).",
    source="Table 1, SVHN column",
    experiments=[SVHN],
)
def svhn_errors(results: Results) -> "Canvas":
    """Methods of Table 1 that this experiment has."""
    return _errors(results, SVHN, METHODS, published=True)


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
    return _errors(results, MNIST, ABLATIONS, published=False)


def _errors(results: Results, experiment: str, variants: dict[str, str], published: bool) -> "Canvas":
    from matplotlib.figure import Figure as Canvas

    from bnnbench.harness.statistics import mean_interval

    canvas = Canvas(figsize=(7.2, 0.55 * len(variants) + 1.3))
    axes = canvas.subplots()
    errors = {
        variant: results.values(experiment, variant, "test_error")
        for variant in variants
        if _has(results, experiment, variant)
    }
    if not errors:
        results.values(experiment, "bnn", "test_error")  # raises NotRun with the reason
    printed = {variant: value for variant, metric, value in _published(experiment) if metric == "test_error"}
    for row, variant in enumerate(errors):
        values = list(errors[variant].values())
        interval = mean_interval(values)
        if interval.n > 1:
            axes.barh(row, interval.mean, xerr=interval.half_width, color=PALETTE[0], alpha=0.35, capsize=4, height=0.6)
        axes.plot(values, [row] * len(values), "o", color=PALETTE[0], markersize=4)
        if published and variant in printed:
            axes.plot(printed[variant], row, "D", color=PALETTE[1], markersize=7)
    axes.set_yticks(range(len(errors)), [variants[variant] for variant in errors])
    axes.invert_yaxis()
    axes.set(xlabel="test error (%)", xlim=(0, None))
    axes.grid(axis="y", visible=False)
    if published:
        setting = "published" if results.scale == "paper" else "published (paper's setting)"
        axes.plot([], [], "D", color=PALETTE[1], label=setting)
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1))
    return canvas


def _has(results: Results, experiment: str, variant: str) -> bool:
    try:
        return bool(results.values(experiment, variant, "test_error"))
    except NotRun:
        return False


def _published(experiment: str) -> list[tuple[str, str, float]]:
    """Variant, metric and value of what the paper prints for an experiment and ours is compared with."""
    rows = paper.get("binarized").published()
    return [
        (row.variant, row.metric, row.compared)
        for row in rows
        if f"binarized/{row.experiment}" == experiment and row.compared is not None
    ]


@figure(
    "filters",
    "Binary kernels of the ConvNet, and how often they repeat",
    "Top: 3 x 3 kernels of the first layer (white +1, black -1) of the first seed. Bottom: distinct kernels among "
    "those that are applied to an input map, an inverted kernel counted as the same, by layer: bars are means over "
    "seeds with the range of seeds, lines the expectation for random signs, dashed the 42 % that the paper prints as "
    "the mean of its layers.",
    source="Figure 2",
    experiments=[CIFAR],
)
def filters(results: Results) -> "Canvas":
    """A sample of kernels above the counts of each layer."""
    from matplotlib.figure import Figure as Canvas

    kernels = results.table(CIFAR, "bnn", "first_layer_kernels")
    counts = results.table(CIFAR, "bnn", "filters")
    canvas = Canvas(figsize=(7.2, 5.0))
    grid, bars = canvas.subplots(2, 1, height_ratios=(1, 1.6))
    first = kernels[kernels["seed"] == kernels["seed"].min()]["pattern"]
    grid.imshow(_sheet([int(pattern) for pattern in first][:96], 24), cmap="gray", vmin=-1, vmax=1)
    grid.set_axis_off()
    shown = counts[counts["inverses"]].groupby("layer")[["unique", "chance"]]
    mean, low, high = shown.mean(), shown.min()["unique"], shown.max()["unique"]
    spread = [mean["unique"] - low, high - mean["unique"]]
    bars.bar(mean.index, mean["unique"], yerr=spread, color=PALETTE[0], alpha=0.6, capsize=4, label="trained")
    bars.hlines(mean["chance"], mean.index - 0.4, mean.index + 0.4, color=PALETTE[1], linewidth=2, label="random signs")
    for _, metric, value in _published(CIFAR):
        if metric == "unique_filters":
            bars.axhline(value, color="#000000", linestyle="--", linewidth=1, label="published, mean of layers")
    bars.set(xlabel="convolutional layer", ylabel="distinct kernels (%)", ylim=(0, 100))
    canvas.legend(loc="outside upper center", ncols=3)
    return canvas


def _sheet(patterns: list[int], columns: int) -> "NDArray[np.float64]":
    """Kernels as an image, `columns` of them in a row, with a grey line between."""
    import numpy as np

    sheet = np.zeros((4 * (-(-len(patterns) // columns)) + 1, 4 * columns + 1))
    for index, pattern in enumerate(patterns):
        top, left = 4 * (index // columns) + 1, 4 * (index % columns) + 1
        taps = [1.0 if pattern >> tap & 1 else -1.0 for tap in range(9)]
        sheet[top : top + 3, left : left + 3] = np.reshape(taps, (3, 3))
    return sheet


@figure(
    "runtime_bars",
    "Time and error of float and XNOR kernels",
    "The paper's three groups of bars: a matrix product, the MNIST MLP on all test images, and its test error, by "
    "naive float kernel, library and XNOR kernel (naive for the product, this package's as well). Bars are means over "
    "seeds with 95 % Student-t intervals, diamonds the bars that the paper prints for a GTX 750 (8192 x 8192 x 8192; "
    "10,000 images).",
    source="Figure 3",
    experiments=[MATMUL, MLP],
)
def runtime_bars(results: Results) -> "Canvas":
    """Times have a logarithmic axis: the paper's linear one would hide all but the slowest bar."""
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(7.2, 3.8))
    product, net, error = canvas.subplots(1, 3, width_ratios=(4, 3, 3))
    names = {
        "seconds_baseline": "naive float",
        "seconds_library": "library",
        "seconds_naive_xnor": "naive XNOR",
        "seconds_xnor": "XNOR",
    }
    _bars(product, results, MATMUL, names)
    product.set(yscale="log", ylabel="matrix product (s)")
    del names["seconds_naive_xnor"]
    _bars(net, results, MLP, names)
    net.set(yscale="log", ylabel="MLP, all test images (s)")
    _bars(error, results, MLP, {"test_error": "library", "packed_error": "XNOR"})
    error.set(ylabel="MLP test error (%)", ylim=(0, None))
    product.plot([], [], "D", color=PALETTE[1], label="published (GTX 750)")
    canvas.legend(loc="outside upper center")
    return canvas


def _bars(axes: "Axes", results: Results, experiment: str, names: dict[str, str]) -> None:
    from bnnbench.harness.statistics import mean_interval

    printed = {metric: value for variant, metric, value in _published(experiment) if variant == "default"}
    for place, metric in enumerate(names):
        values = list(results.values(experiment, "default", metric).values())
        interval = mean_interval(values)
        spread = interval.half_width if interval.n > 1 else 0.0
        axes.bar(place, interval.mean, yerr=spread, color=PALETTE[0], alpha=0.6, capsize=4)
        if metric in printed:
            axes.plot(place, printed[metric], "D", color=PALETTE[1], markersize=7)
    axes.set_xticks(range(len(names)), list(names.values()), rotation=30, ha="right")


@figure(
    "energy_table",
    "Memory and energy of float32 and binary nets",
    "Arithmetic of one image and one reading of all weights from DRAM at the paper's prices (Tables 2 and 3); the "
    "range is that of the price of DRAM. The price of an operation on a 32-bit word of bits is an assumption (0.1 pJ).",
    source="Section 3.1, Tables 2 and 3",
    experiments=[ENERGY],
)
def energy_table(results: Results) -> "Canvas":
    """Energies on a logarithmic axis, memory beside them."""
    from matplotlib.figure import Figure as Canvas

    nets = {"mlp": "MNIST MLP", "cifar10-convnet": "CIFAR-10 ConvNet", "svhn-convnet": "SVHN ConvNet"}
    canvas = Canvas(figsize=(7.2, 3.6))
    memory, energy = canvas.subplots(1, 2, width_ratios=(1, 2), sharey=True)
    for place, net in enumerate(nets):
        for offset, kind, color in ((-0.2, "float32", PALETTE[0]), (0.2, "binary", PALETTE[1])):

            def value(metric: str, net: str = net) -> float:
                return results.values(ENERGY, net, metric)[0]

            memory.barh(place + offset, value(f"memory_{kind}"), height=0.35, color=color, alpha=0.7)
            low, high = value(f"dram_{kind}_low"), value(f"dram_{kind}_high")
            energy.plot([low, high], [place + offset] * 2, color=color, linewidth=5, alpha=0.7)
            energy.plot(value(f"arithmetic_{kind}"), place + offset, "o", color=color, markersize=7)
    memory.set_yticks(range(len(nets)), list(nets.values()))
    memory.invert_yaxis()
    memory.set(xscale="log", xlabel="weights (MB)")
    energy.set(xscale="log", xlabel="energy of an image (uJ)")
    for color, label in ((PALETTE[0], "float32"), (PALETTE[1], "binary")):
        energy.plot([], [], color=color, linewidth=5, alpha=0.7, label=f"{label}: weights from DRAM")
        energy.plot([], [], "o", color=color, label=f"{label}: arithmetic")
    canvas.legend(loc="outside upper center", ncols=2)
    return canvas
