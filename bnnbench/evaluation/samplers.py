"""Samplers of other libraries on the log density of a NumPyro model, as their users would call them.

Each gives draws of the site "theta", the gradients that the kept draws took, and the time that JAX spent on tracing and
compilation, so that it can be told apart from sampling.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from bnnbench.bayes.jax_arrays import to_torch

if TYPE_CHECKING:
    import jax

Model = Callable[[], None]
COMPILES = "/jax/core/compile/"
"""What the names of JAX's events begin with that tell how long tracing, lowering and compilation took."""
MCLMC_GRADIENTS = 2  # of a step of the second-order minimal-norm integrator (McLachlan)


class Setting(NamedTuple):
    """How long chains are, and the seed of their random numbers."""

    chains: int
    warmup: int
    draws: int
    seed: int


class Sampled(NamedTuple):
    """Draws of theta [K, n, P], and the gradients that they took after the warm-up."""

    theta: Tensor
    gradients: int


class Time(NamedTuple):
    """CPU-seconds, without those of compilation, and those of compilation."""

    sampling: float
    compilation: float


def timed(sample: Callable[[], Any]) -> tuple[Any, Time]:
    """What `sample` returns, with its time; compilations are made anew and not read from JAX's cache on disk."""
    import jax

    spans = _spans()
    with _without_cache(jax):
        spans.clear()
        start, start_cpu = time.perf_counter(), time.process_time()
        result = sample()
        elapsed, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    # JAX tells elapsed times; on a busy machine they are longer than those of the processor.
    compilation = cpu * min(_covered(spans) / elapsed, 1.0)
    return result, Time(cpu - compilation, compilation)


@cache
def _spans() -> list[tuple[float, float]]:
    """Where JAX notes from when to when it compiled: one list, since listeners cannot be taken away again."""
    import jax

    spans: list[tuple[float, float]] = []

    def note(event: str, duration_secs: float, **_: Any) -> None:
        if event.startswith(COMPILES):
            now = time.perf_counter()
            spans.append((now - duration_secs, now))

    jax.monitoring.register_event_duration_secs_listener(note)
    return spans


@contextmanager
def _without_cache(jax: Any) -> Iterator[None]:
    before = jax.config.jax_enable_compilation_cache
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", before)


def _covered(spans: list[tuple[float, float]]) -> float:
    """Length of the union of spans: one function is traced within another, and both are noted."""
    covered, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        covered += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return covered


def numpyro_nuts(model: Model, setting: Setting) -> Sampled:
    """`MCMC(NUTS(model))` with NumPyro's own settings, one chain after the other."""
    import jax
    from numpyro.infer import MCMC, NUTS

    chains = MCMC(
        NUTS(model),
        num_warmup=setting.warmup,
        num_samples=setting.draws,
        num_chains=setting.chains,
        chain_method="sequential",
        progress_bar=False,
    )
    chains.run(jax.random.PRNGKey(setting.seed), extra_fields=("num_steps",))
    theta = to_torch(chains.get_samples(group_by_chain=True)["theta"])
    return Sampled(theta, int(chains.get_extra_fields()["num_steps"].sum()))


class Flat(NamedTuple):
    """A model as a log density of one vector z [P'] without bounds."""

    log_density: Callable[["jax.Array"], "jax.Array"]
    theta: Callable[["jax.Array"], "jax.Array"]
    starts: "jax.Array"
    """[K, P'], uniform within 2 of 0, as Stan has it."""


def flat(model: Model, setting: Setting) -> Flat:
    """The model's unconstrained coordinates in one vector."""
    import jax
    from jax.flatten_util import ravel_pytree
    from numpyro.infer import init_to_uniform
    from numpyro.infer.util import initialize_model

    keys = jax.random.split(jax.random.PRNGKey(setting.seed), setting.chains)
    start, potential, sites, _ = initialize_model(keys, model, init_strategy=init_to_uniform)
    _, unflattened = ravel_pytree(jax.tree.map(lambda leaf: leaf[0], start.z))
    return Flat(
        lambda z: -potential(unflattened(z)),
        lambda z: sites(unflattened(z))["theta"],
        jax.vmap(lambda z: ravel_pytree(z)[0])(start.z),
    )


