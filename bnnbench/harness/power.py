"""What would decide an inconclusive comparison: how many more seeds, at which cost, or why seeds cannot decide it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from math import isinf, sqrt

from bnnbench.harness import first_stage
from bnnbench.harness.claim import Claim, Comparison, Evidence, Resolution
from bnnbench.harness.collect import Results
from bnnbench.harness.first_stage import FirstStage
from bnnbench.harness.statistics import Quantity, deviation, stein_seeds

MOST_SEEDS = 1000
START_SECONDS = 4.0  # to start a job, a process that imports torch; the time of a seed does not include it


@dataclass(frozen=True)
class Need:
    """What an inconclusive comparison needs: the seeds of a first stage; or `obstacle` says why no seeds help."""

    comparison: Comparison
    stage: FirstStage | None = None
    minutes: float = 0.0
    obstacle: str = ""

    @property
    def text(self) -> str:
        """The need in words."""
        unit = f" {self.comparison.unit}" if self.comparison.unit else ""
        if self.stage is None:
            return f"{self.comparison.what}: {self.obstacle}"
        run = f"{len(self.stage.seeds)} seeds instead of {len(self.stage.first)}"
        half = f"± {self.stage.resolution:g}{unit}"
        return f"{self.comparison.what}: {run} would narrow it to {half}, in some {_minutes(self.minutes)}"


def needs(paper: str, claim: Claim, results: Results, evidence: Evidence) -> list[Need]:
    """The need of each quantity that leaves `claim` inconclusive; empty for any other verdict."""
    if evidence.verdict != "inconclusive":
        return []
    still_open = [comparison for comparison in evidence.comparisons if comparison.verdict == "inconclusive"]
    by_quantity = {comparison.interval.of or comparison.what: comparison for comparison in still_open}
    return [_need(f"{paper}/{claim.name}", claim, results, comparison) for comparison in by_quantity.values()]


def minutes(results: Results, stages: Iterable[FirstStage]) -> float:
    """Minutes for the jobs that `stages` add and that were not run yet, in sequence, estimated from finished jobs."""
    jobs = results.jobs[["paper", "experiment", "variant"]].agg("/".join, axis=1)
    spent = results.jobs.groupby(jobs)[["wall_seconds", "seeds"]].sum()
    seconds = spent["wall_seconds"] / spent["seeds"]
    done = set() if results.added is None else results.added.done()
    wanted = {job for stage in stages for job in stage.added()} - done
    return sum(float(seconds[job.rpartition("@")[0]]) + START_SECONDS for job in wanted) / 60


def _need(name: str, claim: Claim, results: Results, comparison: Comparison) -> Need:
    interval, resolution = comparison.interval, claim.resolution(comparison)
    if isinf(interval.high):
        return Need(comparison, obstacle="an interval needs two seeds at least, and one was run")
    if interval.lost:
        return Need(comparison, obstacle=f"{interval.lost} seeds gave no number, and more seeds do not bring them back")
    if resolution is None or interval.of is None:
        return Need(comparison, obstacle="the claim states no difference that matters, so no number of seeds follows")
    if limit := _limit_of_test_points(results, interval.of, interval.mean, resolution):
        return Need(comparison, obstacle=limit)
    stage = results.stages.get(interval.of.name)
    if stage is not None and interval.freedom == interval.n - 1:  # recorded, but not all of its seeds were run
        return Need(comparison, stage, minutes(results, [stage]))
    if stage is not None or interval.half_width <= resolution.smallest * (1 + 1e-9):
        within = f"{resolution.smallest if stage is None else stage.resolution:g} {comparison.unit}".strip()
        return Need(comparison, obstacle=f"it lies within {within} of the bound, and less does not matter")
    return _second_stage(name, results, comparison, interval.of, resolution.smallest)


def _second_stage(name: str, results: Results, comparison: Comparison, quantity: Quantity, half_width: float) -> Need:
    """The seeds that narrow a comparison to `half_width`, estimated from the spread of those that were run."""
    first, spread = sorted(results.values(quantity.experiment, *quantity.operands[0])), deviation(comparison.interval)
    count = stein_seeds(len(first), spread, half_width)
    if count > MOST_SEEDS:
        return Need(comparison, obstacle=f"{count:,} seeds would narrow it to ± {half_width:g}: too many")
    stage = FirstStage(
        claim=name,
        quantity=quantity.name,
        variants=list(quantity.variants),
        resolution=half_width,
        deviation=spread,
        first=first,
        seeds=first_stage.seeds(first, count),
        keys=_keys(results, quantity),
    )
    return Need(comparison, stage, minutes(results, [stage]))


def _keys(results: Results, quantity: Quantity) -> dict[str, str]:
    jobs = [results.of(results.jobs, quantity.experiment, variant) for variant, _ in quantity.operands]
    return {job: key for table in jobs for job, key in zip(table["job"], table["key"], strict=True)}


def _limit_of_test_points(results: Results, quantity: Quantity, mean: float, resolution: Resolution) -> str:
    """Why test points and not seeds limit the precision of a comparison; empty where they do not.

    A proportion p over n test points has the binomial standard error sqrt(p (1 - p) / n). All seeds share the test
    points, so this error remains in the mean over any number of seeds. For a ratio the relative error counts.
    """
    known = resolution.points_at(results.scale)
    if known is None:
        return ""
    points = min([known, *_tested(results, quantity)])
    errors = []
    for operand in quantity.operands:
        values = results.values(quantity.experiment, *operand).values()
        p = sum(values) / len(values) / 100
        error = sqrt(max(p * (1 - p), 0.0) / points)
        errors.append(abs(mean) * error / p if quantity.is_ratio and p else 100 * error)
    if max(errors) <= resolution.smallest:
        return ""
    return (
        f"test points are the limit, not seeds: over {points:,} of them, which all seeds share, the binomial standard "
        f"error is {max(errors):.2g} {resolution.unit}, above the {resolution.smallest:g} that matter"
    )


def _tested(results: Results, quantity: Quantity) -> list[int]:
    """The numbers of test points to which the parameters (`n_test`) limit the variants of a quantity."""
    tables = [results.of(results.jobs, quantity.experiment, variant) for variant, _ in quantity.operands]
    params = [json.loads(text) for table in tables for text in table["params"].dropna()]
    return [one["n_test"] for one in params if isinstance(one.get("n_test"), int)]


def _minutes(minutes: float) -> str:
    return f"{minutes:.0f} min more" if minutes >= 1 else f"{60 * minutes:.0f} s more"
