"""Ratios from interleaved rounds: A, B, C, A, B, C... in one process, so that all see the same machine."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

OURS = "ours"


def interleaved(
    candidates: Mapping[str, Callable[[], Any]], rounds: int, clock: Callable[[], float] = time.thread_time
) -> dict[str, list[float]]:
    """Seconds of `clock` (CPU time of this thread) for each candidate in each round, after one untimed call of each."""
    for call in candidates.values():
        call()
    spent: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, call in candidates.items():
            spent[name].append(timed(call, clock))
    return spent


def timed(call: Callable[[], Any], clock: Callable[[], float] = time.thread_time) -> float:
    """Seconds of `clock` that a call takes."""
    start = clock()
    call()
    return clock() - start


def summary(spent: Mapping[str, list[float]], ops: float, limit: float | None, seed: int = 0) -> dict[str, Any]:
    """Of each candidate: median seconds, Gops/s, time over ours with a 95 % bootstrap interval, share of the limit."""
    rng = np.random.default_rng(seed)
    ours = np.array(spent[OURS])
    found = {}
    for name, times in spent.items():
        paired = np.array(times) / ours
        resampled = np.median(rng.choice(paired, (2000, len(paired))), axis=1)
        low, high = np.quantile(resampled, [0.025, 0.975])
        seconds = float(np.median(times))
        found[name] = {
            "seconds": seconds,
            "gops": ops / seconds / 1e9,
            "ratio": [float(np.median(paired)), float(low), float(high)],
            "of_limit": None if limit is None else ops / seconds / limit,
        }
    return found
