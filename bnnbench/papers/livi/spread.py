"""The weights that a method draws: modes, correlations across layers, and the entropy's bounds of a generator."""

from typing import Any

import torch
from torch import Generator, Tensor

from bnnbench.bayes.implicit import entropy
from bnnbench.bayes.implicit.family import Implicit
from bnnbench.bayes.implicit.livi import LIVIParams
from bnnbench.bayes.network import WholeNet
from bnnbench.bayes.noise import normal
from bnnbench.evaluation.dependence import across_layers, layer_sizes
from bnnbench.evaluation.problem import Problem
from bnnbench.harness.experiment import Outcome
from bnnbench.harness.run import Run
from bnnbench.metrics.modes import n_modes
from bnnbench.papers.livi.settings import Toy

SHOWN = 50  # weight vectors that are drawn as lines
DRAWS = 100  # of noise, over which the bounds are averaged


def of_weights(here: Problem, theta: Tensor, run: Run) -> Outcome:
    """Correlations across layers and modes of weights [S, P], without the noise, and some vectors for a drawing."""
    net = WholeNet(here.model)
    sizes = layer_sizes(net)
    weights = theta[:, : sum(sizes)]
    table: dict[str, list[Any]] = {"draw": [], "weight": [], "value": []}
    for k, vector in enumerate(weights[:: max(1, len(weights) // SHOWN)][:SHOWN]):
        table["draw"] += [k] * len(vector)
        table["weight"] += list(range(len(vector)))
        table["value"] += vector.tolist()
    if len(weights) < 10:  # a point estimate or a few members have neither correlations nor densities
        return Outcome({}, {"weights": table})
    together, apart = across_layers(weights, sizes, run.generator("pairs"))
    multimodal = 100 * (n_modes(weights) > 1).double().mean().item()
    return Outcome({"correlation": together, "correlation_floor": apart, "multimodal": multimodal}, {"weights": table})


def of_generator(posterior: Any, params: Toy, run: Run) -> Outcome:
    """The entropy of a fitted generator, and its bound by exact and by iterated smallest singular values."""
    fitted = getattr(posterior, "distribution", None)
    if not isinstance(fitted, Implicit):
        return Outcome({})
    iterations = params.options.get("iterations", LIVIParams().iterations)
    with torch.no_grad():
        z = normal((DRAWS, fitted.generator.n_noise), Generator().manual_seed(run.seed), fitted.centre)
        at = fitted.generator.linearised(z)
        jacobian = at.jacobian()
        exact = torch.linalg.svdvals(jacobian.double())[:, -1]
        start = entropy.random_directions(DRAWS, fitted.generator.n_noise, run.generator("directions"), fitted.centre)
        found = entropy.smallest_singular_value(at, entropy.towards_smallest(at, start, iterations)).double()
        n_noise = fitted.generator.n_noise
        bounds = [entropy.smallest_value_bound(value, n_noise, fitted.sigma).mean().item() for value in (exact, found)]
        return Outcome(
            {
                "half_log_det": entropy.log_det(jacobian, fitted.sigma).mean().item(),
                "bound": bounds[0],
                "bound_iterated": bounds[1],
                "excess": (found / exact.clamp_min(1e-12)).median().item(),
            }
        )