def mclmc(model: Model, setting: Setting, thinning: int = 100) -> Sampled:
    """Microcanonical Langevin of BlackJAX (Robnik et al. 2023), tuned by its own search; not adjusted, so biased.

    A draw is kept every `thinning` steps, so that a draw costs about as many gradients as one of NUTS.
    """
    import blackjax
    import jax

    target = flat(model, setting)
    kernel = blackjax.mclmc.build_kernel()

    def chain(start: "jax.Array", key: "jax.Array") -> "jax.Array":
        first, tune, run = jax.random.split(key, 3)
        state = blackjax.mclmc.init(position=start, logdensity_fn=target.log_density, rng_key=first)
        state, tuned, _ = blackjax.mclmc_find_L_and_step_size(
            mclmc_kernel=kernel,
            num_steps=setting.warmup * thinning,
            state=state,
            rng_key=tune,
            logdensity_fn=target.log_density,
        )

        def step(state: Any, key: Any) -> Any:
            return kernel(key, state, target.log_density, tuned.inverse_mass_matrix, tuned.L, tuned.step_size)[0], None

        def draw(state: Any, key: Any) -> Any:
            state, _ = jax.lax.scan(step, state, jax.random.split(key, thinning))
            return state, target.theta(state.position)

        theta: jax.Array = jax.lax.scan(draw, state, jax.random.split(run, setting.draws))[1]
        return theta

    keys = jax.random.split(jax.random.PRNGKey(setting.seed + 1), setting.chains)
    compiled = jax.jit(chain)
    theta = torch.stack([to_torch(compiled(start, key)) for start, key in zip(target.starts, keys, strict=True)])
    return Sampled(theta, MCLMC_GRADIENTS * setting.chains * setting.draws * thinning)


def nutpie(model: Model, setting: Setting, low_rank: bool = False) -> Sampled:
    """nutpie's NUTS with its own adaptation of a diagonal or a low-rank mass matrix; gradients by JAX."""
    import jax
    import numpy as np
    import nutpie as library
    from nutpie.compiled_pyfunc import from_pyfunc

    target = flat(model, setting)
    gradient = jax.jit(jax.value_and_grad(target.log_density))
    double = target.starts.dtype == np.float64
    starts = iter(np.asarray(target.starts, np.float64).repeat(2, axis=0))
    size = target.starts.shape[1]

    def density() -> Callable[[Any], tuple[float, Any]]:
        def evaluate(z: Any) -> tuple[float, Any]:
            with jax.enable_x64(double):  # it holds for a thread, and nutpie samples in threads of its own
                value, slope = gradient(z)
            return float(value), np.asarray(slope, np.float64)

        return evaluate

    def expand(*_: Any) -> Callable[[Any], Mapping[str, Any]]:
        return lambda z: {"z": np.asarray(z, np.float64)}

    compiled = from_pyfunc(
        size, density, expand, [np.dtype(np.float64)], [(size,)], ["z"],
        make_initial_point_fn=lambda _seed: next(starts).copy(),
    )  # fmt: skip
    trace = library.sample(
        compiled,
        draws=setting.draws,
        tune=setting.warmup,
        chains=setting.chains,
        cores=1,
        seed=setting.seed,
        save_warmup=False,
        progress_bar=False,
        low_rank_modified_mass_matrix=low_rank,
    )
    z = np.asarray(trace.posterior["z"])
    theta = jax.jit(jax.vmap(jax.vmap(target.theta)))(z)
    return Sampled(to_torch(theta), int(trace.sample_stats["n_steps"].sum()))
