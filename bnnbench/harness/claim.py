"""A sentence of a paper as a test over results, with a verdict that is a pure function of both."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from math import floor, isinf, log10
from typing import Any, Literal

from bnnbench.harness.collect import NotRun, Results
from bnnbench.harness.config import SCALES
from bnnbench.harness.statistics import Interval

Verdict = Literal["reproduced", "contradicted", "inconclusive", "not run"]
VERDICTS: tuple[Verdict, ...] = ("reproduced", "contradicted", "inconclusive", "not run")


@dataclass(frozen=True)
class Evidence:
    """What results say of a claim, in a verdict and in words with numbers."""

    verdict: Verdict
    text: str


@dataclass(frozen=True)
class Claim:
    """A claim of a paper: where it stands, which experiments it needs, and its test."""

    name: str
    statement: str
    source: str
    experiments: tuple[str, ...]
    scales: tuple[str, ...]
    test: Callable[[Results], Evidence]


def claim(
    name: str, statement: str, source: str, experiments: Sequence[str], scales: Sequence[str] = SCALES
) -> Callable[[Callable[[Results], Evidence]], Claim]:
    """Declares the decorated function as the test of a claim; `scales` are those where it means something."""

    def declare(test: Callable[[Results], Evidence]) -> Claim:
        return Claim(name, statement, source, tuple(experiments), tuple(scales), test)

    return declare


def judge(claim: Claim, results: Results) -> dict[str, Any]:
    """The verdict on `claim`, as a record for the report."""
    if results.scale not in claim.scales:
        evidence = Evidence("not run", f"means nothing at scale {results.scale}; judged at {', '.join(claim.scales)}")
    else:
        try:
            evidence = claim.test(results)
        except NotRun as missing:
            evidence = Evidence("not run", str(missing))
        except Exception as error:  # a fault of one claim must not take the others' verdicts with it
            evidence = Evidence("not run", f"the test of this claim failed: {type(error).__name__}: {error}")
    if evidence.verdict != "not run" and (notes := results.stand_ins()):
        evidence = replace(evidence, text=f"{evidence.text}; on stand-in data: {'; '.join(notes)}")
    about = {"name": claim.name, "statement": claim.statement, "source": claim.source}
    return {**about, "experiments": list(claim.experiments), **asdict(evidence)}


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
    """The claim that a mean lies within `margin` of a value: an equivalence, which has to be shown on both sides."""
    return all_of(
        at_most(what, interval, around + margin, unit),
        at_least(what, interval, around - margin, unit),
    )


def all_of(*parts: Evidence) -> Evidence:
    """A claim with several parts: contradicted if one is, reproduced if all are."""
    verdicts = {part.verdict for part in parts}
    verdict: Verdict = next((v for v in ("contradicted", "not run", "inconclusive") if v in verdicts), "reproduced")
    return Evidence(verdict, "; ".join(f"{part.text} ({part.verdict})" for part in parts))


def _one_sided(
    what: str, interval: Interval, bound: float, unit: str, relation: str, holds: bool, fails: bool
) -> Evidence:
    space = f" {unit}" if unit else ""
    if isinf(interval.high):
        text = f"{what}: {interval.mean:.3g}{space} from one seed; an interval needs two"
        return Evidence("inconclusive", f"{text} (claimed: {relation} {bound:g}{space})")
    # Two digits of the half-width: what the interval supports.
    places = max(0, 1 - floor(log10(interval.half_width))) if interval.half_width > 1e-9 else 3
    mean, low, high = (f"{value:.{places}f}" for value in (interval.mean, interval.low, interval.high))
    numbers = f"{mean}{space} [{low}, {high}], n = {interval.n}"
    verdict: Verdict = "reproduced" if holds else "contradicted" if fails else "inconclusive"
    if interval.lost:  # survivors may look better than the method is
        verdict = "inconclusive"
        numbers += f" ({interval.lost} more gave no number)"
    return Evidence(verdict, f"{what}: {numbers} (claimed: {relation} {bound:g}{space})")
