"""Squared maximum mean discrepancy of two sample sets, kernel k(x, y) = exp(-gamma |x - y|^2) (Gretton et al., 2012).

Rows are samples: [m, D] against [n, D]. Kernels are computed in float64 by blocks of rows and of columns, so that 600
samples of 25 700 weights need little more memory than the samples. torchmetrics has no such kernel distance (its KID
is polynomial, on subsets).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp

import torch
from torch import Tensor

from bnnbench.metrics._check import numbers, positive, same_shape

ROWS, COLUMNS = 1024, 4096  # of a block
CONCENTRATED = exp(-1.0)  # E k where all distances are close to their median


def median_gamma(*samples: Tensor, first: int = 50) -> float:
    """Kernel width 1 / med^2, med the median distance between two different rows of the pool.

    The pool is the `first` rows of each set [n, D]. Both sets give the width as published, which differs from one
    method to the next; the reference alone gives one width for all methods. ValueError where med is zero.
    Kristiadi et al. (2022), released code.
    """
    if not samples:
        raise ValueError("samples: none given")
    heads = [numbers(one[:first], f"samples[{i}]", dims=2) for i, one in enumerate(samples)]
    for one in heads[1:]:
        same_shape(one[0], "samples", heads[0][0], "samples[0]")
    distances = torch.pdist(torch.cat(heads)).sort().values
    if len(distances) == 0:
        raise ValueError("samples: one row has no distance")
    middle = (distances[(len(distances) - 1) // 2] + distances[len(distances) // 2]).item() / 2
    if middle == 0.0:
        raise ValueError("samples: the median distance is zero")
    return middle**-2


def mmd2_biased(x: Tensor, y: Tensor, gamma: float) -> float:
    """Squared MMD as a V-statistic: mean k(X, X) + mean k(Y, Y) - 2 mean k(X, Y), diagonals included; at least 0.

    x [m, D], y [n, D]. Above zero in expectation even where both come from one distribution: see `mmd2_floor`.
    ValueError for NaN, infinity, shapes, a `gamma` that is not positive.
    """
    x, y = _pair(x, y, gamma)
    xx, yy, xy = (_kernel_sum(a, b, gamma) for a, b in ((x, x), (y, y), (x, y)))
    m, n = len(x), len(y)
    return max(0.0, xx / m**2 + yy / n**2 - 2 * xy / (m * n))  # it is 0 for equal sets, up to rounding


def mmd2_published(x: Tensor, y: Tensor) -> float:
    """Squared MMD of Kristiadi et al. (2022), released code: biased, the kernel's width from `median_gamma(x, y)`.

    x [m, D], y [n, D]; the width depends on the pair, so that values of different methods are not on one scale.
    """
    return mmd2_biased(x, y, median_gamma(x, y))


def mmd2_unbiased(x: Tensor, y: Tensor, gamma: float) -> float:
    """Squared MMD as a U-statistic, diagonals left out: zero in expectation for one distribution, hence also negative.

    x [m, D], y [n, D], both of at least two independent rows; one `gamma` for all methods that are compared.
    ValueError as in `mmd2_biased`. Gretton et al. (2012), eq. 3.
    """
    x, y = _pair(x, y, gamma, least=2)
    return kernel_mean(x, gamma) + kernel_mean(y, gamma) - 2 * _kernel_sum(x, y, gamma) / (len(x) * len(y))


def kernel_mean(x: Tensor, gamma: float) -> float:
    """Mean of k over pairs of different rows: an unbiased estimate of E k(X, X') for independent rows x [m, D]."""
    x, _ = _pair(x, x, gamma, least=2)
    m = len(x)
    return (_kernel_sum(x, x, gamma) - m) / (m * (m - 1))


def mmd2_floor(m: int, n: int, mean_kernel: float = CONCENTRATED) -> float:
    """Expected `mmd2_biased` of m against n independent samples of one distribution: (1/m + 1/n) (1 - E k(X, X')).

    Each set's mean is k(x, x) = 1 on 1/m of its pairs and E k = `mean_kernel` elsewhere, as between the sets, where
    2 E k is taken away. `mean_kernel` is `kernel_mean` of the reference; where distances concentrate at their median,
    as in many dimensions of comparable variance, it tends to 1/e, and the floor of n against n to 2 (1 - 1/e) / n.
    Dependent rows (a Markov chain) lie higher. ValueError for sizes below 1 or a mean outside [0, 1].
    """
    if m < 1 or n < 1:
        raise ValueError(f"m, n: {m} and {n} samples")
    if not 0.0 <= mean_kernel <= 1.0:
        raise ValueError(f"mean_kernel: {mean_kernel} is not between 0 and 1")
    return (1.0 / m + 1.0 / n) * (1.0 - mean_kernel)


@dataclass(frozen=True)
class PermutationTest:
    """A statistic beside its values under random divisions of the pooled samples.

    `expected` is their exact mean over all divisions, not an estimate; `null` [permutations] is ascending; `p_value`
    counts the observed division itself, so that a test at level p is exact for exchangeable samples.
    """

    statistic: float
    expected: float
    null: Tensor
    p_value: float


def permutation_test(
    x: Tensor,
    y: Tensor,
    gamma: float,
    permutations: int = 1000,
    *,
    unbiased: bool = False,
    generator: torch.Generator | None = None,
) -> PermutationTest:
    """Squared MMD of x [m, D] and y [n, D] against its distribution where both come from one distribution.

    Holds the pooled kernel, (m + n)^2 float64. `generator` belongs to the CPU, so that devices agree. The mean over
    divisions is (1/m + 1/n) (1 - mean k over different pooled rows), zero for `unbiased`. ValueError as in
    `mmd2_biased` (`unbiased`: two rows each) or without permutations. Gretton et al. (2012).
    """
    if permutations < 1:
        raise ValueError(f"permutations: {permutations} is less than 1")
    x, y = _pair(x, y, gamma, least=2 if unbiased else 1)
    m, n = len(x), len(y)
    xy = torch.cat(list(_kernel_blocks(x, y, gamma)))
    above = torch.cat([torch.cat(list(_kernel_blocks(x, x, gamma))), xy], dim=1)
    below = torch.cat([xy.T, torch.cat(list(_kernel_blocks(y, y, gamma)))], dim=1)
    kernel = torch.cat([above, below])
    rows, total = kernel.sum(dim=1), kernel.sum()

    def statistics(in_x: Tensor) -> Tensor:
        """Of divisions [B, m + n], 1 for the rows taken as x."""
        xx, row_sums = (in_x @ kernel * in_x).sum(dim=1), in_x @ rows
        cross, yy = row_sums - xx, total - 2 * row_sums + xx
        if unbiased:
            return (xx - m) / (m * (m - 1)) + (yy - n) / (n * (n - 1)) - 2 * cross / (m * n)
        return xx / m**2 + yy / n**2 - 2 * cross / (m * n)

    observed = torch.zeros(1, m + n, dtype=torch.float64, device=kernel.device)
    observed[0, :m] = 1.0
    null = []
    for start in range(0, permutations, ROWS):
        order = torch.rand(min(ROWS, permutations - start), m + n, generator=generator, dtype=torch.float64).argsort(1)
        null.append(statistics((order < m).to(kernel)))
    drawn = torch.cat(null).sort().values
    statistic = statistics(observed)
    # equal divisions differ by rounding
    reached = (drawn >= statistic - 1e-12).sum().item()
    pooled_mean = (total.item() - (m + n)) / ((m + n) * (m + n - 1))
    expected = 0.0 if unbiased else mmd2_floor(m, n, min(pooled_mean, 1.0))
    return PermutationTest(statistic.item(), expected, drawn, (1 + reached) / (1 + permutations))


def _pair(x: Tensor, y: Tensor, gamma: float, least: int = 1) -> tuple[Tensor, Tensor]:
    positive(gamma, "gamma")
    for values, name in ((x, "x"), (y, "y")):
        if values.dim() != 2 or len(values) < least or values.shape[1] == 0:
            raise ValueError(f"{name}: [samples, dimensions], {least} or more, expected; {tuple(values.shape)} found")
        if values.is_floating_point() and not torch.isfinite(values).all():
            raise ValueError(f"{name}: values are NaN or infinite")
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"y: {y.shape[1]} dimensions, x has {x.shape[1]}")
    return x.detach(), y.detach()


