"""One table: every method, and what it gives of two posteriors that are known exactly."""

import warnings
from typing import Any, NamedTuple

import pytest
import torch
from problems import Conjugate, Grid, conjugate, grid, stream
from torch import Tensor, nn

from bnnbench.bayes.likelihood import Categorical
from bnnbench.bayes.method import Train
from bnnbench.bayes.network import LinearNet
from bnnbench.bayes.target import Target
from bnnbench.errors import ResultWarning
from bnnbench.harness import registry

PRECISION = 2.0


class Row(NamedTuple):
    """Options of a method, and what its draws have of a normal posterior and of a skewed one.

    Means lie within `mean` posterior deviations of the exact ones. `spread` says what the deviations are: those of the
    posterior ("exact"), those of each parameter given the others (which a product of normals and a diagonal curvature
    have), none ("point"), or no matter which ("other"). They agree within a share of `rtol`; for the skewed posterior,
    of which no method but a sampler is exact, means and deviations agree within `skewed_mean` and `skewed`.
    """

    options: dict[str, Any]
    mean: float
    spread: str
    rtol: float = 0.0
    skewed_mean: float = 0.5
    skewed: float = 0.4


def training(n_points: int) -> dict[str, Any]:
    """Down to the mode: a decay of precision / N makes it that of the posterior."""
    return {"epochs": 800, "batch_size": n_points, "learning_rate": 0.03, "weight_decay": PRECISION / n_points}


def table(n_points: int) -> dict[str, Row]:
    fit = training(n_points)
    sampling = {"chains": 4, "draws": 400, "warmup": 150}
    laplace = {"training": fit, "precision": PRECISION}
    linear = {"kind": "dense", "noise": 3, "hidden": []}
    refine = {"epochs": 60, "learning_rate": 5e-3, "schedule": "cosine", "batch_size": n_points // 4}
    noisy = {
        "epochs_per_cycle": 1500,
        "draws_per_cycle": 1200,
        "noisy_epochs": 1300,
        "cycles": 2,
        "batch_size": n_points,
    }
    return {
        "map": Row({"training": fit}, 0.02, "point"),
        "ensemble": Row({"training": fit, "members": 3}, 0.02, "point"),
        "dropout": Row({"training": fit, "first": True, "rate": 0.002}, 0.3, "other"),
        "mfvi": Row({"training": {**fit, "epochs": 1500, "schedule": "cosine", "weight_decay": 0.0},
                     "precision": PRECISION, "kl_weight": 1.0}, 0.2, "given others", 0.15),
        "livi": Row({"training": {**fit, "epochs": 2500, "learning_rate": 0.02, "schedule": "cosine",
                                  "weight_decay": 0.0}, "generator": linear,
                     "precision": PRECISION, "sigma": 0.003, "samples": 8}, 0.1, "exact", 0.1),
        "avb": Row({"training": {**fit, "epochs": 3000, "learning_rate": 0.01, "schedule": "cosine",
                                 "weight_decay": 0.0}, "generator": linear, "discriminator_rate": 1.0,
                    "precision": PRECISION, "sigma": 0.003, "samples": 8}, 0.7, "exact", 0.3),
        "kivi": Row({"training": {**fit, "epochs": 2500, "learning_rate": 0.02, "schedule": "cosine",
                                  "weight_decay": 0.0}, "generator": linear,
                     "precision": PRECISION, "sigma": 0.003, "samples": 8, "compared": 200, "ridge": 1e-5},
                    0.5, "exact", 0.6),
        "swag": Row({"training": fit, "snapshots": 20}, 0.5, "other"),
        "csghmc": Row(
            {**noisy, "learning_rate": 0.05, "friction": 0.3, "weight_decay": fit["weight_decay"]}, 0.3, "exact", 0.3
        ),
        "laplace": Row(laplace, 0.1, "exact", 0.05),
        "laplace, diagonal": Row({**laplace, "structure": "diagonal"}, 0.1, "given others", 0.05),
        "refine": Row({"training": fit, "precision": PRECISION, "laplace": {"precision": PRECISION},
                       "optimisation": refine}, 0.25, "exact", 0.15),
        "hmc": Row({"training": fit, "precision": PRECISION, "sampling": sampling}, 0.1, "exact", 0.06, 0.1, 0.1),
        "nuts": Row({"training": fit, "precision": PRECISION, **sampling}, 0.15, "exact", 0.1, 0.15, 0.15),
    }  # fmt: skip


NAMES = tuple(table(64))
WITHOUT_WEIGHTS = {"temperature", "gp"}  # which draw none
OWN_PRIOR = {"metagp", "metaprior"}  # their posteriors are others: test_gp_weights.py


def test_every_method_of_the_project_has_a_row() -> None:
    ours = {name for name, point in registry.methods().items() if point.value.startswith("bnnbench.")}
    assert {name.partition(",")[0] for name in NAMES} == ours - WITHOUT_WEIGHTS - OWN_PRIOR


def draws(name: str, model: nn.Module, train: Train, options: dict[str, Any]) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResultWarning)  # short chains say that they are short
        posterior: Any = registry.method(name.partition(",")[0]).fit(model, train, options, stream(1))
    found: Tensor = posterior.sample(2000, stream(2)).double()
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_normal_posterior(name: str) -> None:
    """Linear regression with known noise, whose weights are correlated by their design."""
    known = correlated()
    row = table(len(known.train))[name]
    found = draws(name, known.model, known.train, row.options)
    deviation = known.covariance.diagonal().sqrt()
    assert ((found.mean(0) - known.mean).abs() < row.mean * deviation).all()
    expected = {
        "exact": deviation,
        "given others": known.covariance.inverse().diagonal().rsqrt(),
        "point": torch.zeros_like(deviation),
    }
    if row.spread != "other":
        spread = found.std(0, correction=0)
        assert torch.allclose(spread, expected[row.spread], rtol=row.rtol, atol=0.02 * deviation.min().item())


