"""The permutation-invariant MLP on MNIST (Section 2.1 and Table 1), by the authors' Theano and Torch7 recipes."""

from bnnbench.harness.experiment import Outcome, experiment
from bnnbench.harness.run import Run
from bnnbench.papers.binarized.settings import METRICS, MLP


@experiment("binarized/mnist-mlp", params=MLP, metrics=METRICS)
def mnist_mlp(params: MLP, run: Run) -> Outcome:
    """Trains one net and reports its test error at the epoch that validation chooses, and that of its packed net."""
    import torch

    from bnnbench.papers.binarized import packing
    from bnnbench.papers.binarized.networks import mlp
    from bnnbench.papers.binarized.splits import classification_splits
    from bnnbench.papers.binarized.training import train

    splits = classification_splits(params, run, images=False)
    channels, height, width = splits.shape
    net = mlp(channels * height * width, splits.n_classes, params, run.generator).to(torch.device(run.device))
    trained = train(net, splits, params, run)
    same = packing.agreement(net, splits, trained.outputs) if packing.packs(params, splits) else {}
    return Outcome({**trained.metrics, **same}, trained.tables, splits.warnings)
