"""Posteriors of trained nets: calibration, other data, rotations, distance to HMC (Tables 4.1 to 4.4, E.1, E.3)."""

from typing import Any

from bnnbench.harness.experiment import Outcome, experiment
from bnnbench.harness.run import Run
from bnnbench.papers.refinement.settings import METRICS, Posterior


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


@experiment("refinement/all-layer", params=Posterior, metrics=METRICS)
def all_layer(params: Posterior, run: Run) -> Outcome:
    """All weights of a small MLP (Table E.2)."""
    return _measured(params, run)


def _measured(params: Posterior, run: Run) -> Outcome:
    """Fits the method and measures its predictions, and its draws of the weights beside HMC's."""
    from bnnbench.papers.refinement import evaluate, fitting
    from bnnbench.papers.refinement.splits import others, rotated, splits

    data = splits(params, run)
    here = fitting.setting(params, data, run)
    posterior, seconds = fitting.fitted(params, here, run)
    test = fitting.prediction(posterior, here.inputs(data.x_test), params, run)
    metrics = {**evaluate.predictive_metrics(test, data.y_test), "fit_seconds": seconds}
    if params.scope != "all":
        metrics |= _beside_hmc(posterior, params, here, run)
    for name, images in others(params, run).items():
        outside = fitting.prediction(posterior, here.inputs(images), params, run)
        metrics |= evaluate.detection_metrics(test, outside, name)
    turned: dict[str, list[Any]] = {"angle": [], "nll": []}
    some = slice(params.n_rotated)
    for angle in params.angles:
        x = here.inputs(rotated(data.x_test[some], angle))
        found = evaluate.predictive_metrics(fitting.prediction(posterior, x, params, run), data.y_test[some])
        turned["angle"].append(angle)
        turned["nll"].append(found["nll"])
    tables: dict[str, Any] = {"rotation": turned} if params.angles else {}
    if params.severities:
        tables["corruption"] = _corrupted(posterior, data, here, params, run)
    return Outcome(metrics, tables)


def _corrupted(posterior: Any, data: Any, here: Any, params: Posterior, run: Run) -> dict[str, list[Any]]:
    """NLL by kind and severity of the corruptions of `bnnbench.data.corruptions`, which are not the official ones."""
    from bnnbench.data.corruptions import STRENGTHS
    from bnnbench.papers.refinement import evaluate, fitting
    from bnnbench.papers.refinement.splits import corrupted

    table: dict[str, list[Any]] = {"kind": [], "severity": [], "nll": []}
    some = slice(params.n_corrupted)
    for kind in STRENGTHS:
        for severity in params.severities:
            images = corrupted(data.x_test[some], kind, severity, run)
            found = fitting.prediction(posterior, here.inputs(images), params, run)
            table["kind"].append(kind)
            table["severity"].append(severity)
            table["nll"].append(evaluate.predictive_metrics(found, data.y_test[some])["nll"])
    return table


def _beside_hmc(posterior: Any, params: Posterior, here: Any, run: Run) -> dict[str, float]:
    import torch

    from bnnbench.papers.refinement import evaluate, fitting

    found: dict[str, float] = {}
    if hasattr(posterior, "rhat"):
        found["rhat"] = posterior.rhat.mean().item()
    distribution = getattr(posterior, "distribution", None)
    if hasattr(distribution, "precision"):
        found["prior_precision"] = float(distribution.precision)  # type: ignore[union-attr]
    if not hasattr(posterior, "sample"):
        return found
    draws = fitting.reference(params, here, run)["draws"]
    mine = posterior.sample(len(draws), torch.Generator().manual_seed(run.seed + 2))
    if mine.shape[1] != draws.shape[1]:
        return found
    if len(mine) == 1:  # a point counts as so many copies of itself, as published
        mine = mine.expand(len(draws), -1)
    return {**found, **evaluate.distance_metrics(mine, draws)}
