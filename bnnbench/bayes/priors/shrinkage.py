"""What a scale mixture does to a weight of a linear model, in closed form.

The shrinkage factor kappa = 1 / (1 + z^2 lambda^2 phi) is 1 where a weight is shrunk to 0 and 0 where it is left alone;
z collects the known scales. Its densities under half-Cauchy and half-t lambda and phi ~ Beta(alpha, beta), the marginal
of a symmetric Dirichlet with beta = (p - 1) alpha, are integrals of Euler's type (Arnstad, Rønneberg, Storvik 2026).
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, hyp2f1

Reals = NDArray[np.float64]


def horseshoe_density(kappa: ArrayLike, z: float) -> Reals:
    """Of kappa in (0, 1) with lambda half-Cauchy and no shares (phi = 1); Carvalho, Polson, Scott 2010 for z = 1."""
    k = np.asarray(kappa, float)
    found: Reals = z / (np.pi * ((z**2 - 1) * k + 1) * np.sqrt(k * (1 - k)))
    return found


def shared_density(kappa: ArrayLike, z: float, freedom: float, alpha: float, inputs: int) -> Reals:
    """Of kappa in (0, 1) with lambda half-t of `freedom` (1: half-Cauchy), phi ~ Beta(alpha, (inputs - 1) alpha)."""
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
    """Between two shares of a symmetric Dirichlet, whatever its concentration: -1 / (inputs - 1)."""
    return -1.0 / (inputs - 1)


def relative_variance(draws: ArrayLike, axis: int = 0) -> Any:
    """r(X) = Var X / (E X)^2 of draws along `axis`.

    Two weights of a unit that share lambda have Cov(X phi_k, X phi_l) of the sign of r(X) - 1 / (p alpha) for X =
    lambda^2 and phi ~ Dirichlet(alpha, ...) of p inputs: below it inputs compete, above it they are active together.
    """
    values = np.asarray(draws, float)
    return values.var(axis) / values.mean(axis) ** 2
