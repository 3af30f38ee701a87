"""Distributions that NumPyro lacks, in coordinates where small shares of a variance do not underflow.

A Dirichlet with alpha = 0.1 has most of its mass at the boundary: shares of 1e-30 are common. Logarithms are therefore
sampled instead: phi = softmax(g) with independent g_k = log Gamma(alpha, 1).
"""

import jax
import jax.numpy as jnp
from jax.scipy.special import betaln, gammaln
from numpyro.distributions import Distribution, constraints

TRIES = 8  # attempts at a draw below a bound; for a half-Cauchy below 50 all of them fail with probability 7e-16


class LogGamma(Distribution):  # type: ignore[misc]
    """The logarithm g of a Gamma(a, 1) variable: density exp(a g - e^g) / Gamma(a) with the concentration a."""

    support = constraints.real

    def __init__(self, concentration: float, shape: tuple[int, ...] = ()) -> None:
        self.concentration = concentration
        super().__init__(batch_shape=shape)

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draws [*sample_shape, *shape], exact in the lower tail."""
        return jax.random.loggamma(key, self.concentration, (*sample_shape, *self.batch_shape), dtype=float)

    def log_prob(self, value: jax.Array) -> jax.Array:
        """Log density at g."""
        return self.concentration * value - jnp.exp(value) - gammaln(self.concentration)


class LogitBeta(Distribution):  # type: ignore[misc]
    """The logit t of a Beta(a, b) variable: density sigmoid(t)^a sigmoid(-t)^b / B(a, b)."""

    support = constraints.real

    def __init__(self, a: float, b: float, shape: tuple[int, ...] = ()) -> None:
        self.a, self.b = a, b
        super().__init__(batch_shape=shape)

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draws [*sample_shape, *shape] as the difference of two log-gamma variables."""
        shape = (*sample_shape, *self.batch_shape)
        first, second = jax.random.split(key)
        return jax.random.loggamma(first, self.a, shape, dtype=float) - jax.random.loggamma(
            second, self.b, shape, dtype=float
        )

    def log_prob(self, value: jax.Array) -> jax.Array:
        """Log density at t."""
        return self.a * jax.nn.log_sigmoid(value) + self.b * jax.nn.log_sigmoid(-value) - betaln(self.a, self.b)


class HalfStudent(Distribution):  # type: ignore[misc]
    """|t| of a Student-t variable with `freedom` degrees of freedom, given that it is below `bound`.

    `inside`, the probability P(|t| < bound), normalises the density; without a bound it is 1.
    """

    def __init__(self, freedom: float, bound: float | None, shape: tuple[int, ...] = ()) -> None:
        from scipy.stats import t

        self.freedom, self.bound = freedom, bound
        self.inside = 1.0 if bound is None else float(2 * t.cdf(bound, freedom) - 1)
        super().__init__(batch_shape=shape)

    @property
    def support(self) -> constraints.Constraint:
        """(0, bound)."""
        return constraints.positive if self.bound is None else constraints.interval(0.0, self.bound)

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draws [*sample_shape, *shape]: the first of several tries that is below the bound."""
        shape = (*sample_shape, *self.batch_shape)
        tries = jnp.abs(jax.random.t(key, self.freedom, (TRIES, *shape), dtype=float))
        inside = tries < (jnp.inf if self.bound is None else self.bound)
        return jnp.take_along_axis(tries, inside.argmax(0, keepdims=True), 0)[0]

    def log_prob(self, value: jax.Array) -> jax.Array:
        """Log density at a value in (0, bound)."""
        half = 0.5 * (self.freedom + 1)
        constant = gammaln(half) - gammaln(0.5 * self.freedom) - 0.5 * jnp.log(self.freedom * jnp.pi)
        return jnp.log(2 / self.inside) + constant - half * jnp.log1p(value**2 / self.freedom)
