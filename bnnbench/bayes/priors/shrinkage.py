"""How a scale mixture shrinks a weight of a linear model, in closed form.

The shrinkage factor kappa = 1 / (1 + z^2 lambda^2 phi) is 1 where a weight is shrunk to 0 and 0 where it is left alone;
z collects the known scales. The densities of kappa for half-Cauchy or half-t lambda and phi ~ Beta(alpha, beta), the
marginal of a symmetric Dirichlet with beta = (p - 1) alpha, are integrals of Euler's type (Arnstad, Rønneberg, Storvik
2026).
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, hyp2f1

Reals = NDArray[np.float64]


def horseshoe_density(kappa: ArrayLike, z: float) -> Reals:
    """Density of kappa in (0, 1) for half-Cauchy lambda without shares (phi = 1); for z = 1 as in Carvalho, Polson,
    Scott 2010.
    """
    k = np.asarray(kappa, float)
    found: Reals = z / (np.pi * ((z**2 - 1) * k + 1) * np.sqrt(k * (1 - k)))
    return found


def shared_density(kappa: ArrayLike, z: float, freedom: float, alpha: float, inputs: int) -> Reals:
    """Density of kappa in (0, 1) for lambda half-t of `freedom` and phi ~ Beta(alpha, (inputs - 1) alpha)."""
    k, nu, beta = np.asarray(kappa, float), freedom, (inputs - 1) * alpha
    log_constant = gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * np.log(np.pi * nu)
    log_moment = gammaln(alpha + nu / 2) + gammaln(alpha + beta) - gammaln(alpha) - gammaln(alpha + beta + nu / 2)
    powers = nu * np.log(z) + (nu + 1) / 2 * np.log(nu) + (nu / 2 - 1) * np.log(k) - (nu / 2 + 1) * np.log1p(-k)
    series = hyp2f1((nu + 1) / 2, alpha + nu / 2, alpha + beta + nu / 2, -nu * z**2 * k / (1 - k))
    found: Reals = np.exp(log_constant + log_moment + powers) * series
    return found


def expected_shrinkage(s: ArrayLike, alpha: float, inputs: int) -> Reals:
    """E[1 / (1 + s phi)] over phi ~ Beta(alpha, (inputs - 1) alpha)."""
    found: Reals = hyp2f1(1.0, alpha, inputs * alpha, -np.asarray(s, float))
    return found


def share_correlation(inputs: int) -> float:
    """Correlation of two shares of a symmetric Dirichlet, for any concentration: -1 / (inputs - 1)."""
    return -1.0 / (inputs - 1)


def relative_variance(draws: ArrayLike, axis: int = 0) -> Any:
    """The relative variance r(X) = Var X / (E X)^2 of draws along `axis`.

    For two weights of a unit that share lambda, with X = lambda^2 and phi ~ Dirichlet(alpha, ...) over p inputs,
    Cov(X phi_k, X phi_l) has the sign of r(X) - 1 / (p alpha): where r(X) is smaller, inputs compete, and where it is
    larger, they are active together.
    """
    values = np.asarray(draws, float)
    return values.var(axis) / values.mean(axis) ** 2
