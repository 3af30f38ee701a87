"""The number of modes of samples, by kernel density estimates."""

import torch
from torch import Tensor

POINTS = 128  # at which a density is evaluated
PROMINENT = 0.1  # of the highest peak: what a peak must rise above the valley to a higher one to be counted


def n_modes(draws: Tensor) -> Tensor:
    """The number of prominent peaks of the density of each column of draws [S, P]: [P].

    The kernel is normal with Silverman's bandwidth, 0.9 min(standard deviation, interquartile range / 1.34) S^-1/5. A
    constant column has one mode.
    """
    draws = draws.double()
    low, high = draws.quantile(torch.tensor([0.25, 0.75], dtype=draws.dtype), dim=0)
    spread = torch.minimum(draws.std(0), (high - low) / 1.34)
    width = (0.9 * spread * len(draws) ** -0.2).clamp_min(1e-12)
    start, end = draws.min(0).values - 2 * width, draws.max(0).values + 2 * width
    grid = start + torch.linspace(0, 1, POINTS, dtype=draws.dtype)[:, None] * (end - start)
    counts = [_peaks(grid[:, k], draws[:, k], width[k]) for k in range(draws.shape[1])]
    return torch.tensor(counts)


def _peaks(grid: Tensor, draws: Tensor, width: Tensor) -> int:
    """How often the density falls by the prominent share below a peak and rises by as much again."""
    density = torch.exp(-0.5 * ((grid[:, None] - draws) / width).square()).mean(1)
    margin = PROMINENT * density.max().item()
    count, top, bottom, rising = 0, 0.0, 0.0, True
    for value in density.tolist():
        if rising:
            top = max(top, value)
            if value < top - margin:
                count, rising, bottom = count + 1, False, value
        else:
            bottom = min(bottom, value)
            if value > bottom + margin:
                rising, top = True, value
    return max(count, 1)
