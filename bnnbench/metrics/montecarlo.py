"""How far an average over draws may be from its expectation."""

from math import sqrt

from torch import Tensor

from bnnbench.metrics._check import numbers


def standard_error(draws: Tensor) -> float:
    """Standard error of the mean of independent draws [S]: their standard deviation (divisor S - 1) over sqrt(S).

    Raises ValueError for NaN, infinity or fewer than two draws. The mean of dependent draws (a Markov chain) errs more.
    """
    return standard_errors(numbers(draws, "draws")).item()


def standard_errors(draws: Tensor) -> Tensor:
    """Standard error of each mean over the first dimension of draws [S, ...], float64 [...]; as `standard_error`."""
    values = numbers(draws, "draws", dims=tuple(range(1, draws.dim() + 1)))
    if len(values) < 2:
        raise ValueError("draws: one draw has no standard error")
    return values.std(dim=0) / sqrt(len(values))
