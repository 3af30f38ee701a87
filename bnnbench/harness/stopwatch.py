"""Interleaved timings: A, B, C, A, B, C... in one process, so that all candidates run under the same conditions."""

import time
from collections.abc import Callable, Mapping
from typing import Any

Clock = Callable[[], float]


def interleaved(
    candidates: Mapping[str, Callable[[], Any]], rounds: int, clock: Clock = time.thread_time
) -> dict[str, list[float]]:
    """Seconds of `clock` for each candidate in each round, after one untimed call of each candidate."""
    for call in candidates.values():
        call()
    spent: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, call in candidates.items():
            spent[name].append(timed(call, clock))
    return spent


def timed(call: Callable[[], Any], clock: Clock = time.thread_time) -> float:
    """Seconds of `clock` that a call takes."""
    start = clock()
    call()
    return clock() - start


def device_clock(device: str) -> Clock:
    """A clock of this thread's CPU time; on a GPU, of the wall time once all launched work has ended."""
    if device != "cuda":
        return time.thread_time
    import torch

    def now() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return now
