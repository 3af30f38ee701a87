"""The paper's claims as tests over results."""

from bnnbench.harness.claim import Evidence, Resolution, all_of, at_least, at_most, claim, more_than, within
from bnnbench.harness.collect import Results
from bnnbench.harness.config import SCALES

MNIST, CIFAR, SVHN = "binarized/mnist-mlp", "binarized/cifar10-convnet", "binarized/svhn-convnet"
MATMUL, MLP, CONVNET = "binarized/matmul", "binarized/mlp-runtime", "binarized/convnet-runtime"
IMAGENET = "binarized/imagenet"
FULL = ("laptop", "paper")
PAPER = ("paper",)
PHOTOGRAPHS = {"laptop": 500, "paper": 50_000}  # ten classes of Tiny ImageNet, and ImageNet


@claim(
    "bnn-close-to-float",
    "The binarized MLP's test error is at most half as much again as that of the real-valued net of the same shape.",
    source="Section 2, Table 1 (0.96 % beside 1.3 % without regularization); the factor of 1.5 is ours",
    experiments=[MNIST],
    scales=FULL,
    resolution=Resolution(
        0.2,
        "x",
        "a fifth of the error is 0.2 points at the printed 1 %, twice the binomial standard error of 10,000 images",
        test_points=10_000,
    ),
)
def bnn_close_to_float(results: Results) -> Evidence:
    """Against both real-valued nets: ReLU, and HardTanh, whose gradient the BNN uses."""
    return _close_to_float(results, MNIST, 1.5)


@claim(
    "bnn-close-to-float-cifar10",
    "The binarized ConvNet's test error on CIFAR-10 is at most a quarter more than that of the real-valued net of the "
    "same shape.",
    source="Section 2, Table 1 (11.40 % beside 10.94 %); the factor of 1.25 is ours, and means nothing for a few maps",
    experiments=[CIFAR],
    scales=PAPER,
    resolution=Resolution(
        0.1,
        "x",
        "a tenth of the error is a point at the printed 11 %, and printed errors of one net differ as much by library",
        test_points=10_000,
    ),
)
def bnn_close_to_float_cifar10(results: Results) -> Evidence:
    """Against both real-valued nets."""
    return _close_to_float(results, CIFAR, 1.25)


@claim(
    "bnn-close-to-float-svhn",
    "The binarized ConvNet's test error on SVHN is at most a quarter more than that of the real-valued net of the same "
    "shape.",
    source="Section 2, Table 1 (2.80 % beside 2.44 %); the factor of 1.25 is ours, and means nothing for a few maps",
    experiments=[SVHN],
    scales=PAPER,
    resolution=Resolution(
        0.1,
        "x",
        "a tenth of the error is 0.3 points at the printed 2.8 %; between Theano's and Torch7's BNN are 0.3",
        test_points=26_032,
    ),
)
def bnn_close_to_float_svhn(results: Results) -> Evidence:
    """Against both real-valued nets."""
    return _close_to_float(results, SVHN, 1.25)


def _close_to_float(results: Results, experiment: str, factor: float) -> Evidence:
    return all_of(
        *(
            at_most(f"BNN / {name}", results.ratio(experiment, "test_error", "bnn", name), factor, "x")
            for name in ("float-relu", "float-hardtanh")
        )
    )


@claim(
    "binaryconnect-between",
    "Binarizing the weights alone (BinaryConnect) costs less than binarizing weights and activations: its test error "
    "lies between the real-valued net's and the BNN's.",
    source="Section 1 and Table 1 (ordering of the blocks)",
    experiments=[MNIST],
    scales=FULL,
    resolution=Resolution(
        0.3,
        "points",
        "0.34 points lie between the printed errors of the BNN and of the real-valued net",
        test_points=10_000,
    ),
)
def binaryconnect_between(results: Results) -> Evidence:
    """Two parts: better than the BNN, and not better than the real-valued net with the same activation."""
    below = results.difference(MNIST, "test_error", "bnn", "binaryconnect")
    above = results.difference(MNIST, "test_error", "binaryconnect", "float-relu")
    return all_of(
        more_than("BNN - BinaryConnect", below, 0.0, "points"),
        at_least("BinaryConnect - float (ReLU)", above, 0.0, "points"),
    )


@claim(
    "mask-matters",
    "Cancelling the gradient where |x| > 1 matters: without it the test error is at least 2 points higher.",
    source="Section 1.3 (straight-through estimator); the margin is ours",
    experiments=[MNIST],
    scales=FULL,
    resolution=Resolution(0.5, "points", "a quarter of the margin, to tell that it is passed", test_points=10_000),
)
def mask_matters(results: Results) -> Evidence:
    """An ablation against the same net with the mask."""
    cost = results.difference(MNIST, "test_error", "bnn-no-mask", "bnn")
    return at_least("without mask - BNN", cost, 2.0, "points")


