"""Whether chains can be trusted: diagnostics that are never good by accident, and a word from every sampler."""

import warnings
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import conjugate, stream
from torch import Tensor, nn

from bnnbench.bayes import hmc, nuts
from bnnbench.bayes.chains import ChainPosterior, Chains
from bnnbench.bayes.csghmc import csghmc
from bnnbench.bayes.diagnostics import effective_size, split_rhat
from bnnbench.bayes.gaussian import Standard
from bnnbench.bayes.hmc import Sampling
from bnnbench.bayes.journal import SILENT
from bnnbench.bayes.likelihood import Categorical, Gaussian
from bnnbench.bayes.method import Method, Train
from bnnbench.bayes.network import LinearNet
from bnnbench.bayes.nuts import NUTSParams
from bnnbench.bayes.posterior import Posterior
from bnnbench.bayes.target import Target
from bnnbench.errors import ResultWarning
from bnnbench.harness import registry

NET = LinearNet(2, 1)  # three parameters


def moving(n_chains: int = 4, n_draws: int = 100) -> Tensor:
    return torch.randn(n_chains, n_draws, 3, generator=stream(), dtype=torch.float64)


def diagnosed(draws: Tensor) -> list[tuple[float, float]]:
    return list(zip(split_rhat(draws).tolist(), effective_size(draws).tolist(), strict=True))


@given(st.integers(1, 4), st.integers(4, 30), st.sampled_from([0.0, 0.1, 1 / 3, -1e8, 1e-300, 5e307]))
def test_a_parameter_that_never_changes_has_no_diagnosis(n_chains: int, n_draws: int, value: float) -> None:
    draws = moving(n_chains, n_draws)
    draws[..., 1] = value
    rhat, size = diagnosed(draws)[1]
    assert rhat != rhat
    assert size != size
    assert torch.allclose(split_rhat(draws)[[0, 2]], split_rhat(draws[..., [0, 2]]))  # the others as without it


