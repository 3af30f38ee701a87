"""What interleaved timings say: ratios to ours with their intervals."""

from collections.abc import Mapping
from typing import Any

import numpy as np

OURS = "ours"


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
