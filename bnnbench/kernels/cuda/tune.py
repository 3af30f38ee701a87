"""Measures where one CUDA kernel becomes faster than another on this GPU: the limits in `launch.choose`."""

from collections.abc import Callable
from itertools import product

import numpy as np

from bnnbench.kernels.cuda import backend, launch
from bnnbench.kernels.cuda.compile import MMA, WGMMA
from bnnbench.kernels.cuda.limit import gpu_seconds
from bnnbench.kernels.packed import PackedWeights, words_of

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
SIZES = (512, 1024, 2048, 4096, 8192)
INPUTS = 4096
REPEATS = 30


def tune(report: Callable[[str], None]) -> dict[str, int]:
    """small_batch: rows up to which `gemv` wins. wgmma_tiles: tiles from which on `wgmma` wins, if the chip has it."""
    arch, _ = launch.here()
    large = "mma" if arch in MMA else "carry_save"
    batches = {rows: _faster(rows, 4096, "gemv", large, report) for rows in BATCHES}
    choices = {"small_batch": last_of_first_run(batches)}
    if arch in WGMMA:
        shapes = sorted(product(SIZES, SIZES), key=lambda shape: launch.tiles(WGMMA[arch], *shape))
        wins = {launch.tiles(WGMMA[arch], *shape): _faster(*shape, "wgmma", "mma", report) for shape in shapes}
        choices["wgmma_tiles"] = first_of_last_run(wins)
    return choices


def last_of_first_run(wins: dict[int, bool]) -> int:
    """The largest size up to which all are won; 0 where the first is lost."""
    last = 0
    for size in sorted(wins):
        if not wins[size]:
            break
        last = size
    return last


def first_of_last_run(wins: dict[int, bool]) -> int:
    """The smallest size from which on all are won; beyond any where the last is lost."""
    first = 2**31 - 1
    for size in sorted(wins, reverse=True):
        if not wins[size]:
            break
        first = size
    return first


def _faster(rows: int, columns: int, path: str, other: str, report: Callable[[str], None]) -> bool:
    """Whether `path` takes less time than `other` for a fused product, by the median of alternating launches."""
    import cupy

    rng = np.random.default_rng(0)
    words, weights = (rng.integers(0, 2**63, (n, words_of(INPUTS)), np.uint64) for n in (rows, columns))
    laid_out = backend.layout(weights[:, None])
    packed = PackedWeights(columns, INPUTS, (1, 1), "cupy", laid_out)
    table = backend.table(np.full((1, columns), INPUTS // 2), np.zeros(columns, bool), 0, None)
    x = cupy.asarray(words)[None]
    spent: dict[str, list[float]] = {path: [], other: []}
    for turn in range(REPEATS):
        for name, times in spent.items():
            seconds = gpu_seconds(lambda name=name: backend.dense(x, packed, table, path=name))  # type: ignore[misc]
            if turn >= 3:
                times.append(seconds)
    here, there = (float(np.median(times)) for times in spent.values())
    report(f"{rows} x {columns} x {INPUTS}: {path} {here * 1e6:.1f} us, {other} {there * 1e6:.1f} us")
    return here < there
