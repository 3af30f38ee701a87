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

    The pool is the `first` rows of each set [n, D]. The published width comes from both sets and so differs from one
    method to the next; the width of the reference alone is the same for all methods. Raises ValueError where med is
    zero. Kristiadi et al. (2022), released code.
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
    Raises ValueError for NaN, infinity, wrong shapes or a `gamma` that is not positive.
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
    Raises ValueError as `mmd2_biased` does. Gretton et al. (2012), eq. 3.
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

    Of the m^2 pairs of rows within a set, m pair a row with itself, where k = 1. All other pairs, within the sets and
    between them, have the mean E k, which `mean_kernel` estimates (`kernel_mean` of the reference). Where distances
    concentrate at their median, as in many dimensions of comparable variance, E k tends to 1/e and the floor of n
    against n to 2 (1 - 1/e) / n. The floor of dependent rows (a Markov chain) is higher. Raises ValueError for sizes
    below 1 or a mean outside [0, 1].
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
    """Tests by the squared MMD whether x [m, D] and y [n, D] come from one distribution (Gretton et al. 2012).

    The statistic is compared with its values under random divisions of the pooled rows, whose mean is (1/m + 1/n) (1 -
    mean k over different pooled rows), or zero for `unbiased`. The pooled kernel, (m + n)^2 float64, is held in memory.
    `generator` is one of the CPU, so that all devices give the same divisions. Raises ValueError as `mmd2_biased` does
    (`unbiased` needs two rows each), or without permutations.
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
        """The statistics [B] of divisions [B, m + n], which are 1 for the rows taken as x."""
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
            expected = f"[samples, dimensions] with {least} or more samples"
            raise ValueError(f"{name}: {expected} expected, but its shape is {tuple(values.shape)}")
        if values.is_floating_point() and not torch.isfinite(values).all():
            raise ValueError(f"{name}: values are NaN or infinite")
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"y: {y.shape[1]} dimensions, x has {x.shape[1]}")
    return x.detach(), y.detach()


def _kernel_sum(a: Tensor, b: Tensor, gamma: float) -> float:
    return sum(block.sum().item() for block in _kernel_blocks(a, b, gamma))


def _kernel_blocks(a: Tensor, b: Tensor, gamma: float) -> Iterator[Tensor]:
    """The rows of the matrix k(a, b), in blocks; k of a row with itself is exactly 1.

    Distances by |u|^2 + |v|^2 - 2 u.v lose digits where all rows share a large offset, so the middle of the rows is
    subtracted first. Two rows that are closer than 1e-7 of the farthest row's distance from the middle count as equal.
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
