"""Timings that pytest-benchmark wrote, as rows of the tidy table, with the targets that the benchmarks name in them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

from bnnbench.errors import UserError
from bnnbench.harness.claim import Evidence
from bnnbench.harness.files import read_json
from bnnbench.harness.plan import Plan

OURS = "ours"
T = TypeVar("T")


@dataclass(frozen=True)
class Timing:
    """One candidate of one group of interleaved measurements."""

    group: str
    candidate: str
    seconds: float
    gops: float
    ratio: float
    ratio_low: float
    ratio_high: float
    of_limit: float | None
    """Share of the measured limit; `None` where no limit of this machine was measured."""


@dataclass(frozen=True)
class Target:
    """What our kernel should reach: `bound` times the speed of a peer, or without a peer this share of the limit."""

    name: str
    statement: str
    group: str
    bound: float
    peer: str = ""
    candidate: str = OURS


@dataclass(frozen=True)
class SpeedUp:
    """A speed-up that somebody published for another machine: `value` of candidate `fast` over candidate `slow`."""

    what: str
    value: str
    group: str
    slow: str
    fast: str


@dataclass(frozen=True)
class Timings:
    """What a file of timings holds; `about` names processor, backend, threads and the measured limit (`limit_gops`)."""

    rows: tuple[Timing, ...] = ()
    targets: tuple[Target, ...] = ()
    published: tuple[SpeedUp, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)


def path(plan: Plan) -> Path:
    """Where the workflow keeps the timings of a scale."""
    return plan.config.folder() / "kernels" / "benchmarks.json"


def read(path: Path) -> Timings:
    """The timings in a file of pytest-benchmark, with what they are compared to; empty where there is no file.

    The `extra_info` of a benchmark holds its `candidates`, and may hold `targets`, `published` speed-ups, and the peers
    that were `left_out`.
    """
    if not path.exists():
        return Timings()
    try:
        content = read_json(path)
        groups = content["benchmarks"]
        rows = [_timing(group["group"], name, one) for group in groups for name, one in _named(group).items()]
        about = _about(content)
        if not about and rows:
            raise KeyError("limit_gops")
        return Timings(tuple(rows), _listed(groups, "targets", Target), _listed(groups, "published", SpeedUp), about)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not timings of bnnbench ({error!r}); delete it and run: snakemake kernels") from error


def _named(group: dict[str, Any]) -> dict[str, Any]:
    candidates: dict[str, Any] = group["extra_info"].get("candidates", {})
    return candidates


def _listed(groups: list[dict[str, Any]], name: str, kind: Callable[..., T]) -> tuple[T, ...]:
    return tuple(kind(group=group["group"], **one) for group in groups for one in group["extra_info"].get(name, []))


def _timing(group: str, name: str, one: dict[str, Any]) -> Timing:
    seconds, gops = float(one["seconds"]), float(one["gops"])
    ratio, low, high = (float(value) for value in one["ratio"])
    of_limit = None if one["of_limit"] is None else float(one["of_limit"])
    numbers = (seconds, gops, ratio, low, high, of_limit or 0.0)
    if not all(isfinite(value) for value in numbers) or min(seconds, gops) <= 0:
        raise ValueError(f"{group}, {name}: {numbers}")
    return Timing(str(group), str(name), seconds, gops, ratio, low, high, of_limit)


def _about(content: dict[str, Any]) -> dict[str, Any]:
    infos = [group["extra_info"] for group in content["benchmarks"] if "limit_gops" in group["extra_info"]]
    cpu = str(content.get("machine_info", {}).get("cpu", {}).get("brand_raw", ""))
    limit = float(infos[0]["limit_gops"]) if infos else 0.0
    left_out = sorted({str(name) for info in infos for name in info.get("left_out", [])})
    about = {"cpu": cpu, "limit_gops": limit, "threads": 1, "left_out": left_out}
    return {**about, "backend": str(infos[0]["backend"])} if infos else {}


def judged(timings: Timings) -> list[tuple[Target, Evidence]]:
    """The evidence for each target whose candidates were timed: reached, missed, or within the noise."""
    by_place = {(timing.group, timing.candidate): timing for timing in timings.rows}
    places = [(target, (target.group, target.peer or target.candidate)) for target in timings.targets]
    return [
        (target, _evidence(target, by_place[place]))
        for target, place in places
        if place in by_place and (target.peer or by_place[place].of_limit is not None)
    ]


def _evidence(target: Target, timing: Timing) -> Evidence:
    if not target.peer:
        assert timing.of_limit is not None
        verdict = "reproduced" if timing.of_limit >= target.bound else "contradicted"
        return Evidence(verdict, f"{timing.of_limit:.0%} (at least {target.bound:.0%})")  # type: ignore[arg-type]
    low, high = timing.ratio_low, timing.ratio_high
    verdict = "reproduced" if low >= target.bound else "contradicted" if high < target.bound else "inconclusive"
    text = f"{timing.ratio:.1f}x [{low:.1f}, {high:.1f}] (at least {target.bound:g}x)"
    return Evidence(verdict, text)  # type: ignore[arg-type]


def speed_ups(timings: Timings) -> list[tuple[SpeedUp, str]]:
    """Each published speed-up with the one that was measured on this machine."""
    seconds = {(timing.group, timing.candidate): timing.seconds for timing in timings.rows}
    return [
        (one, f"{seconds[one.group, one.slow] / seconds[one.group, one.fast]:.1f}x")
        for one in timings.published
        if (one.group, one.slow) in seconds and (one.group, one.fast) in seconds
    ]


def rows(plan: Plan) -> list[dict[str, Any]]:
    """The timings as rows of the tidy table: paper `kernels`, groups as experiments, candidates as variants."""
    table = []
    for timing in read(path(plan)).rows:
        numbers = {"seconds": ("s", False), "gops": ("Gops/s", True), "ratio": ("x ours", None), "of_limit": ("", True)}
        for metric, (unit, higher) in numbers.items():
            if getattr(timing, metric) is None:
                continue
            table.append(
                {
                    "paper": "kernels",
                    "experiment": timing.group,
                    "variant": timing.candidate,
                    "scale": plan.config.scale,
                    "job": f"kernels/{timing.group}/{timing.candidate}",
                    "key": "",
                    "seed": 0,
                    "metric": metric,
                    "value": getattr(timing, metric),
                    "unit": unit,
                    "higher_is_better": higher,
                    "provenance": "measured",
                }
            )
    return table
