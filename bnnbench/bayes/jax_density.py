"""The log posterior of a net's parameters in JAX."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from bnnbench.bayes.jax_arrays import to_jax
from bnnbench.bayes.jax_nets import jax_outputs
from bnnbench.bayes.likelihood import Categorical, Gaussian
from bnnbench.bayes.target import Target

if TYPE_CHECKING:
    import jax


def log_density(target: Target, float64: bool = False) -> Callable[["jax.Array"], "jax.Array"]:
    """The target's log density of theta [P] in JAX, up to a constant.

    Raises `ValueError` for a net or a likelihood that is not known in JAX. Double precision has to be enabled in JAX.
    """
    import jax
    import jax.numpy as jnp

    outputs = jax_outputs(target.net)
    x, y = to_jax(target.x, float64), to_jax(target.y)
    likelihood, precision = target.likelihood, target.precision

    def log_likelihood(out: "jax.Array") -> "jax.Array":
        if isinstance(likelihood, Categorical):
            return jnp.take_along_axis(jax.nn.log_softmax(out), y[:, None], axis=1).sum()
        if isinstance(likelihood, Gaussian):
            return -0.5 * (((y - out[:, 0]) / likelihood.noise) ** 2).sum()
        raise ValueError(f"NUTS does not know the likelihood {type(likelihood).__name__}")

    return lambda theta: log_likelihood(outputs(theta, x)) - 0.5 * precision * (theta**2).sum()
