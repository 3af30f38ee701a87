"""Chains of NumPyro's No-U-Turn sampler, in blocks of draws, so that a long run can be watched, killed and continued.

NumPyro's own `MCMC` runs all draws in one call. Here its kernel is stepped by a compiled loop over a block of draws;
between blocks the kernel's state goes into a checkpoint. The kernel and its random keys are NumPyro's, so that the
draws are those of `MCMC` with the same key, whatever the size of a block.
"""

from collections.abc import Callable, Mapping
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Generator, Tensor

from bnnbench.bayes.chains import Chains, check_start
from bnnbench.bayes.jax_arrays import to_jax, to_torch
from bnnbench.bayes.journal import Journal, is_logged
from bnnbench.bayes.method import MethodParams
from bnnbench.bayes.noise import seed

if TYPE_CHECKING:
    import jax

RADIUS = 2.0  # uniform starts lie within this distance of 0 in unconstrained coordinates, as in Stan
ATTEMPTS = 100  # to find a start with finite density
WEIGHTS = "theta"  # the site of a NumPyro model that holds the net's parameters [P]
Density = Callable[["jax.Array"], "jax.Array"]
Model = Callable[[], Any]


class NUTSSampling(MethodParams):
    """How chains are run; defaults as published for the last layer by Kristiadi et al. 2022."""

    chains: PositiveInt = 3
    warmup: PositiveInt = Field(100, description="draws that adapt step size and mass matrix and are dropped")
    draws: PositiveInt = Field(200, description="kept, for each chain", ge=4)
    target_acceptance: PositiveFloat = Field(0.8, lt=1)
    max_tree_depth: PositiveInt = Field(10, description="at most 2^depth - 1 gradient steps a draw")
    dense_mass: bool = Field(False, description="adapt a full mass matrix instead of its diagonal")
    float64: bool = Field(True, description="double precision: a sum over 60,000 points needs it")
    chain_method: Literal["vectorized", "sequential", "parallel"] = Field(
        "vectorized",
        description="all chains as one batch, each step as long as the longest tree of a chain; one after the other; "
        "or one a device of JAX",
    )
    block: PositiveInt = Field(25, description="draws between checkpoints; it changes no draw")
    start: Literal["prior", "uniform", "median"] = Field(
        "prior", description="of a hierarchical prior's sites: draws, uniform within 2 of 0 unconstrained, or medians"
    )


def run_chains(
    density: Density, start: Tensor, sampling: NUTSSampling, generator: Generator | None, journal: Journal
) -> Chains:
    """Draws [K, n, P] of a log density of one vector [P] in JAX, from starting points [K, P].

    `ValueError` where the density or its gradient is not finite at a start. With `float64`, double precision has to be
    enabled in JAX around the call (`jax.enable_x64`).
    """
    import jax

    points = to_jax(start, sampling.float64)
    value, gradient = jax.vmap(jax.value_and_grad(density))(points)
    check_start(to_torch(value, start), to_torch(gradient, start))
    keys = _keys(len(start), generator)[0]
    law = _Law(lambda z: -density(z), lambda z: {WEIGHTS: z}, points, keys)
    return _chains(law, sampling, start, journal)


def run_model(
    model: Model, sampling: NUTSSampling, generator: Generator | None, journal: Journal, like: Tensor
) -> Chains:
    """Draws of a NumPyro model without arguments; its site "theta" [P] gives the draws of the chains.

    All other sites that are not observed, also deterministic ones, are kept as `Chains.sites`. `like` gives the dtype
    and device of what is returned. `ValueError` where no start with a finite density is found, or where the model has
    no site "theta".
    """
    keys, model_keys = _keys(sampling.chains, generator)
    start, potential, sites, trace = _initialised(model, model_keys, sampling.start)
    if WEIGHTS not in trace:
        raise ValueError(f"model: it has no site {WEIGHTS!r} with the parameters of the net")
    observed = {name for name, site in trace.items() if site.get("is_observed") and site["type"] == "sample"}

    def kept(z: Any) -> dict[str, Any]:
        return {name: value for name, value in sites(z).items() if name not in observed}

    return _chains(_Law(potential, kept, start, keys), sampling, like, journal)


