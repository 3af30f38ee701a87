"""Functions of the toy regression: where their bands are wide, and how far they are from those of long chains."""

import torch
from torch import Tensor

from bnnbench.bayes.network import LOG_NOISE, WholeNet, evaluate
from bnnbench.data.synthetic import LONGEST, WAVES_NOISE, waves
from bnnbench.evaluation import scores
from bnnbench.evaluation.problem import Problem
from bnnbench.harness.experiment import Outcome
from bnnbench.harness.run import Run
from bnnbench.metrics.regression import rmse

GRID = torch.linspace(-1.5, 1.5, 121)
QUANTILES = torch.linspace(0.005, 0.995, 100)
NEW = 400  # points within the clusters


def measured(here: Problem, theta: Tensor, reference: Tensor, run: Run) -> Outcome:
    """Measures of weights [S, P] against reference draws [T, P], and the band of functions as a table."""
    net = WholeNet(here.model)
    x, clean, y = _new_points(run)
    outputs, noise = evaluate(net, theta, x), net.named(theta)[LOG_NOISE].exp().mean().item()
    numbers = scores.scores(here.train.likelihood.predictive(outputs), y, run.generator("targets"))
    numbers["rmse_clean"] = rmse(outputs[..., 0].mean(0), clean)
    numbers["noise"] = noise
    functions = evaluate(net, theta, GRID[:, None])[..., 0]
    expected = evaluate(net, reference, GRID[:, None])[..., 0]
    numbers |= _by_region(functions, expected)
    return Outcome(numbers, {"band": _band(functions, noise), "points": _points(here)})


def _new_points(run: Run) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs [N, 1] where there are points, the function there, and targets with noise."""
    rng = run.rng("new points")
    x = rng.uniform(0.61, LONGEST, NEW) * rng.choice([-1.0, 1.0], NEW)
    clean = waves(x)
    y = clean + rng.normal(0, WAVES_NOISE, NEW)
    inputs, function, targets = (torch.tensor(part, dtype=torch.float32) for part in (x / LONGEST, clean, y))
    return inputs[:, None], function, targets


def regions() -> dict[str, Tensor]:
    """Which points of the grid lie in each region."""
    size = GRID.abs()
    return {"inside": (size >= 0.477) & (size <= 1), "gap": size < 0.35, "outside": size > 1.2}


def _by_region(functions: Tensor, expected: Tensor) -> dict[str, float]:
    """Widths of the central 90 % of functions [S, N], and distances of their quantiles to those expected [T, N]."""
    low, high = functions.quantile(torch.tensor([0.05, 0.95]), dim=0)
    distance = (functions.quantile(QUANTILES, dim=0) - expected.quantile(QUANTILES, dim=0)).abs().mean(0)
    numbers = {}
    for name, inside in regions().items():
        numbers[f"width_{name}"] = (high - low)[inside].mean().item()
        numbers[f"distance_{name}"] = distance[inside].mean().item()
    return numbers


def _band(functions: Tensor, noise: float) -> dict[str, list[float]]:
    """Mean and central 90 % of functions, and the half-width that twice the mean noise adds."""
    low, high = functions.quantile(torch.tensor([0.05, 0.95]), dim=0)
    return {
        "x": GRID.tolist(), "mean": functions.mean(0).tolist(), "low": low.tolist(), "high": high.tolist(),
        "noise": [2 * noise] * len(GRID),
    }  # fmt: skip


def _points(here: Problem) -> dict[str, list[float]]:
    return {"x": here.train.x[:, 0].tolist(), "y": here.train.y.tolist()}
