"""Chains in blocks: NumPyro's own draws, whatever the block, and the same bits after a kill between blocks."""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import pytest
import torch
from problems import stream
from test_checkpoints import Kept, Killed, net, train
from torch import Tensor

from bnnbench.bayes import nuts
from bnnbench.bayes.chains import Chains
from bnnbench.bayes.jax_arrays import to_torch
from bnnbench.bayes.journal import SILENT, is_logged
from bnnbench.bayes.numpyro_chains import NUTSSampling, run_chains, run_model

START = torch.randn(3, 4, generator=stream(), dtype=torch.float64)
# One chain after the other compiles in half the time; that the method changes no draw has a test of its own.
BRIEF: dict[str, Any] = {"chains": 3, "warmup": 30, "draws": 20, "chain_method": "sequential"}


def density(theta: Any) -> Any:
    """Correlated and with unequal scales."""
    import jax.numpy as jnp

    scales = jnp.array([1.0, 0.3, 2.0, 1.0])
    return -0.5 * ((theta / scales) ** 2).sum() - 0.5 * (theta[0] - theta[3]) ** 4


def run(journal: Any = SILENT, **changes: Any) -> Chains:
    with jax.enable_x64(True):
        return run_chains(density, START, NUTSSampling(**{**BRIEF, **changes}), stream(1), journal)


def test_the_draws_are_those_of_numpyros_own_loop() -> None:
    from numpyro.infer import MCMC, NUTS

    from bnnbench.bayes.noise import seed

    with jax.enable_x64(True):
        kernel = NUTS(potential_fn=lambda z: -density(z))
        mcmc = MCMC(kernel, num_warmup=30, num_samples=20, num_chains=3, chain_method="vectorized", progress_bar=False)
        fields = ("accept_prob", "num_steps", "energy")
        mcmc.run(jax.random.PRNGKey(seed(stream(1))), init_params=jax.numpy.asarray(START.numpy()), extra_fields=fields)
        extra = mcmc.get_extra_fields(group_by_chain=True)
        theirs = to_torch(mcmc.get_samples(group_by_chain=True))
    ours = run(chain_method="vectorized")
    assert torch.allclose(ours.draws, theirs, rtol=1e-6, atol=1e-8)
    assert torch.allclose(ours.energy, to_torch(extra["energy"]), rtol=1e-6)
    assert torch.equal(ours.n_steps, to_torch(extra["num_steps"]).long())
    assert ours.acceptance == pytest.approx(to_torch(extra["accept_prob"]).mean().item())

    assert torch.allclose(whole().draws, theirs, rtol=1e-6, atol=1e-8)  # one after the other, too


@cache
def whole() -> Chains:
    """Uninterrupted chains, in blocks of the usual size."""
    return run()


@pytest.mark.parametrize("block", [1, 7])
def test_the_block_changes_no_draw(block: int) -> None:
    other = run(block=block)
    assert torch.equal(whole().draws, other.draws)
    assert torch.equal(whole().energy, other.energy)


def test_more_parallel_chains_than_devices_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^chain_method: 3 parallel chains need as many devices and JAX has 1"):
        run(chain_method="parallel")


@pytest.mark.slow
def test_parallel_chains_are_those_one_after_the_other() -> None:
    """In a process of its own, whose processor JAX takes for three devices."""
    code = "import torch, test_chains as t; assert torch.equal(t.run().draws, t.run(chain_method='parallel').draws)"
    paths = os.pathsep.join([*sys.path, str(Path(__file__).parent)])
    environment = {**os.environ, "PYTHONPATH": paths, "XLA_FLAGS": "--xla_force_host_platform_device_count=3"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=300)


def killed(fit: Callable[[Any], Chains], death: int) -> Chains:
    """What a fit that died at its `death`-th log returns when it is started again from its checkpoint."""
    journal = Kept(death)
    with pytest.raises(Killed):
        fit(journal)
    again = Kept(saved=journal.saved)
    found = fit(again)
    assert again.logged == 10 - (death - 1)  # it went on, and did not start over
    return found


@pytest.mark.parametrize("death", [2, 8])  # in the warm-up, in the draws
def test_a_chain_killed_between_blocks_goes_on_to_the_same_bits(death: int) -> None:
    found = killed(lambda journal: run(journal, block=5), death)
    for one, other in zip(whole()[:-1], found[:-1], strict=True):
        assert torch.equal(torch.as_tensor(one), torch.as_tensor(other))


