"""Posteriors of trained nets: calibration, other data, shifts, distance to HMC (Tables 4.1 to 4.4, E.1 to E.3)."""

from typing import TYPE_CHECKING

from bnnbench.harness.experiment import Outcome, experiment
from bnnbench.harness.run import Run
from bnnbench.papers.refinement.settings import METRICS, Posterior

if TYPE_CHECKING:
    from torch import Tensor

    from bnnbench.bayes.posterior import ClassPredictive


@experiment("refinement/fmnist", params=Posterior, metrics=METRICS)
def fmnist(params: Posterior, run: Run) -> Outcome:
    """LeNet on Fashion-MNIST."""
    return _measured(params, run)


@experiment("refinement/cifar10", params=Posterior, metrics=METRICS)
def cifar10(params: Posterior, run: Run) -> Outcome:
    """WRN-16-4 on CIFAR-10."""
    return _measured(params, run)


@experiment("refinement/cifar100", params=Posterior, metrics=METRICS)
def cifar100(params: Posterior, run: Run) -> Outcome:
    """WRN-16-4 on CIFAR-100."""
    return _measured(params, run)


@experiment("refinement/prior-mismatch", params=Posterior, metrics=METRICS)
def prior_mismatch(params: Posterior, run: Run) -> Outcome:
    """The control that the paper lacks: Gaussians with the target's prior beside those with a prior of their own."""
    return _measured(params, run)


@experiment("refinement/flow-length", params=Posterior, metrics=METRICS)
def flow_length(params: Posterior, run: Run) -> Outcome:
    """Flows of several lengths from the Laplace approximation and from N(0, I), and what they cost."""
    return _measured(params, run)


@experiment("refinement/cifar10-flow-length", params=Posterior, metrics=METRICS)
def cifar10_flow_length(params: Posterior, run: Run) -> Outcome:
    """The same on CIFAR-10, as in the paper."""
    return _measured(params, run)


@experiment("refinement/all-layer", params=Posterior, metrics=METRICS)
def all_layer(params: Posterior, run: Run) -> Outcome:
    """All weights of a small MLP (Table E.2)."""
    return _measured(params, run)


def _measured(params: Posterior, run: Run) -> Outcome:
    """Fits the method and measures its predictions, and its draws of the weights beside HMC's."""
    from bnnbench.papers.refinement import evaluate, fitting, shift
    from bnnbench.papers.refinement.splits import splits

    data = splits(params, run)
    here = fitting.setting(params, data, run)
    posterior, cost = fitting.fitted(params, here, run)

    def predict(images: "Tensor") -> "ClassPredictive":
        return fitting.prediction(posterior, here.inputs(images), params, run)

    test = predict(data.x_test)
    parts = [
        Outcome({**evaluate.predictive_metrics(test, data.y_test), **cost}),
        fitting.weights(posterior, params, here, run),
        shift.other_data(predict, test, params, run),
        shift.rotations(predict, data, params),
        shift.corruptions(predict, data, params, run),
    ]
    return Outcome(
        {name: value for part in parts for name, value in part.metrics.items()},
        {name: table for part in parts for name, table in part.tables.items()},
        [text for part in parts for text in part.warnings],
    )
