"""Convergence of Markov chains: split R-hat and effective sample size (BDA3, chapter 11), and their rank-normalised
forms (Vehtari et al. 2021, "Rank-normalization, folding, and localization"), which also detect chains with heavy tails
or unequal spread.

All of them compare chains cut into halves. R-hat is NaN for a parameter that is not finite in some draw, or that is the
same in all draws. R-hat is infinite for a parameter that is constant in some half of a chain but not in all draws. The
effective size is NaN in all of these cases.
"""

from collections.abc import Callable, Iterator, Mapping
from math import log10
from typing import NamedTuple

import torch
from torch import Tensor

LEAST = 4  # draws of a chain: with fewer its halves would have no variance
COLUMNS = 4096  # parameters or outputs that are diagnosed at once, which bounds the memory of float64
TAILS = 0.05, 0.95  # quantiles whose effective sizes define the tail effective size


class Bound(NamedTuple):
    """A bound that a diagnostic must not exceed, or not fall below, and what to do where it does."""

    value: float
    is_largest: bool
    remedy: str


# R-hat 1.01 and 400 effective draws are from Vehtari et al. 2021, E-BFMI 0.2 is from Betancourt 2016. Weights have a
# looser bound than outputs: chains whose hidden units differ only in sign or order agree in their outputs.
BOUNDS: Mapping[str, Bound] = {
    "rhat_outputs": Bound(1.01, True, "draw more"),
    "rhat_parameters": Bound(1.1, True, "draw more"),
    "rhat_sites": Bound(1.01, True, "draw more"),
    "ess_bulk_outputs": Bound(400, False, "draw more"),
    "ess_tail_outputs": Bound(400, False, "draw more"),
    "divergences": Bound(0, True, "ask for a higher acceptance, or write the prior in another form"),
    "saturated": Bound(0.01, True, "allow longer trajectories"),
    "ebfmi": Bound(0.2, False, "write the prior in another form"),
}


def broken_bounds(numbers: Mapping[str, float]) -> list[str]:
    """A line for each named number that is beyond its bound in `BOUNDS` or is NaN; other names have no bound."""
    lines = []
    for name, bound in BOUNDS.items():
        if name not in numbers:
            continue
        value = numbers[name]
        if not (value <= bound.value if bound.is_largest else value >= bound.value):
            side = "above" if bound.is_largest else "below"
            lines.append(f"chains: {name} is {value:.3g}, {side} its bound of {bound.value:g}; {bound.remedy}")
    return lines


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
    rhat = _rhat(split(draws.double()))
    rhat = rhat.masked_fill(stuck(draws), torch.inf)
    return rhat.masked_fill(undefined(draws), torch.nan)