@claim(
    "learning-rate-scale-matters",
    "The learning-rate scale of each layer matters: without it the test error is at least 2 points higher.",
    source="Algorithm 1 (gamma), which the paper uses and does not compare; the margin is ours",
    experiments=[MNIST],
    scales=FULL,
    origin="ours",
    resolution=Resolution(0.5, "points", "a quarter of the margin, to tell that it is passed", test_points=10_000),
)
def learning_rate_scale_matters(results: Results) -> Evidence:
    """An ablation against the same net with the scale."""
    cost = results.difference(MNIST, "test_error", "bnn-no-lr-scale", "bnn")
    return at_least("without scale - BNN", cost, 2.0, "points")


@claim(
    "clipping-matters",
    "Clipping the latent weights to [-1, 1] matters: without it the test error is higher.",
    source="Algorithm 1 (clip) and Section 1.1, which give a reason and no comparison",
    experiments=[MNIST],
    scales=FULL,
    origin="ours",
    resolution=Resolution(
        0.3,
        "points",
        "0.34 points lie between the printed errors of the BNN and of the real-valued net",
        test_points=10_000,
    ),
)
def clipping_matters(results: Results) -> Evidence:
    """An ablation against the same net with clipping."""
    cost = results.difference(MNIST, "test_error", "bnn-no-clip", "bnn")
    return more_than("without clipping - BNN", cost, 0.0, "points")


@claim(
    "bnn-trains-slower",
    "BNNs train more slowly than real-valued nets: they need more epochs to come within 1 point of their lowest "
    "validation error.",
    source="Figure 1; the measure is ours",
    experiments=[MNIST],
    scales=FULL,
    resolution=Resolution(1, "epochs", "whole epochs are counted"),
)
def bnn_trains_slower(results: Results) -> Evidence:
    """Against the real-valued net with the same gradient (HardTanh)."""
    more = results.difference(MNIST, "epochs_to_converge", "bnn", "float-hardtanh")
    return more_than("BNN - float (HardTanh)", more, 0.0, "epochs")


@claim(
    "mnist-error",
    "The binarized MLP reaches 0.96 % test error on MNIST (within 0.3 points over seeds).",
    source="Table 1 (Theano); a single run there, so the margin is ours",
    experiments=[MNIST],
    scales=PAPER,
    resolution=Resolution(0.15, "%", "half of the margin, to tell the inside of it from its edge", test_points=10_000),
)
def mnist_error(results: Results) -> Evidence:
    """Only the published setting can show the published number."""
    return _error(results, MNIST, 0.96, 0.3)


@claim(
    "bnn-trains-slower-cifar10",
    "Binarized ConvNets train more slowly than real-valued ones: they need more epochs to come within 1 point of their "
    "lowest validation error.",
    source="Figure 1; the measure is ours",
    experiments=[CIFAR],
    scales=FULL,
    resolution=Resolution(1, "epochs", "whole epochs are counted"),
)
def bnn_trains_slower_cifar10(results: Results) -> Evidence:
    """Against the real-valued net with the same gradient (HardTanh)."""
    more = results.difference(CIFAR, "epochs_to_converge", "bnn", "float-hardtanh")
    return more_than("BNN - float (HardTanh)", more, 0.0, "epochs")


@claim(
    "shift-does-not-hurt",
    "Shift-based BatchNorm and AdaMax do not hurt: the test error on MNIST is at most a quarter higher.",
    source="Sections 1.3 and 1.4 (Algorithms 2 and 3); the factor of 1.25 is ours",
    experiments=[MNIST],
    scales=FULL,
    resolution=Resolution(
        0.15,
        "x",
        "a little more than half of the margin of a quarter, and than the binomial error of 10,000 images at 1 %",
        test_points=10_000,
    ),
)
def shift_does_not_hurt(results: Results) -> Evidence:
    """The same net with the same activations; only norm, optimizer and its rate differ."""
    return at_most("shift-based / vanilla", results.ratio(MNIST, "test_error", "bnn-shift", "bnn"), 1.25, "x")


@claim(
    "shift-does-not-hurt-cifar10",
    "Shift-based BatchNorm and AdaMax do not hurt: the test error on CIFAR-10 is at most a quarter higher.",
    source="Sections 1.3 and 1.4 (Algorithms 2 and 3); the factor of 1.25 is ours",
    experiments=[CIFAR],
    scales=FULL,
    resolution=Resolution(
        0.1, "x", "less than half of the margin of a quarter; a point at the printed 11 %", test_points=10_000
    ),
)
def shift_does_not_hurt_cifar10(results: Results) -> Evidence:
    """The same net with the same activations; only norm, optimizer and its rate differ."""
    return at_most("shift-based / vanilla", results.ratio(CIFAR, "test_error", "bnn-shift", "bnn"), 1.25, "x")


