"""Intervals over seeds: Student-t, paired where seeds are shared; also numbers of seeds and false discovery rates.

Bootstrap percentile intervals undercover for the few seeds that experiments have (74 % instead of 95 % at n = 3).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, inf, sqrt

LEVEL = 0.95
FALSE_DISCOVERY_RATE = 0.05


@dataclass(frozen=True)
class Quantity:
    """The quantity of an interval: one number per seed, computed from metrics of variants of one experiment."""

    experiment: str
    operands: tuple[tuple[str, str], ...]
    """Pairs of variant and metric."""
    form: str
    """How the operands are combined, such as `bnn - float-relu`."""
    is_ratio: bool = False

    @property
    def name(self) -> str:
        """A text that identifies the quantity."""
        metrics = dict.fromkeys(metric for _, metric in self.operands)
        return f"{self.experiment}, {', '.join(metrics)}: {self.form}"

    @property
    def variants(self) -> tuple[str, ...]:
        """The variants whose jobs give the quantity, as `paper/experiment/variant`."""
        return tuple(dict.fromkeys(f"{self.experiment}/{variant}" for variant, _ in self.operands))


@dataclass(frozen=True)
class Interval:
    """A mean over `n` seeds with its two-sided confidence interval; infinite bounds at n = 1.

    `lost` more seeds were run but diverged and gave no number; the mean does not include them.
    """

    mean: float
    low: float
    high: float
    n: int
    lost: int = 0
    freedom: float = field(default=0.0, compare=False)
    """Degrees of freedom of the variance: `n - 1`, or those of the first stage or of Welch; 0 without an interval."""
    of: Quantity | None = field(default=None, compare=False)

    @property
    def half_width(self) -> float:
        """Distance from the mean to either bound."""
        return (self.high - self.low) / 2


def mean_interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    """Student-t interval of the mean of independent `values` (at least one)."""
    n = len(values)
    mean = sum(values) / n
    if n == 1:
        return Interval(mean, -inf, inf, 1)
    variance = sum((value - mean) ** 2 for value in values) / (n - 1)
    half = _t_quantile(level, n - 1) * sqrt(variance / n)
    return Interval(mean, mean - half, mean + half, n, freedom=n - 1)


def welch_interval(a: Sequence[float], b: Sequence[float], level: float = LEVEL) -> Interval:
    """Interval of `mean(a) - mean(b)` for independent samples of unequal variance (Welch-Satterthwaite)."""
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    difference, n = mean_a - mean_b, min(len(a), len(b))
    if n < 2:
        return Interval(difference, -inf, inf, n)
    part_a = sum((value - mean_a) ** 2 for value in a) / (len(a) - 1) / len(a)
    part_b = sum((value - mean_b) ** 2 for value in b) / (len(b) - 1) / len(b)
    if part_a + part_b == 0.0:
        return Interval(difference, difference, difference, n)
    freedom = (part_a + part_b) ** 2 / (part_a**2 / (len(a) - 1) + part_b**2 / (len(b) - 1))
    half = _t_quantile(level, freedom) * sqrt(part_a + part_b)
    return Interval(difference, difference - half, difference + half, n, freedom=freedom)


def deviation(interval: Interval) -> float:
    """The standard deviation over seeds behind a `mean_interval` of at least two seeds."""
    return interval.half_width * sqrt(interval.n) / _t_quantile(LEVEL, interval.freedom)


def stein_seeds(first: int, deviation: float, half_width: float, level: float = LEVEL) -> int:
    """The number of seeds that give an interval of `half_width`, computed from the first stage alone (Stein 1945).

    N = max(n1, ceil((t_{n1-1} s1 / d)^2)) for n1 = `first` seeds with standard deviation s1. N does not depend on the
    mean of the first stage, so it cannot be chosen to obtain a verdict.
    """
    return max(first, ceil((_t_quantile(level, first - 1) * deviation / half_width) ** 2))


def stein_interval(values: Sequence[float], first: int, deviation: float, level: float = LEVEL) -> Interval:
    """The interval of both stages together: the mean of all N `values`, with half-width t_{n1-1} s1 / sqrt(N).

    With N from `stein_seeds` the interval is at most as wide as requested. For normal values it covers the mean with
    probability `level`, as a t interval with `first - 1` degrees of freedom does: given s1, the mean of all values is
    normal with variance sigma^2 / N.
    """
    n = len(values)
    mean, half = sum(values) / n, _t_quantile(level, first - 1) * deviation / sqrt(n)
    return Interval(mean, mean - half, mean + half, n, freedom=first - 1)


def p_value(interval: Interval) -> float:
    """Two-sided p-value of the t test that the mean is 0; `interval` must have a spread and the level `LEVEL`."""
    from scipy.special import stdtr

    error = interval.half_width / _t_quantile(LEVEL, interval.freedom)
    return float(2 * stdtr(interval.freedom, -abs(interval.mean) / error))


def discoveries(p_values: Sequence[float], rate: float = FALSE_DISCOVERY_RATE) -> list[bool]:
    """Which of many tests Benjamini and Hochberg (1995) call discoveries; on average at most `rate` of them are false.

    The rate holds for independent tests and for positively dependent ones.
    """
    ranked, m = sorted(p_values), len(p_values)
    largest = max((p for rank, p in enumerate(ranked, start=1) if p <= rate * rank / m), default=-inf)
    return [p <= largest for p in p_values]


def _t_quantile(level: float, freedom: float) -> float:
    from scipy.special import stdtrit  # scipy.stats costs half a second to import; this does not

    return float(stdtrit(freedom, 0.5 + level / 2))
