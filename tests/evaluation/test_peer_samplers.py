"""Samplers of other libraries draw from the law that they are given, and time is told apart."""

import time
from collections.abc import Callable
from importlib.util import find_spec

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bnnbench.evaluation import samplers
from bnnbench.evaluation.samplers import Sampled, Setting

MEAN, COVARIANCE = torch.tensor([1.0, -2.0]), torch.tensor([[1.0, 0.6], [0.6, 0.5]])


def model() -> None:
    """theta = (a, b) with a correlated normal law, of which b is made of a positive site, so that z is not theta."""
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist

    a = numpyro.sample("a", dist.Normal(1.0, 1.0))
    scale = numpyro.sample("scale", dist.LogNormal(0.0, 1.0))
    b = -2.0 + 0.6 * (a - 1.0) + 0.14**0.5 * jnp.log(scale)
    numpyro.deterministic("theta", jnp.stack([a, b]))


def needs(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(package) is None, reason=f"{package} is not installed")


@pytest.mark.parametrize(
    "sample",
    [
        samplers.numpyro_nuts,
        pytest.param(samplers.mclmc, marks=needs("blackjax")),
        pytest.param(samplers.nutpie, marks=needs("nutpie")),
    ],
)
def test_samplers_draw_from_the_model(sample: Callable[[samplers.Model, Setting], Sampled]) -> None:
    """Means within 0.15 and covariances within 0.2: some four standard errors of 800 or more effective draws."""
    import jax

    with jax.enable_x64(True):
        drawn = sample(model, Setting(chains=2, warmup=200, draws=600, seed=0))
    assert drawn.theta.shape == (2, 600, 2)
    assert drawn.gradients >= 1200
    every = drawn.theta.flatten(0, 1).T
    assert torch.allclose(every.mean(1), MEAN.double(), atol=0.15)
    assert torch.allclose(every.cov(), COVARIANCE.double(), atol=0.2)


def test_the_flat_density_has_the_gradient_of_the_model() -> None:
    """In z = (a, log scale) the law is two independent standard normals around (1, 0)."""
    import jax
    import jax.numpy as jnp

    with jax.enable_x64(True):
        flat = samplers.flat(model, Setting(3, 1, 1, 0))
        assert flat.starts.shape == (3, 2)
        z = jnp.asarray([0.3, -0.7])
        assert jnp.allclose(jax.grad(flat.log_density)(z), jnp.asarray([0.7, 0.7]))
        assert jnp.allclose(flat.theta(z), jnp.asarray([0.3, -2 + 0.6 * -0.7 + 0.14**0.5 * -0.7]))


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 10)), max_size=12))
def test_nested_compilations_count_once(spans: list[tuple[int, int]]) -> None:
    seconds = {second for start, length in spans for second in range(start, start + length)}
    assert samplers._covered([(start, start + length) for start, length in spans]) == len(seconds)


def test_compilation_is_told_apart_from_sampling() -> None:
    import jax
    import jax.numpy as jnp

    def work() -> float:
        value = jax.jit(lambda x: jnp.linalg.slogdet(jnp.cov(x))[1] + jnp.sin(x).sum())(jnp.ones((3, 4)))
        start = time.process_time()
        while time.process_time() - start < 0.3:
            pass
        return float(value)

    _, took = samplers.timed(work)
    assert took.compilation > 0
    assert took.sampling > 0.2, "the loop is none of it"
