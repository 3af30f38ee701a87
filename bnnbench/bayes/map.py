"""The point estimate: maximum a posteriori, by training with weight decay."""

from copy import deepcopy

from pydantic import Field
from torch import Generator, nn

from bnnbench.bayes.journal import Journal
from bnnbench.bayes.method import MethodParams, Train, method
from bnnbench.bayes.network import WholeNet, flat, trainable
from bnnbench.bayes.training import Training, train_module
from bnnbench.bayes.weights import NetPosterior, Stored


class MAPParams(MethodParams):
    """Parameters of the point estimate."""

    training: Training | None = Field(Training(), description="none where the model comes trained")


def trained(
    model: nn.Module, train: Train, training: Training | None, generator: Generator | None, journal: Journal
) -> nn.Module:
    """A trained copy of `model`, or a copy of it as it came where `training` is `None`."""
    if training is None:
        return deepcopy(model).eval()
    return train_module(model, train, training, generator, journal)


@method("map", MAPParams)
def map_estimate(
    model: nn.Module, train: Train, params: MAPParams, generator: Generator, journal: Journal
) -> NetPosterior:
    """All parameters but frozen ones at their mode; the precision of the prior is weight decay times number of points.

    A prior given with the data takes the place of weight decay.
    """
    net = trained(model, train, params.training, generator, journal)
    return NetPosterior(WholeNet(net), Stored(flat(trainable(net)).unsqueeze(0)), train.likelihood)