def funnel() -> None:
    """A hierarchical model of three weights of one unknown scale, with one observation."""
    import numpyro
    import numpyro.distributions as dist

    scale = numpyro.sample("scale", dist.HalfNormal(1.0))
    raw = numpyro.sample("raw", dist.Normal(0.0, 1.0).expand([3]))
    theta = numpyro.deterministic("theta", scale * raw)
    numpyro.sample("y", dist.Normal(theta.sum(), 0.5), obs=1.0)


def run_funnel(journal: Any = SILENT, **changes: Any) -> Chains:
    with jax.enable_x64(True):
        return run_model(funnel, NUTSSampling(**{**BRIEF, **changes}), stream(1), journal, START)


def test_latents_of_a_model_are_kept_with_its_draws() -> None:
    found = run_funnel(start="uniform", draws=30)
    assert found.draws.shape == (3, 30, 3)
    assert {name: tuple(values.shape) for name, values in found.sites.items()} == {"scale": (3, 30), "raw": (3, 30, 3)}
    assert (found.sites["scale"] > 0).all()
    assert torch.allclose(found.draws, found.sites["scale"][..., None] * found.sites["raw"])


def test_a_killed_chain_of_a_model_goes_on_to_the_same_bits() -> None:
    entire, found = run_funnel(), killed(lambda journal: run_funnel(journal, block=5), 7)
    assert torch.equal(entire.draws, found.draws)
    assert all(torch.equal(values, found.sites[name]) for name, values in entire.sites.items())


def test_a_model_has_the_posterior_of_a_quadrature() -> None:
    """Given its scale s the sum of weights is N(0, 3 s^2), so that the posterior of s is a density on a line."""
    found = run_funnel(chains=4, warmup=500, draws=1500, target_acceptance=0.95)
    s = torch.linspace(1e-4, 6, 20001, dtype=torch.float64)
    variance = 3 * s.square() + 0.25
    weights = (-0.5 * s.square() - 0.5 * variance.log() - 0.5 / variance).softmax(0)
    mean, second = weights @ s, weights @ s.square()
    draws = found.sites["scale"]
    from bnnbench.bayes.diagnostics import effective_size

    error = draws.std() / effective_size(draws[..., None]).item() ** 0.5
    assert abs(draws.mean() - mean) < 4 * error
    assert abs(draws.var() - (second - mean**2)) < 0.15 * (second - mean**2)


def test_a_killed_nuts_goes_on_from_its_training_and_from_its_chains() -> None:
    params = {"training": {"epochs": 3}, **BRIEF, "block": 5}
    fit = partial(nuts.nuts.fit, net(), train(), params)
    entire: Any = fit(stream(3))
    for death, left in ((2, 12), (9, 5)):  # 3 epochs, 6 blocks of the warm-up, 4 of draws
        journal = Kept(death)
        with pytest.raises(Killed):
            fit(stream(3), journal)
        again = Kept(saved=journal.saved)
        found: Any = fit(stream(4), again)
        assert torch.equal(found.chains, entire.chains)
        assert again.logged == left


def test_a_model_without_a_start_or_without_weights_says_so() -> None:
    import numpyro
    import numpyro.distributions as dist

    def nowhere() -> None:
        theta = numpyro.sample("theta", dist.Normal(0.0, 1.0).expand([2]))
        numpyro.factor("wall", -float("inf") * theta.sum() ** 2)

    def other() -> None:
        numpyro.sample("weights", dist.Normal(0.0, 1.0).expand([2]))

    with pytest.raises(ValueError, match=r"^chains: no start with a finite log posterior was found from 'prior'"):
        run_model(nowhere, NUTSSampling(**BRIEF), stream(), SILENT, START)
    with pytest.raises(ValueError, match="no site 'theta'"):
        run_model(other, NUTSSampling(**BRIEF), stream(), SILENT, START)


@pytest.mark.parametrize("total", [1, 7, 300, 301, 1000, 123457])
def test_curves_have_some_300_points(total: int) -> None:
    logged = [k for k in range(total) if is_logged(k, total)]
    assert logged[0] == 0
    assert logged[-1] == total - 1
    assert min(total, 300) <= len(logged) <= 301
    gaps: Tensor = torch.tensor(logged).diff()
    assert total == 1 or gaps.max() <= -(-total // 300)
