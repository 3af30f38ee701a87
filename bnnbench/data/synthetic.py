"""Regression data that are made and not read: Friedman's first function, a sparse linear model, and two clusters.

They are functions of a seed and need no file. The streams of the first two are NumPy's `RandomState`, as in the
released code of Arnstad, Rønneberg, Storvik 2026, so that a seed gives the very data of theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

INPUTS = 10
FRIEDMAN_ACTIVE = tuple(range(5))  # which inputs the function depends on
POOL, POOL_SEED = 10_000, 123  # of correlated inputs, from which rows are drawn
COEFFICIENTS = (3.0, -2.0, 1.5, 0.8, 0.2, 0.0, 0.0, 0.0, 0.0, 0.0)  # of the linear model
NOISE = 1.0


@dataclass(frozen=True)
class Sample:
    """Inputs x [N, D] and targets y [N] with noise of standard deviation 1, and the targets without it."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    clean: NDArray[np.float64]


def friedman(n: int, seed: int, correlated: bool = False) -> Sample:
    """10 sin(pi x1 x2) + 20 (x3 - 1/2)^2 + 10 x4 + 5 x5 + N(0, 1) of ten inputs on [0, 1] (Friedman 1991, section 4.3).

    Inputs are independent, or rows of one pool of correlated uniforms (`correlated_uniforms`), each drawn once.
    """
    import numpy as np

    stream = np.random.RandomState(seed)
    x = correlated_uniforms()[stream.choice(POOL, n, replace=False)] if correlated else stream.uniform(size=(n, INPUTS))
    clean = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    return Sample(x, clean + stream.normal(0, NOISE, n), clean)


def correlated_uniforms() -> NDArray[np.float64]:
    """Uniforms [10,000, 10] from a normal copula, always the same: groups 1 to 3 and 6 to 10, and four strong pairs."""
    import numpy as np
    from scipy.stats import norm

    root = np.linalg.cholesky(copula_correlation())
    return np.asarray(norm.cdf(np.random.default_rng(POOL_SEED).standard_normal((POOL, INPUTS)) @ root.T))


def copula_correlation() -> NDArray[np.float64]:
    """The normal correlation of the copula [10, 10]: 2 sin(pi s / 6) of rank correlations s, made positive definite.

    The rank correlations that are asked for have no joint distribution; clipping eigenvalues and restoring the diagonal
    five times in turn gives one near them.
    """
    import numpy as np

    ranks = np.eye(INPUTS)
    ranks[:5, 5:] = ranks[5:, :5] = 0.15
    ranks[:3, :3], ranks[5:, 5:] = 0.8, -0.5
    for (i, j), value in {(1, 10): 0.4, (3, 8): 0.9, (4, 5): -0.9, (2, 7): -0.9}.items():
        ranks[i - 1, j - 1] = ranks[j - 1, i - 1] = value
    np.fill_diagonal(ranks, 1.0)
    correlation = 2 * np.sin(np.pi * ranks / 6)
    for _ in range(5):
        values, vectors = np.linalg.eigh(correlation)
        correlation = (vectors * values.clip(1e-8)) @ vectors.T
        spread = np.sqrt(np.diag(correlation))
        correlation = correlation / np.outer(spread, spread)
    return correlation


def sparse_linear(n: int, correlation: float, seed: int) -> Sample:
    """y = x beta + N(0, 1) with five of ten coefficients other than 0 and inputs of correlation rho^|i - j|."""
    import numpy as np

    stream = np.random.RandomState(seed)
    places = np.arange(INPUTS)
    covariance = float(correlation) ** np.abs(places[:, None] - places)
    x = stream.multivariate_normal(np.zeros(INPUTS), covariance, size=n)
    clean = x @ np.array(COEFFICIENTS)
    return Sample(x, clean + stream.normal(0, NOISE, n), clean)


LONGEST = 1.28  # the largest input of the two clusters, by which inputs are divided
CLUSTERS = (-LONGEST, -0.61, 38), (0.61, LONGEST, 32)  # ends and points of each
WAVES_NOISE = 0.3


def waves(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """x + 0.8 sin(2 pi x) + 0.8 sin(4 pi x), at inputs that are not divided yet."""
    import numpy as np

    return x + 0.8 * np.sin(2 * np.pi * x) + 0.8 * np.sin(4 * np.pi * x)


def two_clusters(seed: int) -> Sample:
    """70 even inputs on both sides of a gap, divided by 1.28, and `waves` with noise of standard deviation 0.3.

    The toy regression of the released code of Uppal et al. 2023; the noise is that of the seed.
    """
    import numpy as np

    x = np.concatenate([np.linspace(*ends) for ends in CLUSTERS])
    clean = waves(x)
    noise = np.random.default_rng(seed).normal(0, WAVES_NOISE, len(x))
    return Sample(x[:, None] / LONGEST, clean + noise, clean)


def authors_split(
    n: int, seed: int, labels: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(train, test) rows of 80 % and 20 %, by scikit-learn's rule with `random_state=seed`; stratified by `labels`."""
    import numpy as np
    from sklearn.model_selection import train_test_split

    train, test = train_test_split(np.arange(n), test_size=0.2, random_state=seed, stratify=labels)
    return train, test
