"""The log posterior of a net's parameters in JAX."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor, nn

from bnnbench.bayes.jax_arrays import to_jax
from bnnbench.bayes.jax_nets import JaxLayer, jax_outputs, translated
from bnnbench.bayes.likelihood import Gaussian, LearnedNoise, Likelihood
from bnnbench.bayes.linear_output import log_marginal
from bnnbench.bayes.log_noise import has_log_noise
from bnnbench.bayes.network import Net, WholeNet, weight_shapes
from bnnbench.bayes.prior import NumpyroPrior, Shapes
from bnnbench.bayes.target import Target

if TYPE_CHECKING:
    import jax


def log_density(target: Target, float64: bool = False) -> Callable[["jax.Array"], "jax.Array"]:
    """The target's log density of theta [P] in JAX, up to a constant.

    Raises `ValueError` for a net, a likelihood or a prior that has no form in JAX. For `float64`, double precision has
    to be enabled in JAX.
    """
    prior = target.density
    log_likelihood = _log_likelihood(target.net, target.x, target.y, target.likelihood, float64)
    return lambda theta: log_likelihood(theta) + prior.log_prob_jax(theta)


def numpyro_model(
    net: Net, x: Tensor, y: Tensor, likelihood: Likelihood, prior: NumpyroPrior, float64: bool = False
) -> Callable[[], None]:
    """A NumPyro model of the net's parameters, with the site "theta" [P] and the sites of the prior.

    A learned noise is the site "log_noise" [D], unless the prior returns one of its own. `ValueError` for a net or a
    likelihood that has no form in JAX, and where the prior does not return weights for each parameter.
    """
    shapes = weight_shapes(net)
    log_likelihood = _log_likelihood(net, x, y, likelihood, float64)

    def model() -> None:
        import numpyro

        numpyro.factor("log_likelihood", log_likelihood(_sampled(shapes, likelihood, prior)))

    return model


def integrated_model(
    net: Net, x: Tensor, y: Tensor, likelihood: Likelihood, prior: NumpyroPrior, float64: bool = False
) -> Callable[[], None]:
    """As `numpyro_model`, with the weights and the bias of the last layer integrated out, so "theta" is without them.

    `ValueError` where this is not possible: the prior of the last layer is not normal, the likelihood is not that of
    one real target with the same noise at all points, or the net does not end with a linear layer.
    """
    split = hidden_part(net, likelihood, prior)
    inputs, targets = to_jax(x, float64), to_jax(y, float64)

    def model() -> None:
        import jax.numpy as jnp
        import numpyro

        theta = _sampled(split.shapes, likelihood, prior)
        features = split.hidden.apply(theta[: split.hidden.n_params], inputs)
        phi = jnp.concatenate([features, jnp.ones_like(features[:, :1])], axis=1)
        log_noise = theta[-1] if split.learns_noise else jnp.log(likelihood.noise)  # type: ignore[attr-defined]
        numpyro.factor("log_likelihood", log_marginal(phi, targets, split.scale, log_noise))

    return model


class HiddenPart(NamedTuple):
    """A net without its last linear layer, whose weights and bias are N(0, scale^2)."""

    hidden: JaxLayer
    module: nn.Sequential
    """The same layers in torch."""
    shapes: Shapes
    """Shapes of their parameters by name."""
    scale: float
    learns_noise: bool


def hidden_part(net: Net, likelihood: Likelihood, prior: NumpyroPrior) -> HiddenPart:
    """The part of the net that is sampled where the last layer is integrated out; `ValueError` where it cannot be."""
    learns_noise = type(likelihood) is LearnedNoise and likelihood.n_targets == 1
    module = net.module if isinstance(net, WholeNet) else None
    perceptron = module.get_submodule("net") if module is not None and has_log_noise(module) else module
    if prior.output_scale is None:
        raise ValueError("integrate_output: the prior does not say that the last layer is normal (output_scale)")
    if not (learns_noise or type(likelihood) is Gaussian):
        raise ValueError(
            "integrate_output: the likelihood is not that of one real target with the same noise everywhere"
        )
    if not (isinstance(perceptron, nn.Sequential) and len(perceptron) > 1 and type(perceptron[-1]) is nn.Linear):
        raise ValueError("integrate_output: the net is no nn.Sequential that ends with a linear layer after others")
    if perceptron[-1].bias is None or any(not part.requires_grad for part in perceptron.parameters()):
        raise ValueError("integrate_output: the last layer has no bias, or parameters of the net are frozen")
    shapes = dict(list(weight_shapes(net).items())[:-2])
    hidden = nn.Sequential(*perceptron[:-1])  # type: ignore[misc]
    return HiddenPart(translated(hidden), hidden, shapes, prior.output_scale, learns_noise)


def _sampled(shapes: Shapes, likelihood: Likelihood, prior: NumpyroPrior) -> "jax.Array":
    """Samples theta [P] and its prior's sites within a NumPyro model; a learned noise is the end of theta."""
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist

    weights = dict(prior.function(shapes))
    if isinstance(likelihood, LearnedNoise) and "log_noise" not in weights:
        noise = dist.Normal(likelihood.prior_mean, likelihood.prior_scale).expand([likelihood.n_targets])
        weights["log_noise"] = numpyro.sample("log_noise", noise.to_event(1))
    parts = [jnp.reshape(part, -1) for part in _ordered(weights, shapes, likelihood)]
    found: jax.Array = numpyro.deterministic("theta", jnp.concatenate(parts))
    return found


def _ordered(weights: Mapping[str, Any], shapes: Shapes, likelihood: Likelihood) -> Iterator[Any]:
    """The weights in the order of theta, with a learned noise last."""
    sizes: dict[str, tuple[int, ...]] = {name: tuple(shape) for name, shape in shapes.items()}
    if isinstance(likelihood, LearnedNoise):
        sizes["log_noise"] = (likelihood.n_targets,)
    if weights.keys() != sizes.keys():
        raise ValueError(f"prior: it returned weights {sorted(weights)}, and the net has {sorted(sizes)}")
    for name, shape in sizes.items():
        if tuple(weights[name].shape) != shape:
            raise ValueError(f"prior: {name!r} has shape {tuple(weights[name].shape)}, and the parameter {shape}")
        yield weights[name]


def _log_likelihood(
    net: Net, x: Tensor, y: Tensor, likelihood: Likelihood, float64: bool
) -> Callable[["jax.Array"], "jax.Array"]:
    """The log-likelihood of all points as a function of theta [P], up to a constant."""
    outputs, inputs, targets = jax_outputs(net), to_jax(x, float64), to_jax(y)
    if not hasattr(likelihood, "log_prob_jax"):
        name = type(likelihood).__name__
        raise ValueError(f"NUTS does not know the likelihood {name}; give it log_prob_jax(outputs, y)")
    return lambda theta: likelihood.log_prob_jax(outputs(theta, inputs), targets)