def correlated() -> Conjugate:
    """The conjugate problem with features that share half of their variance."""
    known = conjugate(n=64, n_features=2, precision=PRECISION)
    x = known.train.x @ torch.tensor([[1.0, 0.7], [0.0, 0.7]])
    design = torch.cat([x, torch.ones(len(x), 1)], dim=1).double()
    covariance = (design.T @ design / 0.25 + PRECISION * torch.eye(3, dtype=torch.float64)).inverse()
    mean = covariance @ design.T @ known.train.y.double() / 0.25
    return Conjugate(Train(x, known.train.y, known.train.likelihood), known.model, PRECISION, mean, covariance)


@pytest.mark.parametrize("name", NAMES)
def test_a_skewed_posterior(name: str) -> None:
    """Few labelled points of one feature and two logits, against a grid."""
    model, train, exact = few_labels()
    row = table(len(train))[name]
    found = draws(name, model, train, row.options)
    deviation = exact.covariance.diagonal().sqrt()
    assert ((found.mean(0) - exact.mean).abs() < row.skewed_mean * deviation).all()
    if row.spread in ("exact", "given others"):
        assert torch.allclose(found.std(0), deviation, rtol=row.skewed)


def few_labels() -> tuple[nn.Module, Train, Grid]:
    x = torch.linspace(0.2, 3, 20).unsqueeze(1)
    y = torch.tensor([0, 1, 0, 1, 1, 1, 1, 1, 1, 1]).repeat_interleave(2)
    model = nn.Linear(1, 2, bias=False)
    nn.init.zeros_(model.weight)
    target = Target(LinearNet(1, 2, bias=False), x.double(), y, Categorical(), PRECISION)
    exact = grid(target, torch.zeros(2, dtype=torch.float64), torch.full((2,), 4.0, dtype=torch.float64))
    return model, Train(x, y, Categorical()), exact