def _kernel_sum(a: Tensor, b: Tensor, gamma: float) -> float:
    return sum(block.sum().item() for block in _kernel_blocks(a, b, gamma))


def _kernel_blocks(a: Tensor, b: Tensor, gamma: float) -> Iterator[Tensor]:
    """Rows of k(a, b) in blocks; one where a row meets itself.

    Distances by |u|^2 + |v|^2 - 2 u.v lose digits where a common offset is large, so it is taken away first; what is
    left is that rows closer than 1e-7 of the farthest row's distance from the middle are not told apart.
    """
    same = a is b
    parts = [slice(start, start + COLUMNS) for start in range(0, a.shape[1], COLUMNS)]
    middles = [(_mean(a[:, part]) + _mean(b[:, part])) / 2 for part in parts]
    for start in range(0, len(a), ROWS):
        rows = a[start : start + ROWS]
        distances = torch.zeros(len(rows), len(b), dtype=torch.float64, device=a.device)
        for part, middle in zip(parts, middles, strict=True):
            u, v = rows[:, part].double() - middle, b[:, part].double() - middle
            distances += u.square().sum(1)[:, None] + v.square().sum(1)[None, :]
            distances.addmm_(u, v.T, alpha=-2.0)
        if same:
            distances.diagonal(start).zero_()
        yield distances.clamp_(min=0.0).mul_(-gamma).exp_()


def _mean(x: Tensor) -> Tensor:
    return x.mean(dim=0, dtype=torch.float64)
