"""Nets as JAX functions of one flat parameter vector, for compiled samplers.

A layer is recognised by its exact type. Another package can add one of its own:

    @jax_layer(nn.Softplus)
    def softplus(module: nn.Softplus) -> JaxLayer:
        return JaxLayer(0, lambda theta, x: jax.nn.softplus(x))
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from bnnbench.bayes.log_noise import LogNoise
from bnnbench.bayes.network import LinearNet, Net, WholeNet, flat

if TYPE_CHECKING:
    import jax

Outputs = Callable[["jax.Array", "jax.Array"], "jax.Array"]


class JaxLayer(NamedTuple):
    """A layer in JAX."""

    n_params: int
    """Length of the part of theta that the layer reads: its parameters in torch's order, each row by row."""
    apply: Outputs
    """Maps (theta [n_params], x [N, ...]) to outputs [N, ...]."""


Translation = Callable[[Any], JaxLayer]
T = TypeVar("T", bound=Translation)
_LAYERS: dict[type[nn.Module], Translation] = {}


def jax_layer(*kinds: type[nn.Module]) -> Callable[[T], T]:
    """Declares that the decorated function translates torch layers of these exact types into JAX."""

    def declare(translation: T) -> T:
        _LAYERS.update(dict.fromkeys(kinds, translation))
        return translation

    return declare


def translated(module: nn.Module) -> JaxLayer:
    """A torch module in JAX; `ValueError` for a type that no function was declared for."""
    if (translation := _LAYERS.get(type(module))) is None:
        name = type(module).__name__
        raise ValueError(
            f"NUTS on all layers does not know {name}; declare it with jax_layer of bnnbench.bayes.jax_nets"
        )
    return translation(module)


def jax_outputs(net: Net) -> Outputs:
    """Outputs [N, C] as a function of theta [P] and x in JAX, for a linear net or a module whose layers are all known.

    `ValueError` for other nets, and for modules with parameters that are shared or that no layer uses.
    """
    if isinstance(net, LinearNet):
        return _linear_net(net).apply
    if not isinstance(net, WholeNet):
        raise ValueError(f"NUTS does not know the net {type(net).__name__}")
    layer, present = translated(net.module), flat(net.module.parameters())
    if layer.n_params != len(present):
        raise ValueError(
            f"the layers use {layer.n_params} parameters and the net has {len(present)}: NUTS knows no shared or "
            "unused ones"
        )
    with_frozen = _filled(net.module, present)
    return lambda theta, x: layer.apply(with_frozen(theta), x)


def chained(layers: list[JaxLayer]) -> JaxLayer:
    """Layers one after the other, whose parameters lie in theta in the same order."""

    def apply(theta: "jax.Array", x: "jax.Array") -> "jax.Array":
        for layer in layers:
            x, theta = layer.apply(theta[: layer.n_params], x), theta[layer.n_params :]
        return x

    return JaxLayer(sum(layer.n_params for layer in layers), apply)


def _linear_net(net: LinearNet) -> JaxLayer:
    width = net.n_outputs * net.n_features

    def apply(theta: "jax.Array", x: "jax.Array") -> "jax.Array":
        out = x @ theta[:width].reshape(net.n_outputs, net.n_features).T
        return out + theta[width:] if net.bias else out

    return JaxLayer(net.n_params, apply)


def _filled(module: nn.Module, present: Tensor) -> Callable[["jax.Array"], "jax.Array"]:
    """A function that gives all parameters of a module: those in theta [P], and frozen ones at their current values."""
    import jax.numpy as jnp

    free = torch.cat([torch.full((part.numel(),), part.requires_grad) for part in module.parameters()])
    positions, values = free.nonzero().squeeze(1).numpy(), present.cpu().numpy()
    return lambda theta: theta if free.all() else jnp.asarray(values, theta.dtype).at[positions].set(theta)


@jax_layer(nn.Sequential)
def _sequential(module: nn.Sequential) -> JaxLayer:
    return chained([translated(part) for part in module])


@jax_layer(nn.Linear)
def _linear(module: nn.Linear) -> JaxLayer:
    return _linear_net(LinearNet(module.in_features, module.out_features, module.bias is not None))


@jax_layer(LogNoise)
def _log_noise(module: LogNoise) -> JaxLayer:
    import jax.numpy as jnp

    n_targets = len(module.log_noise)

    def apply(theta: "jax.Array", x: "jax.Array") -> "jax.Array":
        return jnp.concatenate([x, jnp.broadcast_to(theta, (*x.shape[:-1], n_targets))], axis=-1)

    return JaxLayer(n_targets, apply)


@jax_layer(nn.Flatten)
def _flatten(module: nn.Flatten) -> JaxLayer:
    if (module.start_dim, module.end_dim) != (1, -1):
        raise ValueError(f"NUTS on all layers does not know {module}, only that of all dimensions of a point")
    return JaxLayer(0, lambda _, x: x.reshape(len(x), -1))


@jax_layer(nn.Tanh, nn.ReLU, nn.Sigmoid, nn.SiLU, nn.Identity)
def _elementwise(module: nn.Module) -> JaxLayer:
    import jax
    import jax.numpy as jnp

    functions: dict[type[nn.Module], Callable[[Any], Any]] = {
        nn.Tanh: jnp.tanh,
        nn.ReLU: jax.nn.relu,
        nn.Sigmoid: jax.nn.sigmoid,
        nn.SiLU: jax.nn.silu,
        nn.Identity: lambda x: x,
    }
    function = functions[type(module)]
    return JaxLayer(0, lambda _, x: function(x))


@jax_layer(nn.ELU)
def _elu(module: nn.ELU) -> JaxLayer:
    import jax

    return JaxLayer(0, lambda _, x: jax.nn.elu(x, module.alpha))