@claim(
    "xnor-is-exact",
    "On packed bits a trained net gives the same classes as in real arithmetic.",
    source="Section 1.5 (Algorithm 4); Figure 3, third group: the test error is that of the other kernels",
    experiments=[MNIST, MLP, CONVNET],
    scales=SCALES,
    resolution=Resolution(0.5, "images", "images are counted whole: half of one a seed tells none from one"),
)
def xnor_is_exact(results: Results) -> Evidence:
    """Test images on which the packed net differs from the net in float32 and in float64, MLP and ConvNet."""
    cases = {"MLP": (MNIST, "bnn"), "MLP, 4096 units": (MLP, "default"), "ConvNet": (CONVNET, "default")}
    return all_of(
        *(
            at_most(f"{name}: other classes", results.interval(*where, "packed_disagreements"), 0, "images")
            for name, where in cases.items()
        )
    )


@claim(
    "xnor-is-faster",
    "Binary products are faster than real ones: with equally naive kernels, with this package's against the library's, "
    "and in a whole net.",
    source="Section 3.2, Figure 3; that all three hold here is our reading",
    experiments=[MATMUL, MLP, CONVNET],
    scales=FULL,
    resolution=Resolution(0.1, "x", "nobody would change a kernel for a tenth of the time"),
)
def xnor_is_faster(results: Results) -> Evidence:
    """Packing is part of the time of a product, as in the paper."""
    cases = {
        "naive kernels": (MATMUL, "naive_over_baseline"),
        "product over the library": (MATMUL, "xnor_over_library"),
        "MLP over the library": (MLP, "xnor_over_library"),
        "ConvNet over the library": (CONVNET, "xnor_over_library"),
    }
    return all_of(
        *(
            more_than(name, results.interval(experiment, "default", metric), 1.0, "x")
            for name, (experiment, metric) in cases.items()
        )
    )


@claim(
    "xnor-23x",
    "The XNOR kernel is 23 times faster than an equally naive float kernel on a product of 8192 x 8192 x 8192.",
    source="Section 3.2, Figure 3 (GTX 750); the bound is what rounds to the printed number",
    experiments=[MATMUL],
    scales=PAPER,
    resolution=Resolution(0.25, "x", "half of what the printed number is rounded by"),
)
def xnor_23x(results: Results) -> Evidence:
    """The paper's own pair of kernels."""
    return at_least("naive kernels", results.interval(MATMUL, "default", "naive_over_baseline"), 22.5, "x")


@claim(
    "xnor-3.4x",
    "The XNOR kernel is 3.4 times faster than the library's float product (cuBLAS) at 8192 x 8192 x 8192.",
    source="Section 3.2, Figure 3 (GTX 750); the bound is what rounds to the printed number",
    experiments=[MATMUL],
    scales=PAPER,
    resolution=Resolution(0.025, "x", "half of what the printed number is rounded by"),
)
def xnor_3_4x(results: Results) -> Evidence:
    """The paper's naive kernel against the library of today."""
    return at_least(
        "naive kernel over the library", results.interval(MATMUL, "default", "naive_over_library"), 3.35, "x"
    )


@claim(
    "mlp-7x",
    "The MNIST MLP runs 7 times faster with the XNOR kernel than with the naive float kernel.",
    source="Abstract; Section 3.2, Figure 3 (GTX 750); the bound is what rounds to the printed number",
    experiments=[MLP],
    scales=FULL,
    resolution=Resolution(0.25, "x", "half of what the printed number is rounded by"),
)
def mlp_7x(results: Results) -> Evidence:
    """The paper's pair: equally naive kernels on bits and on floats, the first layer's pixels in real numbers."""
    return at_least("naive kernels", results.interval(MLP, "default", "naive_over_baseline"), 6.5, "x")


@claim(
    "memory-32x",
    "Weights take 32 times less memory (at least 31 times, since rows are padded to 128 bits).",
    source="Section 3.1",
    experiments=[MLP, CONVNET],
    scales=FULL,
    resolution=Resolution(0.5, "x", "half of what the padding of rows may cost by the claim"),
)
def memory_32x(results: Results) -> Evidence:
    """Measured on the packed nets of the published shapes."""
    return all_of(
        *(
            at_least(name, results.interval(experiment, "default", "memory_ratio"), 31, "x")
            for name, experiment in (("MLP", MLP), ("ConvNet", CONVNET))
        )
    )


