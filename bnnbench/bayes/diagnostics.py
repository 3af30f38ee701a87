"""Convergence of Markov chains: split R-hat and effective sample size (BDA3, chapter 11).

Both compare chains cut into halves. Where neither is defined they are no number: a parameter with a draw that is not
finite, or one that is the same in all draws, has R-hat NaN; one that stays where it is in some half of a chain and
moves, or is another, elsewhere has R-hat infinite. The effective size is NaN in all of these cases.
"""

from math import log10

import torch
from torch import Tensor

LEAST = 4  # draws of a chain: halves have a variance


def split(draws: Tensor) -> Tensor:
    """Chains [K, n, ...] cut into halves [2 K, n // 2, ...]; the middle draw of an odd number is left out.

    `ValueError` for fewer than `LEAST` draws.
    """
    if draws.shape[1] < LEAST:
        raise ValueError(f"draws: {draws.shape[1]} of a chain; its convergence is judged from {LEAST} or more")
    half = draws.shape[1] // 2
    return torch.cat([draws[:, :half], draws[:, -half:]])


def split_rhat(draws: Tensor) -> Tensor:
    """Potential scale reduction of chains [K, n, ...], each parameter by itself [...]; needs n >= 4."""
    halves = split(draws.double())
    n = halves.shape[1]
    within = halves.var(dim=1).mean(dim=0)
    between = halves.mean(dim=1).var(dim=0)
    found = torch.sqrt((n - 1) / n + between / within)
    found = found.masked_fill(stuck(draws), torch.inf)
    return found.masked_fill(undefined(draws), torch.nan)


def effective_size(draws: Tensor) -> Tensor:
    """Effective number of draws for the mean, of split chains [K, n, ...]: [...].

    Autocorrelations are summed in pairs until a pair is negative, and pairs may not grow (Geyer's initial monotone
    sequence). As in Stan and ArviZ, the first number of the pair that ends the sum counts once where it is positive,
    without which chains that swing to and fro look better than they are; and the number is at most size * log10(size).
    """
    halves = split(draws.double())
    n_chains, n = halves.shape[:2]
    covariance = autocovariance(halves).mean(0)
    within = covariance[0] * n / (n - 1)
    pooled = within * (n - 1) / n + halves.mean(dim=1).var(dim=0)
    correlation = 1 - (within - covariance) / pooled
    correlation[0] = 1
    pairs = correlation[: 2 * max(1, (n - 1) // 2)].unflatten(0, (-1, 2))
    sums = pairs.sum(1)
    kept = torch.cumprod((sums > 0).double(), 0)
    kept[-1] = 0
    last = pairs[:, 0].gather(0, kept.sum(0, keepdim=True).long()).squeeze(0).clamp_min(0)
    time = 2 * (torch.cummin(sums, 0).values * kept).sum(0) - 1 + last
    size = n_chains * n
    found: Tensor = size / time.clamp_min(1 / log10(size))
    return found.masked_fill(stuck(draws) | undefined(draws), torch.nan)


def stuck(draws: Tensor) -> Tensor:
    """Whether a parameter [...] has one and the same value in all of some half of a chain [K, n, ...]."""
    halves = split(draws)
    return (halves == halves[:, :1]).all(dim=1).any(dim=0)


def undefined(draws: Tensor) -> Tensor:
    """Whether a parameter [...] of chains [K, n, ...] is the same in all draws, or in some draw not finite."""
    return (draws == draws[:1, :1]).all(dim=1).all(dim=0) | ~draws.isfinite().all(dim=1).all(dim=0)


def autocovariance(draws: Tensor) -> Tensor:
    """Of each chain [K, n, ...] at lags 0 to n - 1, with divisor n."""
    n = draws.shape[1]
    spectrum = torch.fft.rfft(draws - draws.mean(dim=1, keepdim=True), n=2 * n, dim=1)
    found: Tensor = torch.fft.irfft(spectrum.abs().square(), n=2 * n, dim=1)[:, :n] / n
    return found
