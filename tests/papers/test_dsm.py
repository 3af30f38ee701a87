"""The Dirichlet scale mixture paper: parts of draws, rows of tables, and what its parameters ask for."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from pydantic import ValidationError
from torch import Generator, nn

from bnnbench.bayes.likelihood import Gaussian, LearnedNoise
from bnnbench.bayes.network import WholeNet
from bnnbench.papers.dsm.nets import Fitted, likelihood_of
from bnnbench.papers.dsm.regression import Data
from bnnbench.papers.dsm.settings import Friedman, Regression


def fitted() -> Fitted:
    """Eight random draws of a net of three inputs and four units, in two chains."""
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    whole = WholeNet(LearnedNoise().extended(net))
    chains = torch.randn(2, 4, whole.n_params, generator=Generator().manual_seed(0), dtype=torch.float64)
    return Fitted(cast(Any, SimpleNamespace(chains=chains, net=whole, sites={})), {})


def test_the_parts_of_a_draw_are_those_of_the_net() -> None:
    found = fitted()
    x = torch.rand(5, 3, dtype=torch.float64)
    parts = found.parts(found.theta)
    hidden = torch.tanh(torch.einsum("np,shp->snh", x, parts["first"]) + parts["bias"][:, None])
    output = torch.einsum("snh,sh->sn", hidden, parts["output"][:, 0]) + found.theta[:, [-2]]
    assert torch.allclose(found.outputs(x), output)


def test_other_first_layer_weights_change_nothing_else() -> None:
    found = fitted()
    theta = found.with_first(found.theta, torch.zeros(8, 4, 3, dtype=torch.float64))
    assert torch.equal(theta[:, 12:], found.theta[:, 12:])
    assert not theta[:, :12].any()
    assert found.spread(4).tolist() == [0, 2, 4, 6]
    assert found.spread(100).tolist() == list(range(8))


def test_targets_are_standardised_by_the_points_that_train() -> None:
    data = Data(([[0.0], [1.0]], [3.0, 5.0]), ([[2.0]], [9.0]))
    assert data.y.tolist() == [-1.0, 1.0]
    assert data.y_test.tolist() == [9.0]
    assert Data(([[0.0], [1.0]], [3.0, 5.0]), ([[2.0]], [9.0]), standardised=False).y.tolist() == [3.0, 5.0]


def test_a_temperature_widens_a_known_noise() -> None:
    """N(y; f, s^2)^(1 / T) is N(y; f, T s^2) up to a constant."""
    cold = likelihood_of(Regression(noise=0.2, temperature=0.25))
    assert isinstance(cold, Gaussian)
    assert cold.noise == pytest.approx(0.1)
    outputs, y = torch.tensor([[[0.3], [0.1]]]), torch.tensor([0.0, 0.5])
    warm = likelihood_of(Regression(noise=0.2))
    ratio = cold.nll(outputs, y).diff() / warm.nll(outputs, y).diff()
    assert ratio.item() == pytest.approx(4.0, rel=1e-4)


def test_a_temperature_without_a_known_noise_is_refused() -> None:
    with pytest.raises(ValidationError, match="temperature"):
        Friedman(temperature=0.1)