@given(st.integers(0, 3), st.integers(4, 40), st.booleans())
def test_a_chain_that_stays_while_others_move_has_an_infinite_rhat(which: int, n_draws: int, whole: bool) -> None:
    draws = moving(4, n_draws)
    draws[which, : n_draws if whole else n_draws // 2, 1] = 0.1
    rhat, size = diagnosed(draws)[1]
    assert rhat == float("inf")
    assert size != size


def test_chains_that_stay_apart_have_an_infinite_rhat() -> None:
    draws = torch.arange(4.0)[:, None, None].expand(4, 100, 1)
    assert split_rhat(draws).item() == float("inf")
    assert effective_size(draws).isnan().all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_draw_that_is_not_finite_leaves_no_diagnosis(bad: float) -> None:
    draws = moving()
    draws[2, 50, 1] = bad
    rhat, size = diagnosed(draws)[1]
    assert rhat != rhat
    assert size != size


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_too_few_draws_are_not_diagnosed(n: int) -> None:
    for diagnostic in (split_rhat, effective_size):
        with pytest.raises(ValueError, match=f"^draws: {n} of a chain"):
            diagnostic(moving(4, n))


def doubts(draws: Tensor, acceptance: float = 0.8, divergences: int = 0, saturated: int = 0) -> list[str]:
    """What `ChainPosterior` warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        energy = torch.randn(draws.shape[:2], generator=stream())
        sampled = Chains(draws, acceptance, divergences, saturated, energy, torch.ones_like(energy).long())
        ChainPosterior.of(NET, Gaussian(1.0), sampled, 0.8)
    assert all(issubclass(one.category, ResultWarning) for one in caught)
    return [str(one.message) for one in caught]


def test_good_chains_raise_no_doubt_and_each_fault_its_own() -> None:
    draws = moving()
    assert doubts(draws) == []
    assert doubts(draws, saturated=200) == []
    assert "7 of 400 trajectories diverged" in doubts(draws, divergences=7)[0]
    assert "an acceptance of 0.3 where 0.8" in doubts(draws, acceptance=0.3)[0]
    assert "an acceptance of 0 where 0.8" in doubts(draws, acceptance=0.0)[0]
    assert len(doubts(draws, acceptance=float("nan"))) == 1
    assert "201 of 400 trajectories met the limit" in doubts(draws, saturated=201)[0]


def test_chains_that_differ_are_counted_by_parameter() -> None:
    draws = moving()
    draws[1, :, 0] += 1
    draws[2, :, 2] += 3
    (text,) = doubts(draws)
    assert f"R-hat of 2 of 3 parameters is above 1.1, up to {split_rhat(draws)[2].item():.3g}" in text


def test_chains_that_never_moved_are_counted() -> None:
    draws = moving()
    draws[1] = draws[1, 0]
    never, rhat = doubts(draws)
    assert "1 of 4 never moved" in never
    assert "R-hat of 3 of 3 parameters is above 1.1, up to inf" in rhat


FEW: dict[str, Any] = {"warmup": 2, "draws": 10, "chains": 2}


def fit(method: Method[Any], train: Train, options: dict[str, Any], sampling: dict[str, Any]) -> tuple[Posterior, str]:
    params = {**options, "training": None, **({"sampling": sampling} if method is hmc.hmc else sampling)}
    with pytest.warns(ResultWarning) as caught:
        posterior = method.fit(nn.Linear(2, 1), train, params, stream())
    return posterior, "; ".join(str(one.message) for one in caught)


@pytest.mark.parametrize("method", [hmc.hmc, nuts.nuts])
def test_a_sampler_that_goes_nowhere_says_so(method: Method[Any]) -> None:
    """Too narrow a posterior for float32, or two adaptations of the step."""
    x = torch.randn(40, 2, generator=stream())
    train = Train(x, 100 * torch.randn(40, generator=stream(1)), Gaussian(1e-6))
    posterior, text = fit(method, train, {"float64": False} if method is nuts.nuts else {}, FEW)
    assert isinstance(posterior, ChainPosterior)
    assert 0 < posterior.sampled.divergences <= 20
    assert f"{posterior.sampled.divergences} of 20 trajectories diverged" in text
    assert "an acceptance of" in text
    assert "R-hat of 3 of 3 parameters" in text


@pytest.mark.parametrize("method", [hmc.hmc, nuts.nuts])
def test_trajectories_that_are_cut_off_are_counted(method: Method[Any]) -> None:
    problem = conjugate()
    limit = {"max_leapfrogs": 1} if method is hmc.hmc else {"max_tree_depth": 1}
    sampling = {"chains": 2, "warmup": 30, "draws": 50, "target_acceptance": 0.99, **limit}
    posterior, text = fit(method, problem.train, {"precision": problem.precision}, sampling)
    assert isinstance(posterior, ChainPosterior)
    assert posterior.sampled.saturated > 50
    assert f"{posterior.sampled.saturated} of 100 trajectories met the limit of gradient steps" in text


@pytest.mark.parametrize("method", [hmc.hmc, nuts.nuts])
def test_a_sampler_that_works_says_nothing(method: Method[Any]) -> None:
    problem = conjugate()
    sampling = {"chains": 3, "warmup": 200, "draws": 300}
    params = {"training": None, "precision": 2.0, **({"sampling": sampling} if method is hmc.hmc else sampling)}
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResultWarning)
        posterior = method.fit(problem.model, problem.train, params, stream())
    assert isinstance(posterior, ChainPosterior)
    assert posterior.sampled.divergences == posterior.sampled.saturated == 0
    assert posterior.target == 0.8


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_chain_starts_where_there_is_no_density(value: float) -> None:
    x = torch.randn(9, 2, generator=stream(), dtype=torch.float64)
    x[4, 1] = value
    target = Target(LinearNet(2, 3), x, torch.arange(9) % 3, Categorical(), 1.0)
    base = Standard(torch.zeros(9, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"^chains: .* not finite where 2 of 2 chains start"):
        hmc.sample(target, base, Sampling(chains=2), stream(), SILENT)
    with pytest.raises(ValueError, match=r"^chains: .* not finite where 2 of 2 chains start"):
        nuts.sample(target, torch.zeros(2, 9, dtype=torch.float64), NUTSParams(chains=2), stream(), SILENT)


def test_hmc_goes_on_where_its_step_falls_to_nothing() -> None:
    """Nothing is accepted, and so the step is halved again and again."""

    class Cliff:
        """Density at the first place that is asked for and nowhere else."""

        asked = 0

        def gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
            self.asked += 1
            height = 0.0 if self.asked == 1 else -torch.inf
            return torch.full((len(theta),), height, dtype=theta.dtype), torch.zeros_like(theta)

    base = Standard(torch.zeros(1, dtype=torch.float64))
    target: Any = Cliff()
    found = hmc.sample(target, base, Sampling(chains=2, warmup=5000, draws=4, max_leapfrogs=2), stream(), SILENT)
    assert found.acceptance == 0
    assert found.divergences == found.saturated == 8
    assert torch.equal(found.draws, found.draws[:, :1].expand(2, 4, 1))


def test_csghmc_says_where_its_path_went() -> None:
    problem = conjugate()
    options: dict[str, Any] = {"cycles": 1, "epochs_per_cycle": 3, "batch_size": 16}
    with pytest.warns(ResultWarning, match="3 of 3 draws are not finite"):
        csghmc.fit(problem.model, problem.train, {**options, "learning_rate": 1e30}, stream())
    with pytest.warns(ResultWarning, match="all 3 draws are the same"):
        csghmc.fit(nn.Linear(2, 1), problem.train, {**options, "learning_rate": 1e-40, "temperature": 0}, stream())
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResultWarning)
        csghmc.fit(problem.model, problem.train, {**options, "learning_rate": 0.01}, stream())


@pytest.mark.parametrize("name", ["map", "ensemble", "mfvi", "swag"])
def test_a_training_that_diverges_says_so(name: str) -> None:
    x = torch.randn(40, 3, generator=stream())
    train = Train(x, x.sum(1), Gaussian(0.01))
    wild = {"training": {"optimizer": "sgd", "learning_rate": 1e6, "epochs": 5}}
    with pytest.warns(ResultWarning, match=r"^training: it diverged, and \d+ parameters are not finite; [^\n]*$"):
        registry.method(name).fit(nn.Sequential(nn.Linear(3, 1)), train, wild)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResultWarning)
        tame = Train(x, x.sum(1), Gaussian(1.0))
        registry.method(name).fit(nn.Sequential(nn.Linear(3, 1)), tame, {"training": {"epochs": 2}})


def test_a_flow_that_diverges_says_so() -> None:
    x = torch.randn(40, 3, generator=stream())
    params = {"training": None, "optimisation": {"optimizer": "sgd", "learning_rate": 1e36, "epochs": 3}}
    with pytest.warns(ResultWarning, match=r"^training: it diverged"):
        registry.method("refine").fit(nn.Sequential(nn.Linear(3, 1)), Train(x, x.sum(1), Gaussian(0.1)), params)
