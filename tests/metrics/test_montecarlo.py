"""Standard errors against scipy, the paper's example and simulation."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from metric_makers import seeds
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import norm, sem

from bnnbench.metrics.montecarlo import standard_error, standard_errors


@given(st.integers(2, 40), seeds, st.sampled_from([torch.float32, torch.float64]))
def test_against_scipy(s: int, seed: int, dtype: torch.dtype) -> None:
    draws = torch.from_numpy(np.random.default_rng(seed).normal(1, 3, (s, 2, 3))).to(dtype)
    assert standard_errors(draws).numpy() == pytest.approx(sem(draws.double().numpy(), axis=0))
    assert standard_error(draws[:, 0, 0]) == pytest.approx(sem(draws[:, 0, 0].double().numpy()))


def test_sigmoid_of_a_wide_normal() -> None:
    """Kristiadi et al. (2022), figure 4.1a of the dissertation: N(5, 10^2), 0.08 at 30 draws and 0.006 at 5000."""
    moment = [quad(lambda f, k=k: expit(f) ** k * norm(5, 10).pdf(f), -120, 130, limit=400)[0] for k in (1, 2)]
    deviation = np.sqrt(moment[1] - moment[0] ** 2)
    draws = torch.from_numpy(np.random.default_rng(0).normal(5, 10, 5000)).sigmoid()
    assert standard_error(draws) == pytest.approx(deviation / np.sqrt(5000), rel=0.05)
    assert standard_error(draws[:30]) == pytest.approx(0.08, abs=0.02)
    assert deviation / np.sqrt(30) == pytest.approx(0.077, abs=0.001)


def test_it_is_the_deviation_of_the_average() -> None:
    draws = torch.from_numpy(np.random.default_rng(1).uniform(size=(50, 20_000)))
    spread = draws.mean(dim=0).std().item()
    assert standard_errors(draws).square().mean().sqrt().item() == pytest.approx(spread, rel=0.03)


def test_equal_draws_have_no_error() -> None:
    assert standard_error(torch.full((5,), 0.3)) == pytest.approx(0.0, abs=1e-15)


def test_arguments_are_named() -> None:
    for bad in (torch.tensor([1.0, torch.nan]), torch.tensor([1.0, torch.inf]), torch.ones(1), torch.ones(0)):
        with pytest.raises(ValueError, match=r"^draws: "):
            standard_error(bad)
    with pytest.raises(ValueError, match=r"^draws: "):
        standard_error(torch.ones(3, 2))
    with pytest.raises(ValueError, match=r"^draws: "):
        standard_errors(torch.tensor(1.0))