def _initialised(model: Model, keys: "jax.Array", kind: str) -> tuple[Any, Any, Any, Any]:
    """Starts [K, ...], the potential, the function that maps its arguments to sites, and a trace of the model's sites.

    Called directly, NumPyro's function would compile every operation of the model separately; here they are one
    program. `ValueError` where no start with a finite density was found.
    """
    import jax
    from numpyro.infer import initialization
    from numpyro.infer.util import initialize_model

    strategies = {
        "prior": initialization.init_to_sample,
        "uniform": initialization.init_to_uniform,
        "median": initialization.init_to_median,
    }
    known: list[Any] = []

    def initialise(keys: "jax.Array") -> Any:
        start, *functions = initialize_model(
            keys, model, init_strategy=strategies[kind](), model_args=(), model_kwargs={}
        )
        known[:] = functions
        return start

    if kind == "uniform":  # only traced, for functions and shapes: compiling it would take longer than the kernel
        shapes = jax.eval_shape(initialise, keys)
        start = _uniform(shapes, keys, known[0])
    else:
        start = jax.jit(initialise)(keys)
    if not all(to_torch(part).isfinite().all() for part in jax.tree.leaves((start.potential_energy, start.z_grad))):
        raise ValueError(
            f"chains: no start with a finite log posterior was found from {kind!r}; try another start, look at the "
            "scale of inputs, targets and noise"
        )
    potential, sites, trace = known
    return start, potential, sites, trace


def _uniform(shapes: Any, keys: "jax.Array", potential: Callable[[Any], "jax.Array"]) -> Any:
    """Starts of the given shapes, uniform on (-2, 2): for each chain the first with finite potential and gradient."""
    import jax
    import jax.numpy as jnp
    from jax.flatten_util import ravel_pytree

    zero = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape[1:], leaf.dtype), shapes.z)
    flat, unflattened = ravel_pytree(zero)
    evaluate = jax.jit(jax.vmap(jax.value_and_grad(lambda values: potential(unflattened(values)))))
    values, finite = jnp.zeros((len(keys), len(flat)), flat.dtype), jnp.zeros((len(keys), 1), bool)
    for attempt in range(ATTEMPTS):
        new = [
            jax.random.uniform(jax.random.fold_in(key, attempt), flat.shape, flat.dtype, -RADIUS, RADIUS)
            for key in keys
        ]
        values = jnp.where(finite, values, jnp.stack(new))
        energy, gradient = evaluate(values)
        finite = (jnp.isfinite(energy) & jnp.isfinite(gradient).all(1))[:, None]
        if finite.all():
            break
    return type(shapes)(jax.vmap(unflattened)(values), energy, jax.vmap(unflattened)(gradient))


class _Law(NamedTuple):
    """What defines chains: the potential of a tree z, the sites kept from z, starts [K, ...] and random keys [K, 2]."""

    potential: Callable[[Any], "jax.Array"]
    kept: Callable[[Any], dict[str, "jax.Array"]]
    start: Any
    keys: "jax.Array"


def _keys(n_chains: int, generator: Generator | None) -> tuple["jax.Array", "jax.Array"]:
    """Two keys for each chain, one for its kernel and one for its model, both [K, 2], split as in NumPyro."""
    import jax

    key = jax.random.PRNGKey(seed(generator))
    keys = jax.random.split(key, n_chains) if n_chains > 1 else key[None]
    both = jax.vmap(jax.random.split)(keys)
    return both[:, 0], both[:, 1]


def _chains(law: _Law, sampling: NUTSSampling, like: Tensor, journal: Journal) -> Chains:
    """All draws after the warm-up, and what the kernel recorded at each of them."""
    sites, seen = _run(law, sampling, journal)
    acceptance, diverging, n_steps = seen["acceptance"], seen["diverging"], seen["n_steps"]
    saturated = int((n_steps >= 2**sampling.max_tree_depth - 1).sum())
    draws = sites.pop(WEIGHTS).to(like)
    sites = {name: values.to(like.device) for name, values in sites.items()}
    return Chains(
        draws, acceptance.mean().item(), int(diverging.sum()), saturated, seen["energy"], n_steps.long(), sites
    )


