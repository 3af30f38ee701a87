"""The rate of b1 products that the GPU cannot exceed: its instructions are timed on operands that stay on the chip."""

from collections.abc import Callable
from typing import Any

import numpy as np

from bnnbench.kernels.cuda.compile import KERNELS
from bnnbench.kernels.cuda.launch import here, run

TURNS = 20_000
BLOCKS = {"limit_mma": 8, "limit_wgmma": 1}  # for each multiprocessor
OPS = {"limit_mma": 4 * 16 * (2 * 16 * 8 * 256), "limit_wgmma": 2 * 4 * (2 * 64 * 256 * 256)}  # of one turn of a block


def gpu_seconds(call: Callable[[], Any]) -> float:
    """Seconds between two events around a call."""
    import cupy

    start, end = cupy.cuda.Event(), cupy.cuda.Event()
    start.record()
    call()
    end.record()
    end.synchronize()
    return float(cupy.cuda.get_elapsed_time(start, end)) / 1e3


def rates(random: bool = True, repeats: int = 5) -> dict[str, float]:
    """Operations (a multiply or an add) per second of each instruction that the chip has, the best of some launches.

    "mma AND", "mma XOR" and "wgmma AND", on random bits or on zeros.
    """
    arch, _ = here()
    by_name = {}
    for name in BLOCKS:
        if arch in KERNELS[name].arches:
            for variant in KERNELS[name].variants:
                by_name[f"{name.removeprefix('limit_')} {variant}"] = _rate(name, variant, random, repeats)
    return by_name


def _rate(name: str, variant: str, random: bool, repeats: int) -> float:
    import cupy

    arch, multiprocessors = here()
    blocks = BLOCKS[name] * multiprocessors
    out = cupy.empty(blocks * int(KERNELS[name].arches[arch]["THREADS"]), np.int32)
    arguments = (out, np.int32(TURNS), np.uint32(12345 * random))
    # The first launch loads the kernel and raises the clock.
    best = min([gpu_seconds(lambda: run(name, variant, (blocks,), arguments)) for _ in range(repeats + 1)][1:])
    return OPS[name] * blocks * TURNS / best
