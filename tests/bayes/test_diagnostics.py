"""Diagnostics of chains against ArviZ, and bounds that are broken by what they are meant to find."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import conjugate, stream
from torch import Tensor

from bnnbench.bayes.chains import ChainPosterior, Chains
from bnnbench.bayes.diagnostics import (
    BOUNDS,
    broken_bounds,
    bulk_size,
    convergence,
    ebfmi,
    normal_scores,
    rank_rhat,
    tail_size,
)
from bnnbench.bayes.likelihood import Gaussian
from bnnbench.bayes.network import LinearNet
from bnnbench.bayes.weights import Stored
from bnnbench.harness import registry

arviz = pytest.importorskip("arviz")


def autoregressive(n_chains: int, n: int, correlation: float, seed: int) -> np.ndarray[Any, Any]:
    chains = np.random.default_rng(seed).standard_normal((n_chains, n))
    for t in range(1, n):
        chains[:, t] += correlation * chains[:, t - 1]
    return chains


# No search by hypothesis: scores are one fixed set of numbers, so that sums of their autocorrelations can be 0 up to
# rounding, where one more pair counts or not.
@pytest.mark.parametrize("power", [1, 0.3, 3])
@pytest.mark.parametrize("correlation", [-0.5, 0.0, 0.9])
@pytest.mark.parametrize(("n_chains", "n"), [(1, 40), (2, 9), (3, 101), (4, 250)])
def test_rank_diagnostics_are_arvizs(n_chains: int, n: int, correlation: float, power: float) -> None:
    chains = autoregressive(n_chains, n, correlation, 7)
    chains = np.sign(chains) * np.abs(chains) ** power  # heavy tails, too
    draws = torch.from_numpy(chains)[..., None]
    if n_chains > 1:  # ArviZ has no R-hat of one chain, whose halves have one
        assert rank_rhat(draws).item() == pytest.approx(float(arviz.rhat(chains, method="rank")), rel=1e-6)
    assert bulk_size(draws).item() == pytest.approx(float(arviz.ess(chains, method="bulk")), rel=1e-6)
    assert tail_size(draws).item() == pytest.approx(float(arviz.ess(chains, method="tail")), rel=1e-6)


def test_repeated_draws_share_their_rank_as_in_arviz() -> None:
    chains = np.round(autoregressive(4, 101, 0.5, 0), 1)
    draws = torch.from_numpy(chains)[..., None]
    assert rank_rhat(draws).item() == pytest.approx(float(arviz.rhat(chains, method="rank")), rel=1e-6)
    assert bulk_size(draws).item() == pytest.approx(float(arviz.ess(chains, method="bulk")), rel=1e-6)
    assert torch.allclose(normal_scores(draws).mean(), torch.zeros(()).double(), atol=1e-2)


@given(st.integers(1, 4), st.integers(5, 60), st.floats(-0.9, 0.99), st.integers(0, 10**6))
def test_the_energy_fraction_is_arvizs(n_chains: int, n: int, correlation: float, seed: int) -> None:
    energy = autoregressive(n_chains, n, correlation, seed)
    assert np.allclose(ebfmi(torch.from_numpy(energy)).numpy(), arviz.bfmi(energy))


def posterior(draws: Tensor, **changes: Any) -> ChainPosterior:
    """Chains [K, n, 3] of a linear net of two features and one output."""
    energy = torch.randn(draws.shape[:2], generator=stream(1))
    sampled = Chains(draws, 0.8, 0, 0, energy, torch.ones_like(energy).long())._replace(**changes)
    return ChainPosterior(LinearNet(2, 1), Stored(draws.flatten(0, 1)), Gaussian(1.0), sampled, 0.8)


X = torch.randn(5, 2, generator=stream(), dtype=torch.float64)
GOOD = torch.randn(4, 500, 3, generator=stream(2), dtype=torch.float64)


def named(lines: list[str]) -> set[str]:
    return {line.split()[1] for line in lines}


def test_good_chains_break_no_bound() -> None:
    numbers = posterior(GOOD).diagnostics(X)
    assert broken_bounds(numbers) == []
    assert all(isinstance(value, float) for value in numbers.values())
    assert set(BOUNDS) - set(numbers) == {"rhat_sites"}


def test_each_fault_breaks_its_own_bound() -> None:
    shifted = GOOD.clone()
    shifted[0] += 1
    wide = GOOD.clone()
    wide[0] *= 3  # the same mean: split R-hat does not see it
    slow = torch.from_numpy(np.stack([autoregressive(4, 500, 0.99, k) for k in range(3)], -1))
    walk = torch.cumsum(torch.randn(4, 500, generator=stream()), 1)
    faults: list[tuple[Tensor, dict[str, Any], set[str]]] = [
        (shifted, {}, {"rhat_outputs", "rhat_parameters", "ess_bulk_outputs"}),
        (wide, {}, {"rhat_outputs"}),
        (slow, {}, {"ess_bulk_outputs", "ess_tail_outputs"}),
        (GOOD, {"divergences": 1}, {"divergences"}),
        (GOOD, {"saturated": 21}, {"saturated"}),
        (GOOD, {"energy": walk}, {"ebfmi"}),
        (GOOD, {"energy": torch.zeros(4, 500)}, {"ebfmi"}),
        (GOOD, {"sites": {"tau": GOOD[..., 0], "scale": shifted}}, {"rhat_sites"}),
        (
            GOOD[:, :1].expand(4, 500, 3),
            {},
            {"rhat_outputs", "rhat_parameters", "ess_bulk_outputs", "ess_tail_outputs"},
        ),
    ]
    for draws, changes, expected in faults:
        broken = broken_bounds(posterior(draws, **changes).diagnostics(X))
        assert expected <= named(broken)
        assert all("\n" not in line for line in broken)
        if changes:
            assert expected == named(broken)


def test_outputs_agree_where_weights_have_other_signs() -> None:
    """w1 w2 x of a net without nonlinearity: two chains with each sign of the weights are the same functions."""

    class Signed:
        n_params = 2

        def outputs(self, theta: Tensor, x: Tensor) -> Tensor:
            return (theta.prod(1)[:, None] * x[:, 0])[..., None]

    draws = 3 + 0.3 * torch.randn(4, 500, 2, generator=stream(), dtype=torch.float64)
    draws[:2] *= -1
    found = ChainPosterior(
        Signed(), Stored(draws.flatten(0, 1)), Gaussian(1.0), posterior(GOOD).sampled._replace(draws=draws)
    )
    numbers = found.diagnostics(X)
    assert named(broken_bounds(numbers)) == {"rhat_parameters"}


@pytest.mark.parametrize("shape", [(4, 50), (4, 50, 2), (4, 50, 2, 3)])
def test_sites_of_any_shape_are_diagnosed(shape: tuple[int, ...]) -> None:
    draws = torch.randn(shape, generator=stream())
    flat = draws.reshape(4, 50, -1).double()
    expected = [float(arviz.ess(flat[..., k].numpy(), method="bulk")) for k in range(flat.shape[2])]
    assert convergence(draws, "sites")["ess_bulk_sites"] == pytest.approx(min(expected), rel=1e-6)


def test_hmc_tells_the_energy_of_its_draws() -> None:
    """Of a normal posterior in P dimensions the energy is that of its minimum plus chi-square / 2 of 2 P, E-BFMI near
    1.
    """
    problem = conjugate()
    options = {"training": None, "precision": 2.0, "sampling": {"chains": 4, "draws": 1000}}
    found: Any = registry.method("hmc").fit(problem.model, problem.train, options, stream())
    energy = found.sampled.energy.double()
    assert energy.var(dim=1).mean().item() == pytest.approx(3, rel=0.15)  # of chi-square / 2 with 6 degrees: 3
    assert found.diagnostics(problem.train.x)["ebfmi"] > 0.5