def rank_rhat(draws: Tensor) -> Tensor:
    """Rank-normalised split R-hat of chains [K, n, ...]: the larger of R-hat for the ranks of x and of |x - median|."""
    halves = split(draws.double())
    middle = halves.flatten(0, 1).sort(dim=0).values
    median = (middle[(len(middle) - 1) // 2] + middle[len(middle) // 2]) / 2
    rhat = torch.maximum(_rhat(normal_scores(halves)), _rhat(normal_scores((halves - median).abs())))
    rhat = rhat.masked_fill(stuck(draws), torch.inf)
    return rhat.masked_fill(undefined(draws), torch.nan)


def _rhat(halves: Tensor) -> Tensor:
    n = halves.shape[1]
    within = halves.var(dim=1).mean(dim=0)
    between = halves.mean(dim=1).var(dim=0)
    return torch.sqrt((n - 1) / n + between / within)


def normal_scores(draws: Tensor) -> Tensor:
    """Standard normal quantiles at (rank - 3/8) / (S + 1/4), with ranks among all S draws of [K, n, ...].

    Ties share their mean rank.
    """
    from scipy.stats import rankdata  # the import takes a CPU-second, which fits without chains need not spend

    flat = draws.flatten(0, 1)
    ranks = torch.from_numpy(rankdata(flat.cpu().numpy(), axis=0)).to(flat)
    scores: Tensor = torch.special.ndtri((ranks - 0.375) / (len(flat) + 0.25))
    return scores.view(draws.shape)


def _quantile(draws: Tensor, q: float) -> Tensor:
    """The interpolated quantile [...] of draws [K, n, ...]; `torch.quantile` takes at most 16 million numbers."""
    values = draws.flatten(0, 1).sort(dim=0).values
    place = q * (len(values) - 1)
    low = int(place)
    return torch.lerp(values[low], values[min(low + 1, len(values) - 1)], place - low)


def effective_size(draws: Tensor) -> Tensor:
    """Effective number of draws [...] for the mean, from split chains [K, n, ...].

    Autocorrelations are summed in pairs until a pair is negative, and pairs may not grow (Geyer's initial monotone
    sequence). As in Stan and ArviZ, the first number of the pair that ends the sum counts once where it or the sum of
    its pair is positive; otherwise chains that alternate would look better than they are. The effective number is at
    most size * log10(size).
    """
    size = _effective_size(split(draws.double()))
    return size.masked_fill(stuck(draws) | undefined(draws), torch.nan)


def bulk_size(draws: Tensor) -> Tensor:
    """Effective number of draws [...] of rank-normalised values, for the bulk of the distribution."""
    size = _effective_size(normal_scores(split(draws.double())))
    return size.masked_fill(stuck(draws) | undefined(draws), torch.nan)


def tail_size(draws: Tensor) -> Tensor:
    """The smaller of the effective numbers of draws [...] for the two quantiles `TAILS`."""
    wide = draws.double()
    below = [(wide <= _quantile(wide, q)).double() for q in TAILS]
    sizes = torch.stack([_effective_size(split(part)) for part in below])
    size = sizes.nan_to_num(2 * len(draws) * (draws.shape[1] // 2)).amin(0)  # NaN if the only draw beyond was left out
    return size.masked_fill(stuck(draws) | undefined(draws), torch.nan)


def ebfmi(energy: Tensor) -> Tensor:
    """Energy Bayesian fraction of missing information of chains [K, n]: [K] (Betancourt 2016, section 3.2).

    It is the mean square of the change in energy from draw to draw over the variance of the energy. It is near 0 where
    a new momentum hardly changes the energy and the sampler walks slowly through the tails.
    """
    energy = energy.double()
    return energy.diff(dim=1).square().mean(1) / energy.var(dim=1)


def worst(draws: Tensor, diagnostic: Callable[[Tensor], Tensor], is_largest: bool) -> float:
    """The largest or smallest value over all parameters of chains [K, n, ...]; infinite or 0 where a value is NaN."""
    values = torch.cat([diagnostic(part) for part in _columns(draws)])
    return values.nan_to_num(torch.inf, torch.inf).max().item() if is_largest else values.nan_to_num(0.0).min().item()


def _columns(draws: Tensor) -> Iterator[Tensor]:
    """Parts [K, n, m] of the chains, so that the memory for float64 is bounded."""
    yield from draws.flatten(2).split(COLUMNS, dim=2) if draws.dim() > 2 else [draws.unsqueeze(2)]


def convergence(draws: Tensor, what: str) -> dict[str, float]:
    """Worst rank-normalised R-hat and effective sizes of chains [K, n, ...] of `what`, by name."""
    return {
        f"rhat_{what}": worst(draws, rank_rhat, True),
        f"ess_bulk_{what}": worst(draws, bulk_size, False),
        f"ess_tail_{what}": worst(draws, tail_size, False),
    }


def _effective_size(halves: Tensor) -> Tensor:
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
    ends = torch.where(sums >= 0, pairs[:, 0], pairs[:, 0].clamp_min(0))
    last = ends.gather(0, kept.sum(0, keepdim=True).long()).squeeze(0)
    time = 2 * (torch.cummin(sums, 0).values * kept).sum(0) - 1 + last
    size = n_chains * n
    effective: Tensor = size / time.clamp_min(1 / log10(size))
    return effective


def stuck(draws: Tensor) -> Tensor:
    """Whether a parameter [...] is constant in at least one half of a chain [K, n, ...]."""
    halves = split(draws)
    return (halves == halves[:, :1]).all(dim=1).any(dim=0)


def undefined(draws: Tensor) -> Tensor:
    """Whether a parameter [...] of chains [K, n, ...] is the same in all draws, or not finite in some draw."""
    return (draws == draws[:1, :1]).all(dim=1).all(dim=0) | ~draws.isfinite().all(dim=1).all(dim=0)


def autocovariance(draws: Tensor) -> Tensor:
    """Autocovariance of each chain [K, n, ...] at lags 0 to n - 1, with divisor n."""
    n = draws.shape[1]
    spectrum = torch.fft.rfft(draws - draws.mean(dim=1, keepdim=True), n=2 * n, dim=1)
    covariance: Tensor = torch.fft.irfft(spectrum.abs().square(), n=2 * n, dim=1)[:, :n] / n
    return covariance
