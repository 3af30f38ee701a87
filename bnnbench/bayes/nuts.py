"""The No-U-Turn sampler of NumPyro, on the last layer or on all layers of a small sequential net."""

from collections.abc import Callable
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Generator, Tensor, nn

from bnnbench.bayes.chains import ChainPosterior, Chains, check_start
from bnnbench.bayes.gaussian import Affine, Standard
from bnnbench.bayes.journal import Journal
from bnnbench.bayes.laplace import matched
from bnnbench.bayes.likelihood import Categorical, Gaussian
from bnnbench.bayes.map import trained
from bnnbench.bayes.method import MethodParams, Train, method
from bnnbench.bayes.network import LinearNet, Net, Scope, WholeNet, check_bias, flat, subject
from bnnbench.bayes.noise import normal, seed
from bnnbench.bayes.target import Target
from bnnbench.bayes.training import Training

if TYPE_CHECKING:
    import jax

Outputs = Callable[["jax.Array", "jax.Array"], "jax.Array"]


class NUTSParams(MethodParams):
    """Parameters of NUTS; defaults as published for the last layer (refinement, section 2.7)."""

    training: Training | None = Field(Training(), description="none where the model comes trained")
    precision: PositiveFloat = Field(510.0, description="of the prior")
    scope: Scope = "last"
    chains: PositiveInt = 3
    warmup: PositiveInt = Field(100, description="draws that adapt step size and mass matrix and are dropped")
    draws: PositiveInt = Field(200, description="kept, for each chain", ge=4)
    target_acceptance: PositiveFloat = Field(0.8, lt=1)
    max_tree_depth: PositiveInt = Field(10, description="at most 2^depth - 1 gradient steps a draw")
    dense_mass: bool = Field(False, description="adapt a full mass matrix instead of its diagonal")
    whitened: bool = Field(False, description="sample in the coordinates of the full Laplace approximation; P^2 memory")
    ignore_bias: bool = Field(False, description="as published: the last layer's bias has no effect (section 5.1, 1)")
    float64: bool = Field(True, description="double precision: a sum over 60,000 points needs it")

    @model_validator(mode="after")
    def _only_the_last_layers_bias_is_ignored(self) -> "NUTSParams":
        check_bias(self.scope, self.ignore_bias)
        return self


def sample(
    target: Target, start: Tensor, params: NUTSParams, generator: Generator | None, whitening: Affine | None = None
) -> Chains:
    """Chains [K, n, P] from starting points [K, P], and how they came about.

    `whitening` changes the coordinates that are sampled, not the posterior; starting points are in theta either way.
    `ValueError` where the log posterior or its gradient is not finite there.
    """
    import jax
    from numpyro.infer import MCMC, NUTS

    with jax.enable_x64(params.float64):
        density = log_density(target, params.float64)
        base = Standard(torch.zeros_like(start[0])) if whitening is None else whitening
        if whitening is not None:
            density = _whitened(density, whitening)
        kernel = NUTS(
            potential_fn=lambda z: -density(z),
            target_accept_prob=params.target_acceptance,
            max_tree_depth=params.max_tree_depth,
            dense_mass=params.dense_mass,
        )
        mcmc = MCMC(
            kernel,
            num_warmup=params.warmup,
            num_samples=params.draws,
            num_chains=len(start),
            chain_method="vectorized",
            progress_bar=False,
        )
        points = _to_jax(base.pull(start), params.float64)
        value, gradient = jax.vmap(jax.value_and_grad(density))(points)
        check_start(_to_torch(value, start), _to_torch(gradient, start))
        points = points[0] if len(start) == 1 else points
        fields = ("accept_prob", "diverging", "num_steps")
        mcmc.run(jax.random.key(seed(generator)), init_params=points, extra_fields=fields)
        draws = _to_torch(mcmc.get_samples(group_by_chain=True), start)
        extra = mcmc.get_extra_fields()
        saturated = int((extra["num_steps"] >= 2**params.max_tree_depth - 1).sum())
        return Chains(base.push(draws), float(extra["accept_prob"].mean()), int(extra["diverging"].sum()), saturated)


def log_density(target: Target, float64: bool = False) -> Callable[["jax.Array"], "jax.Array"]:
    """The target's log density of theta [P] in JAX, up to a constant.

    Raises `ValueError` for a net or a likelihood that is not known in JAX. Double precision has to be enabled in JAX.
    """
    import jax
    import jax.numpy as jnp

    outputs = jax_outputs(target.net)
    x, y = _to_jax(target.x, float64), jnp.asarray(target.y.cpu().numpy())
    likelihood, precision = target.likelihood, target.precision

    def log_likelihood(out: "jax.Array") -> "jax.Array":
        if isinstance(likelihood, Categorical):
            return jnp.take_along_axis(jax.nn.log_softmax(out), y[:, None], axis=1).sum()
        if isinstance(likelihood, Gaussian):
            return -0.5 * (((y - out[:, 0]) / likelihood.noise) ** 2).sum()
        raise ValueError(f"NUTS does not know the likelihood {type(likelihood).__name__}")

    return lambda theta: log_likelihood(outputs(theta, x)) - 0.5 * precision * (theta**2).sum()


