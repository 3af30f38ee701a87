"""The log posterior of a net's parameters in JAX."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from bnnbench.bayes.jax_arrays import to_jax
from bnnbench.bayes.jax_nets import jax_outputs
from bnnbench.bayes.likelihood import LearnedNoise, Likelihood
from bnnbench.bayes.network import Net, weight_shapes
from bnnbench.bayes.prior import NumpyroPrior, Shapes
from bnnbench.bayes.target import Target

if TYPE_CHECKING:
    import jax


def log_density(target: Target, float64: bool = False) -> Callable[["jax.Array"], "jax.Array"]:
    """The target's log density of theta [P] in JAX, up to a constant.

    Raises `ValueError` for a net, a likelihood or a prior that is not known in JAX. Double precision has to be enabled
    in JAX.
    """
    prior = target.density
    log_likelihood = _log_likelihood(target.net, target.x, target.y, target.likelihood, float64)
    return lambda theta: log_likelihood(theta) + prior.log_prob_jax(theta)


def numpyro_model(
    net: Net, x: Tensor, y: Tensor, likelihood: Likelihood, prior: NumpyroPrior, float64: bool = False
) -> Callable[[], None]:
    """A NumPyro model of the net's parameters, with the site "theta" [P] and the sites of the prior.

    A learned noise is the site "log_noise" [D], unless the prior returns one of its own. `ValueError` for a net or a
    likelihood that is not known in JAX, and where the prior does not return a weight for each parameter.
    """
    shapes = weight_shapes(net)
    log_likelihood = _log_likelihood(net, x, y, likelihood, float64)

    def model() -> None:
        import jax.numpy as jnp
        import numpyro
        import numpyro.distributions as dist

        weights = dict(prior.function(shapes))
        if isinstance(likelihood, LearnedNoise) and "log_noise" not in weights:
            noise = dist.Normal(likelihood.prior_mean, likelihood.prior_scale).expand([likelihood.n_targets])
            weights["log_noise"] = numpyro.sample("log_noise", noise.to_event(1))
        parts = [jnp.reshape(part, -1) for part in _ordered(weights, shapes, likelihood)]
        theta = numpyro.deterministic("theta", jnp.concatenate(parts))
        numpyro.factor("log_likelihood", log_likelihood(theta))

    return model


def _ordered(weights: Mapping[str, Any], shapes: Shapes, likelihood: Likelihood) -> Iterator[Any]:
    """The weights in the order of theta, of which a learned noise is the end."""
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
    """Of all points, as a function of theta [P], up to a constant."""
    outputs, inputs, targets = jax_outputs(net), to_jax(x, float64), to_jax(y)
    if not hasattr(likelihood, "log_prob_jax"):
        name = type(likelihood).__name__
        raise ValueError(f"NUTS does not know the likelihood {name}; give it log_prob_jax(outputs, y)")
    return lambda theta: likelihood.log_prob_jax(outputs(theta, inputs), targets)