@claim(
    "filters-repeat",
    "The 3 x 3 kernels of a trained ConvNet repeat: fewer are distinct than among kernels of random signs.",
    source="Section 3.3 and Figure 2; the comparison with chance is ours",
    experiments=[CIFAR],
    scales=PAPER,
    resolution=Resolution(1, "points", "a hundredth of the kernels; 58 % are said to repeat"),
)
def filters_repeat(results: Results) -> Evidence:
    """Kernels of an input map, inverses as one; with few maps nearly all kernels differ by chance alone."""
    fewer = results.between(CIFAR, "bnn", "unique_filters_chance", "unique_filters")
    return more_than("chance - trained", fewer, 0.0, "points")


@claim(
    "filters-42",
    "About 42 % of the 3 x 3 kernels are distinct (within 5 points).",
    source="Figure 2; the margin, and the way of counting, are ours",
    experiments=[CIFAR],
    scales=PAPER,
    resolution=Resolution(2, "%", "less than half of the margin, to tell the inside of it from its edge"),
)
def filters_42(results: Results) -> Evidence:
    """Only the published net can show the published number."""
    return within("distinct kernels", results.interval(CIFAR, "bnn", "unique_filters"), 5, "%", around=42)


@claim(
    "cifar10-error",
    "The binarized ConvNet reaches 11.40 % test error on CIFAR-10 (within 1 point over seeds).",
    source="Table 1 (Theano); a single run there, so the margin is ours",
    experiments=[CIFAR],
    scales=PAPER,
    resolution=Resolution(0.5, "%", "half of the margin, to tell the inside of it from its edge", test_points=10_000),
)
def cifar10_error(results: Results) -> Evidence:
    """Only the published setting can show the published number."""
    return _error(results, CIFAR, 11.40, 1.0)


@claim(
    "svhn-error",
    "The binarized ConvNet reaches 2.80 % test error on SVHN (within 0.4 points over seeds).",
    source="Table 1 (Theano); a single run there, so the margin is ours",
    experiments=[SVHN],
    scales=PAPER,
    resolution=Resolution(0.2, "%", "half of the margin, to tell the inside of it from its edge", test_points=26_032),
)
def svhn_error(results: Results) -> Evidence:
    """Only the published setting can show the published number."""
    return _error(results, SVHN, 2.80, 0.4)


def _error(results: Results, experiment: str, published: float, margin: float) -> Evidence:
    return within("test error", results.interval(experiment, "bnn", "test_error"), margin, "%", around=published)


@claim(
    "imagenet-one-bit-costs",
    "On photographs one bit costs accuracy: the binarized AlexNet's top-1 accuracy is below the real-valued one's.",
    source="ImageNet results of the QNN companion (41.8 against 56.6 %)",
    experiments=[IMAGENET],
    scales=FULL,
    resolution=Resolution(1, "points", "a fifteenth of the printed gap of 14.8 points", test_points=PHOTOGRAPHS),
)
def imagenet_one_bit_costs(results: Results) -> Evidence:
    """The same architecture with real weights and ReLU."""
    lost = results.difference(IMAGENET, "top1_accuracy", "alexnet-float-relu", "alexnet-bnn")
    return more_than("float (ReLU) - BNN", lost, 0.0, "points")


@claim(
    "imagenet-two-bits-recover",
    "Activations of two bits recover most of what one bit costs: more than half of the gap to the real-valued AlexNet.",
    source="QNN companion, arXiv 1609.07061 (41.8, 51.0 and 56.6 %); 'most' as half is ours",
    experiments=[IMAGENET],
    scales=FULL,
    resolution=Resolution(
        1, "points", "two bits are printed 1.8 points above the middle of the gap", test_points=PHOTOGRAPHS
    ),
)
def imagenet_two_bits_recover(results: Results) -> Evidence:
    """Weights stay binary. There is a gap, and two bits are above its middle, seed by seed."""
    gap = results.difference(IMAGENET, "top1_accuracy", "alexnet-float-relu", "alexnet-bnn")
    middle = {"alexnet-w1a2": 1, "alexnet-bnn": -0.5, "alexnet-float-relu": -0.5}
    above = results.contrast(IMAGENET, "top1_accuracy", middle)
    return all_of(
        more_than("float (ReLU) - BNN", gap, 0.0, "points"),
        more_than("2-bit activations - middle of BNN and float", above, 0.0, "points"),
    )


@claim(
    "imagenet-alexnet-accuracy",
    "The binarized AlexNet reaches 41.8 % top-1 accuracy on ImageNet (within 2 points).",
    source="QNN companion, arXiv 1609.07061; a single run there, so the margin is ours",
    experiments=[IMAGENET],
    scales=PAPER,
    resolution=Resolution(
        1, "%", "half of the margin, to tell the inside of it from its edge", test_points=PHOTOGRAPHS
    ),
)
def imagenet_alexnet_accuracy(results: Results) -> Evidence:
    """Only the published setting can show the published number; one seed gives no interval."""
    return within("top-1", results.interval(IMAGENET, "alexnet-bnn", "top1_accuracy"), 2, "%", around=41.8)