def jax_outputs(net: Net) -> Outputs:
    """Outputs [N, C] of theta [P] and x in JAX, for a linear net or a sequential one of the usual layers."""
    if isinstance(net, LinearNet):
        width = net.n_outputs * net.n_features

        def linear(theta: "jax.Array", x: "jax.Array") -> "jax.Array":
            out = x @ theta[:width].reshape(net.n_outputs, net.n_features).T
            return out + theta[width:] if net.bias == "used" else out

        return linear
    if isinstance(net, WholeNet):
        layers, present = [_layer(part) for part in _flattened(net.module)], flat(net.module.parameters())
        if (used := sum(size for size, _ in layers)) != len(present):
            raise ValueError(
                f"the layers use {used} parameters and the net has {len(present)}: NUTS knows no shared or unused ones"
            )
        with_frozen = _filled(net.module, present)

        def sequential(theta: "jax.Array", x: "jax.Array") -> "jax.Array":
            theta = with_frozen(theta)
            for size, apply in layers:
                x, theta = apply(theta[:size], x), theta[size:]
            return x

        return sequential
    raise ValueError(f"NUTS does not know the net {type(net).__name__}")


def _filled(module: nn.Module, present: Tensor) -> Callable[["jax.Array"], "jax.Array"]:
    """All parameters of a module from theta [P], which leaves out frozen ones, and from their present values."""
    import jax.numpy as jnp

    free = torch.cat([torch.full((part.numel(),), part.requires_grad) for part in module.parameters()])
    positions, values = free.nonzero().squeeze(1).numpy(), present.cpu().numpy()
    return lambda theta: theta if free.all() else jnp.asarray(values, theta.dtype).at[positions].set(theta)


def _flattened(module: nn.Module) -> list[nn.Module]:
    if type(module) is nn.Sequential:
        return [part for child in module for part in _flattened(child)]
    return [module]


def _layer(module: nn.Module) -> tuple[int, Outputs]:
    """Number of parameters of a layer, and the layer."""
    import jax
    import jax.numpy as jnp

    if type(module) is nn.Linear:
        net = LinearNet(module.in_features, module.out_features, "none" if module.bias is None else "used")
        return net.n_params, jax_outputs(net)
    plain: dict[type[nn.Module], Callable[[Any], Any]] = {
        nn.Tanh: jnp.tanh,
        nn.ReLU: jax.nn.relu,
        nn.Sigmoid: jax.nn.sigmoid,
        nn.SiLU: jax.nn.silu,
        nn.Flatten: lambda x: x.reshape(len(x), -1),
        nn.Identity: lambda x: x,
    }
    if isinstance(module, nn.Flatten) and (module.start_dim, module.end_dim) != (1, -1):
        raise ValueError(f"NUTS on all layers does not know {module}, only that of all dimensions of a point")
    if type(module) not in plain:
        raise ValueError(f"NUTS on all layers does not know {type(module).__name__}")
    function = plain[type(module)]
    return 0, lambda _, x: function(x)


def _whitened(density: Callable[["jax.Array"], "jax.Array"], whitening: Affine) -> Callable[["jax.Array"], "jax.Array"]:
    """The density of z under theta = mean + R z."""
    import jax.numpy as jnp

    mean = whitening.mean
    root = jnp.asarray(whitening.rows(torch.arange(len(mean), device=mean.device)).cpu().numpy())
    centre = jnp.asarray(mean.cpu().numpy())
    return lambda z: density(centre + root @ z)


def _to_jax(values: Tensor, float64: bool) -> "jax.Array":
    import jax.numpy as jnp

    return jnp.asarray(values.detach().cpu().numpy(), dtype=jnp.float64 if float64 else jnp.float32)


def _to_torch(values: "jax.Array", like: Tensor) -> Tensor:
    import numpy as np

    return torch.from_numpy(np.array(values)).to(like)


@method("nuts", NUTSParams)
def nuts(model: nn.Module, train: Train, params: NUTSParams, generator: Generator, journal: Journal) -> ChainPosterior:
    """Trains the net, then samples its last layer or all of it; chains start at draws of the prior.

    Whitened chains start at draws of the Laplace approximation.
    """
    net = deepcopy(model) if params.scope == "all" else trained(model, train, params.training, generator, journal)
    what = subject(net, params.scope, train.x, params.ignore_bias)
    target = Target(what.inner, what.inputs, train.y, train.likelihood, params.precision)
    whitening = matched(what, target, "full") if params.whitened else None
    noise = normal((params.chains, len(what.theta)), generator, what.theta)
    start = noise / params.precision**0.5 if whitening is None else whitening.push(noise)
    found = sample(target, start, params, generator, whitening)
    return ChainPosterior.of(what.net, train.likelihood, found, params.target_acceptance)
