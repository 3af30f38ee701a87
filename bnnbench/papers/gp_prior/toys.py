"""The problem that a method on a toy gets: a net with one hidden layer, points, and a prior."""

from math import sqrt

from torch import Tensor, nn

from bnnbench.bayes.gp_weights.prior import hierarchical
from bnnbench.bayes.layers import layers_of
from bnnbench.bayes.likelihood import Likelihood
from bnnbench.bayes.method import Train
from bnnbench.bayes.prior import IndependentNormal, NumpyroPrior
from bnnbench.evaluation.networks import initialised, perceptron
from bnnbench.evaluation.problem import Origin, Problem
from bnnbench.harness.run import Run
from bnnbench.papers.gp_prior.settings import OWN_PRIOR, Toy


def posed(params: Toy, x: Tensor, y: Tensor, likelihood: Likelihood, n_outputs: int, run: Run) -> Problem:
    """The net at new initial weights, with the training points x [N, D], y [N]."""
    activation = nn.Tanh if params.activation == "tanh" else nn.ReLU

    def new(run: Run) -> nn.Module:
        net = perceptron((x.shape[1], params.width, n_outputs), activation)
        return initialised(net, run.generator("init")).to(run.device)

    net = new(run)
    prior = None if params.method in OWN_PRIOR else _prior(params, net)
    train = Train(x.to(run.device), y.to(run.device), likelihood, prior=prior)
    return Problem(net, train, Origin(new, train, {}, {}, ()), "all")


def _prior(params: Toy, net: nn.Module) -> IndependentNormal | NumpyroPrior:
    if params.prior == "process":
        return hierarchical()
    return IndependentNormal({layer.name: params.factor / sqrt(layer.fan_in) for layer in layers_of(net)})