def _run(law: _Law, sampling: NUTSSampling, journal: Journal) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The sites and the kernel's record of every draw after the warm-up [K, n, ...], computed block by block."""
    import jax

    state, advance = _kernel(law, sampling)
    leaves, tree = jax.tree.flatten(state)
    sizes = _sizes(sampling.warmup, sampling.block) + _sizes(sampling.draws, sampling.block)
    rows: list[Mapping[str, Any]] = []
    first = 0
    if (restored := journal.restore()) is not None:
        first, saved = restored
        leaves, rows = [to_jax(leaf) for leaf in saved["state"]], list(saved["rows"])
    for k in journal.steps(len(sizes), first):
        state, block = advance(jax.tree.unflatten(tree, leaves), sizes[k])
        leaves = jax.tree.leaves(state)
        row = jax.tree.map(lambda values, n=sizes[k]: to_torch(values[:, :n]), block)
        if sum(sizes[: k + 1]) > sampling.warmup:
            rows.append(row)
        if is_logged(k, len(sizes)):
            journal.log(sum(sizes[: k + 1]), **_curves(row["seen"]))
        journal.checkpoint(k + 1, lambda state=leaves: {"state": list(map(to_torch, state)), "rows": rows})  # type: ignore[misc]
    return _joined([row["sites"] for row in rows]), _joined([row["seen"] for row in rows])


def _sizes(total: int, block: int) -> list[int]:
    """The number of draws in each block."""
    return [min(block, total - block * k) for k in range(ceil(total / block))]


def _joined(parts: list[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([part[name] for part in parts], dim=1) for name in parts[0]}


def _curves(seen: Mapping[str, Tensor]) -> dict[str, float]:
    """Means over the draws of a block and its chains, and how many trajectories diverged."""
    depth = (seen["n_steps"].double() + 1).log2().ceil()
    means = {"acceptance": seen["acceptance"], "step_size": seen["step_size"], "tree_depth": depth}
    found = {name: values.double().mean().item() for name, values in means.items()}
    return {**found, "divergences": float(seen["diverging"].sum())}


def _kernel(law: _Law, sampling: NUTSSampling) -> tuple[Any, Callable[..., Any]]:
    """The initial state of all chains, and a compiled function of the state and n that makes n <= block draws."""
    import jax
    import jax.numpy as jnp
    from numpyro.infer.hmc import hmc
    from numpyro.infer.hmc_util import euclidean_kinetic_energy

    initial, transition = hmc(law.potential, kinetic_fn=euclidean_kinetic_energy, algo="NUTS")
    settings = {
        "target_accept_prob": sampling.target_acceptance,
        "max_tree_depth": sampling.max_tree_depth,
        "dense_mass": sampling.dense_mass,
        "trajectory_length": None,
    }
    # This is safe under vmap: the attributes that the kernel stores on itself depend on the settings alone.
    state = jax.jit(jax.vmap(lambda z, key: initial(z, sampling.warmup, rng_key=key, **settings)))(law.start, law.keys)

    def observed(state: Any) -> dict[str, Any]:
        seen = {
            "acceptance": state.accept_prob,
            "diverging": state.diverging,
            "n_steps": state.num_steps,
            "energy": state.energy,
            "step_size": state.adapt_state.step_size,
        }
        return {"sites": law.kept(state.z), "seen": seen}

    def advance(state: Any, n: "jax.Array") -> tuple[Any, Any]:
        def one(k: "jax.Array", carry: tuple[Any, Any]) -> tuple[Any, Any]:
            state, rows = carry
            state = transition(state)
            return state, jax.tree.map(lambda row, value: row.at[k].set(value), rows, observed(state))

        shapes = jax.eval_shape(observed, state)
        empty = jax.tree.map(lambda row: jnp.zeros((sampling.block, *row.shape), row.dtype), shapes)
        found: tuple[Any, Any] = jax.lax.fori_loop(0, n, one, (state, empty))
        return found

    return state, _over_chains(advance, sampling)


def _over_chains(advance: Callable[..., Any], sampling: NUTSSampling) -> Callable[..., Any]:
    """`advance` for all chains; `ValueError` where parallel chains outnumber the devices."""
    import jax

    if sampling.chain_method == "vectorized":
        return jax.jit(jax.vmap(advance, in_axes=(0, None)))
    if sampling.chain_method == "sequential":
        return jax.jit(lambda states, n: jax.lax.map(partial(advance, n=n), states))
    if (present := jax.local_device_count()) < sampling.chains:
        raise ValueError(
            f"chain_method: {sampling.chains} parallel chains need as many devices and JAX has {present}; take "
            "'vectorized' or 'sequential'"
        )
    found: Callable[..., Any] = jax.pmap(advance, in_axes=(0, None))
    return found
