"""Convergence of Markov chains: split R-hat and effective sample size (BDA3, chapter 11)."""

from math import log10

import torch
from torch import Tensor


def split(draws: Tensor) -> Tensor:
    """Chains [K, n, ...] cut into halves [2 K, n // 2, ...]; the middle draw of an odd number is left out."""
    half = draws.shape[1] // 2
    return torch.cat([draws[:, :half], draws[:, -half:]])


def split_rhat(draws: Tensor) -> Tensor:
    """Potential scale reduction of chains [K, n, ...], each parameter by itself [...]; needs n >= 4."""
    draws = split(draws.double())
    n = draws.shape[1]
    within = draws.var(dim=1).mean(dim=0)
    between = draws.mean(dim=1).var(dim=0)
    return torch.sqrt((n - 1) / n + between / within)


def effective_size(draws: Tensor) -> Tensor:
    """Effective number of draws for the mean, of split chains [K, n, ...]: [...].

    Autocorrelations are summed in pairs until a pair is negative, and pairs may not grow (Geyer's initial monotone
    sequence); the number is at most size * log10(size), as in Stan and ArviZ.
    """
    draws = split(draws.double())
    n_chains, n = draws.shape[:2]
    covariance = autocovariance(draws).mean(0)
    within = covariance[0] * n / (n - 1)
    pooled = within * (n - 1) / n + draws.mean(dim=1).var(dim=0)
    correlation = 1 - (within - covariance * n / (n - 1)) / pooled
    correlation[0] = 1
    pairs = correlation[: n - n % 2].unflatten(0, (-1, 2)).sum(1)
    kept = torch.cumprod((pairs > 0).double(), 0)
    pairs = torch.cummin(pairs, 0).values * kept
    time = 2 * pairs.sum(0) - 1
    size = n_chains * n
    return size / time.clamp_min(1 / log10(size))


def autocovariance(draws: Tensor) -> Tensor:
    """Of each chain [K, n, ...] at lags 0 to n - 1, with divisor n."""
    n = draws.shape[1]
    spectrum = torch.fft.rfft(draws - draws.mean(dim=1, keepdim=True), n=2 * n, dim=1)
    found: Tensor = torch.fft.irfft(spectrum.abs().square(), n=2 * n, dim=1)[:, :n] / n
    return found
