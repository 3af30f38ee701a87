"""The paper's claims as tests over results."""

from bnnbench.harness.claim import Evidence, all_of, at_least, at_most, claim, more_than
from bnnbench.harness.collect import Results

MNIST = "binarized/mnist-mlp"
IMAGENET = "binarized/imagenet"
FULL = ("laptop", "paper")


@claim(
    "bnn-close-to-float",
    "The binarized MLP's test error is within 2.5 points of the real-valued net of the same shape.",
    source="Section 2, Table 1; the margin is ours (Table 1's BNNs are 2.5 and 3.8 points behind the best on CIFAR-10)",
    experiments=[MNIST],
    scales=FULL,
)
def bnn_close_to_float(results: Results) -> Evidence:
    """Against both real-valued nets: ReLU, and HardTanh, whose gradient the BNN uses."""
    return all_of(
        *(
            at_most(f"BNN - {name}", results.difference(MNIST, "test_error", "bnn", name), 2.5, "points")
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
)
def binaryconnect_between(results: Results) -> Evidence:
    """Two parts: not worse than the BNN, and not better than the real-valued net with the same activation."""
    below = results.difference(MNIST, "test_error", "binaryconnect", "bnn")
    above = results.difference(MNIST, "test_error", "binaryconnect", "float-relu")
    return all_of(
        at_most("BinaryConnect - BNN", below, 0.0, "points"),
        at_least("BinaryConnect - float (ReLU)", above, 0.0, "points"),
    )


@claim(
    "mask-matters",
    "Cancelling the gradient where |x| > 1 matters: without it the test error is at least 2 points higher.",
    source="Section 1.3 (straight-through estimator); the margin is ours",
    experiments=[MNIST],
    scales=FULL,
)
def mask_matters(results: Results) -> Evidence:
    """An ablation against the same net with the mask."""
    cost = results.difference(MNIST, "test_error", "bnn-no-mask", "bnn")
    return at_least("without mask - BNN", cost, 2.0, "points")


@claim(
    "learning-rate-scale-matters",
    "The learning-rate scale of each layer matters: without it the test error is at least 2 points higher.",
    source="Algorithm 1 (gamma); the margin is ours",
    experiments=[MNIST],
    scales=FULL,
)
def learning_rate_scale_matters(results: Results) -> Evidence:
    """An ablation against the same net with the scale."""
    cost = results.difference(MNIST, "test_error", "bnn-no-lr-scale", "bnn")
    return at_least("without scale - BNN", cost, 2.0, "points")


@claim(
    "clipping-matters",
    "Clipping the latent weights to [-1, 1] matters: without it the test error is higher.",
    source="Algorithm 1 (clip); Section 1.1",
    experiments=[MNIST],
    scales=FULL,
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
    scales=["paper"],
)
def mnist_error(results: Results) -> Evidence:
    """Only the published setting can show the published number."""
    error = results.interval(MNIST, "bnn", "test_error")
    return all_of(at_most("test error", error, 1.26, "%"), at_least("test error", error, 0.66, "%"))


@claim(
    "imagenet-one-bit-costs",
    "On photographs one bit costs accuracy: the binarized AlexNet's top-1 accuracy is below the real-valued one's.",
    source="ImageNet results of the QNN companion (41.8 against 56.6 %, the latter unverified)",
    experiments=[IMAGENET],
    scales=FULL,
)
def imagenet_one_bit_costs(results: Results) -> Evidence:
    """The same architecture with real weights and ReLU."""
    lost = results.difference(IMAGENET, "top1_accuracy", "alexnet-float-relu", "alexnet-bnn")
    return more_than("float (ReLU) - BNN", lost, 0.0, "points")


@claim(
    "imagenet-alexnet-accuracy",
    "The binarized AlexNet reaches 41.8 % top-1 accuracy on ImageNet (within 2 points).",
    source="QNN companion, arXiv 1609.07061; a single run there, so the margin is ours",
    experiments=[IMAGENET],
    scales=["paper"],
)
def imagenet_alexnet_accuracy(results: Results) -> Evidence:
    """Only the published setting can show the published number; one seed gives no interval."""
    accuracy = results.interval(IMAGENET, "alexnet-bnn", "top1_accuracy")
    return all_of(at_most("top-1", accuracy, 43.8, "%"), at_least("top-1", accuracy, 39.8, "%"))
