"""A claim as a test over results; its verdict is a pure function of the claim and the results."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import floor, inf, isfinite, isinf, log10
from typing import Literal, get_args

from bnnbench.harness.collect import NotRun, Results
from bnnbench.harness.config import SCALES
from bnnbench.harness.statistics import Interval

Verdict = Literal["reproduced", "contradicted", "inconclusive", "not run"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
Origin = Literal["paper", "ours"]
ORIGINS: tuple[Origin, ...] = get_args(Origin)


@dataclass(frozen=True)
class Comparison:
    """An interval compared with a bound; a claim consists of such comparisons."""

    what: str
    interval: Interval
    bound: float
    unit: str
    verdict: Verdict


@dataclass(frozen=True)
class Evidence:
    """What results say about a claim: a verdict, a text with numbers, and the comparisons behind both."""

    verdict: Verdict
    text: str
    comparisons: tuple[Comparison, ...] = ()


@dataclass(frozen=True)
class Resolution:
    """The smallest difference that matters, in the unit of the comparison, and why no smaller one does.

    `of` names the comparison where several comparisons of one claim share a unit but have different resolutions.
    `test_points` is the number of test points over which a compared proportion is counted. It is the same for all seeds
    and may depend on the scale.
    """

    smallest: float
    unit: str
    why: str
    of: str = ""
    test_points: int | Mapping[str, int] | None = None

    def __post_init__(self) -> None:
        if not (0 < self.smallest < inf):
            raise ValueError(f"the resolution {self.smallest!r} must be a positive number")
        if not self.why.strip():
            raise ValueError("a resolution needs its reason in words")

    def points_at(self, scale: str) -> int | None:
        """The number of test points at a scale; `None` where test points do not limit the precision."""
        return self.test_points.get(scale) if isinstance(self.test_points, Mapping) else self.test_points


@dataclass(frozen=True)
class Claim:
    """A claim: its source, the experiments that it needs, its test, and the smallest differences that matter for it.

    Its origin is "paper", or another one of `ORIGINS` where it tests what the paper does not state.
    """

    name: str
    statement: str
    source: str
    experiments: tuple[str, ...]
    scales: tuple[str, ...]
    test: Callable[[Results], Evidence]
    origin: Origin = "paper"
    resolutions: tuple[Resolution, ...] = ()

    def resolution(self, comparison: Comparison) -> Resolution | None:
        """The resolution that is declared for a comparison by its name, or else for its unit."""
        named = [one for one in self.resolutions if one.of == comparison.what]
        return next((one for one in (*named, *self.resolutions) if _is_for(one, comparison)), None)


def _is_for(resolution: Resolution, comparison: Comparison) -> bool:
    return resolution.unit == comparison.unit and resolution.of in ("", comparison.what)


def claim(
    name: str,
    statement: str,
    source: str,
    experiments: Sequence[str],
    scales: Sequence[str] = SCALES,
    origin: Origin = "paper",
    resolution: Resolution | Sequence[Resolution] = (),
) -> Callable[[Callable[[Results], Evidence]], Claim]:
    """Declares the decorated function as the test of a claim; `scales` are those at which the claim is meaningful."""
    if origin not in ORIGINS:
        raise ValueError(f"claim {name!r}: origin {origin!r} is not one of {', '.join(ORIGINS)}")
    resolutions = (resolution,) if isinstance(resolution, Resolution) else tuple(resolution)

    def declare(test: Callable[[Results], Evidence]) -> Claim:
        return Claim(name, statement, source, tuple(experiments), tuple(scales), test, origin, resolutions)

    return declare


def judge(claim: Claim, results: Results) -> Evidence:
    """The verdict on `claim`; a test that raises an exception gives "not run", so other claims are still judged."""
    if results.scale not in claim.scales:
        return Evidence("not run", f"means nothing at scale {results.scale}; judged at {', '.join(claim.scales)}")
    try:
        return claim.test(results)
    except NotRun as missing:
        return Evidence("not run", str(missing))
    except Exception as error:
        return Evidence("not run", f"the test of this claim failed: {type(error).__name__}: {error}")


def at_most(what: str, interval: Interval, bound: float, unit: str = "") -> Evidence:
    """The claim that a mean is at most `bound`: reproduced if its whole interval is, contradicted if none of it is."""
    return _one_sided(what, interval, bound, unit, "at most", interval.high <= bound, interval.low > bound)


def at_least(what: str, interval: Interval, bound: float, unit: str = "") -> Evidence:
    """The claim that a mean is at least `bound`: reproduced if its whole interval is, contradicted if none of it is."""
    return _one_sided(what, interval, bound, unit, "at least", interval.low >= bound, interval.high < bound)


def more_than(what: str, interval: Interval, bound: float, unit: str = "") -> Evidence:
    """The claim that a mean is more than `bound`; a difference of exactly 0 is not more than 0."""
    return _one_sided(what, interval, bound, unit, "more than", interval.low > bound, interval.high <= bound)


def within(what: str, interval: Interval, margin: float, unit: str = "", around: float = 0.0) -> Evidence:
    """The claim that a mean lies within `margin` of a value: an equivalence, for which both sides are tested."""
    return all_of(
        at_most(what, interval, around + margin, unit),
        at_least(what, interval, around - margin, unit),
    )


def all_of(*parts: Evidence) -> Evidence:
    """A claim with several parts: contradicted if one is, reproduced if all are."""
    verdicts = {part.verdict for part in parts}
    verdict: Verdict = next((v for v in ("contradicted", "not run", "inconclusive") if v in verdicts), "reproduced")
    comparisons = tuple(comparison for part in parts for comparison in part.comparisons)
    return Evidence(verdict, "; ".join(f"{part.text} ({part.verdict})" for part in parts), comparisons)


def _one_sided(
    what: str, interval: Interval, bound: float, unit: str, relation: str, holds: bool, fails: bool
) -> Evidence:
    verdict: Verdict = "reproduced" if holds else "contradicted" if fails else "inconclusive"
    if isinf(interval.high) or interval.lost:  # the remaining seeds may look better than the method is
        verdict = "inconclusive"
    space = f" {unit}" if unit else ""
    text = f"{what}: {_numbers(interval, space)} (claimed: {relation} {bound:g}{space})"
    return Evidence(verdict, text, (Comparison(what, interval, bound, unit, verdict),))


def _numbers(interval: Interval, space: str) -> str:
    if not isfinite(interval.high):
        return f"{interval.mean:.3g}{space} from one seed"
    # As many places as two significant digits of the half-width need.
    places = max(0, 1 - floor(log10(interval.half_width))) if interval.half_width > 1e-9 else 3
    mean, low, high = (f"{value:.{places}f}" for value in (interval.mean, interval.low, interval.high))
    numbers = f"{mean}{space} [{low}, {high}], n = {interval.n}"
    if 0 < interval.freedom < interval.n - 1:
        numbers += f", settled by the spread of the first {interval.freedom + 1:.0f}"
    return numbers + (f" ({interval.lost} more gave no number)" if interval.lost else "")
