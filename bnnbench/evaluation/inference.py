"""A method fitted to a problem: its posterior, what the fit cost, its predictions and its draws of weights."""

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, TypeVar

import torch
from torch import Generator, Tensor

from bnnbench.bayes.diagnostics import broken_bounds
from bnnbench.bayes.posterior import Posterior, Predictive
from bnnbench.evaluation import cost
from bnnbench.evaluation.problem import Problem
from bnnbench.evaluation.scores import distance_scores
from bnnbench.harness import registry
from bnnbench.harness.config import parse
from bnnbench.harness.experiment import Outcome
from bnnbench.harness.run import Run

P = TypeVar("P", bound=Predictive)
Sample = Callable[[int, Generator | None], Tensor]
DIAGNOSED = 100  # points whose outputs are diagnosed along the chains
SHOWN_WEIGHTS = 4  # weights whose draws are kept as marginal distributions


def fit(method: str, options: Mapping[str, Any], here: Problem, run: Run) -> tuple[Posterior, dict[str, float]]:
    """The posterior of a registered method, and what its fit cost (`measures.COST`).

    A net that is already trained is not trained again. Raises `UserError` for options that the method does not have.
    """
    chosen: Any = registry.method(method)
    if here.scope != "all" and "training" in chosen.params.model_fields:
        options = {"training": None, **options}
    params = parse(chosen.params, options, f"method {method!r}", "options.")
    posterior: Posterior
    posterior, took = cost.measured(
        lambda: chosen.fit(here.model, here.train, params, run.generator("method"), run), run.device
    )
    bits = cost.stored_bits((posterior, here.features)) / here.n_weights
    return posterior, {**took.of_fit(), "bits_per_weight": bits}


def predict(posterior: Posterior, x: Tensor, n_draws: int | None, run: Run) -> Predictive:
    """Predictions at x with the same random stream for every call, so that differences between calls are not noise."""
    return posterior.predict(x, n_draws, Generator().manual_seed(run.seed + 1))


def timed(predict: Callable[[Tensor], P], x: Tensor, run: Run) -> tuple[P, dict[str, float]]:
    """Predictions at x, and the milliseconds for each input."""
    predicted, took = cost.measured(lambda: predict(x), run.device)
    return predicted, {"predict_ms": 1000 * took.seconds / len(x)}


def diagnosed(posterior: Posterior, x: Tensor) -> Outcome:
    """The diagnostics of a posterior, its prior precision and its chains, at the first `DIAGNOSED` of the points x.

    A number beyond its bound (`bayes.diagnostics.BOUNDS`) gives a warning, which the report and the claims show.
    """
    numbers_of_fit: dict[str, float] = {}
    rhat = getattr(posterior, "rhat", None)
    if rhat is not None and rhat.isfinite().all():  # stuck chains have no R-hat, of which the fit has warned
        numbers_of_fit |= {"rhat": rhat.mean().item(), "rhat_max": rhat.max().item()}
    precision = getattr(getattr(posterior, "distribution", None), "precision", None)
    if precision is not None:
        numbers_of_fit["prior_precision"] = float(precision)
    if not hasattr(posterior, "diagnostics"):
        return Outcome(numbers_of_fit)
    numbers = posterior.diagnostics(x[:DIAGNOSED])
    finite = {name: value for name, value in numbers.items() if isfinite(value)}
    return Outcome({**numbers_of_fit, **finite}, {}, broken_bounds(numbers))


def compared(sample: Sample, reference: Tensor, run: Run) -> Outcome:
    """Draws of weights compared with reference draws [T, P]; empty where their numbers of weights differ."""
    mine = sample(len(reference), Generator().manual_seed(run.seed + 2)).cpu()
    if mine.shape[1] != reference.shape[1]:
        return Outcome({})
    if len(mine) == 1:  # a point estimate counts as T copies, as in Kristiadi et al. (2022)
        return Outcome(distance_scores(mine.expand(len(reference), -1), reference))
    spread = {"weight_std": mine.std(0).mean().item()}
    return Outcome({**spread, **distance_scores(mine, reference)}, {"marginals": _marginals(mine)})


def merged(*parts: Outcome) -> Outcome:
    """Metrics, tables and warnings of all parts in one."""
    return Outcome(
        {name: value for part in parts for name, value in part.metrics.items()},
        {name: table for part in parts for name, table in part.tables.items()},
        [text for part in parts for text in part.warnings],
    )


def _marginals(draws: Tensor) -> dict[str, list[Any]]:
    """Draws of a few weights, the same for all methods and seeds."""
    chosen = torch.randperm(draws.shape[1], generator=Generator().manual_seed(0))[:SHOWN_WEIGHTS].tolist()
    return {"weight": [k for k in chosen for _ in draws], "value": [v for k in chosen for v in draws[:, k].tolist()]}
