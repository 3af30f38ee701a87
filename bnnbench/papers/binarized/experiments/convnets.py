"""The ConvNets on CIFAR-10 and SVHN (Sections 2.2, 2.3 and Table 1), by the authors' Theano and Torch7 recipes."""

from bnnbench.harness.experiment import Metric, Outcome, experiment
from bnnbench.harness.run import Run
from bnnbench.papers.binarized.settings import METRICS, ConvNet

FILTERS = (
    Metric("unique_filters", "%", description="distinct kernels of an input map, inverses as one, mean of layers"),
    Metric("unique_filters_chance", "%", description="the same for kernels of random signs, expected"),
)


@experiment("binarized/cifar10-convnet", params=ConvNet, metrics=[*METRICS, *FILTERS])
def cifar10_convnet(params: ConvNet, run: Run) -> Outcome:
    """Trains one net; reports errors as `mnist-mlp` does, and how often its kernels repeat."""
    return _convnet(params, run)


@experiment("binarized/svhn-convnet", params=ConvNet, metrics=[*METRICS, *FILTERS])
def svhn_convnet(params: ConvNet, run: Run) -> Outcome:
    """The same net at half the maps, on house numbers."""
    return _convnet(params, run)


def _convnet(params: ConvNet, run: Run) -> Outcome:
    import torch

    from bnnbench.papers.binarized import packing
    from bnnbench.papers.binarized.filters import repetition
    from bnnbench.papers.binarized.networks import convnet
    from bnnbench.papers.binarized.splits import classification_splits
    from bnnbench.papers.binarized.training import train

    splits = classification_splits(params, run, images=True)
    net = convnet(splits.shape, splits.n_classes, params, run.generator)
    # Channels last, in which convolutions are up to twice as fast on CPUs and on tensor cores.
    net = net.to(torch.device(run.device), memory_format=torch.channels_last)  # type: ignore[call-overload]
    trained = train(net, splits, params, run)
    same = packing.agreement(net, splits, trained.outputs) if packing.packs(params, splits) else {}
    repeated, tables = repetition(net)
    return Outcome({**trained.metrics, **same, **repeated}, {**trained.tables, **tables}, splits.warnings)
