"""Which tile of the CPU kernel is fastest on this machine; each is compiled and timed in a process of its own.

`python -m bnnbench.kernels.cpu.tune` times the tile that `BNNBENCH_CPU_TILE` names, as the child process.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from bnnbench.kernels.cpu.target import TILE, WIDTHS, Target, default

ROWS, COLUMNS, WORDS = 480, 2048, 64  # of the product that is timed: a layer of 4,096 inputs
BLOCKS = (60, 120, 240, 480)
ROUNDS = 7
REGISTERS = {8: 32, 4: 16, 2: 16, 1: 20}  # vectors that a processor with so many lanes has; scalars may spill


def tiles(target: Target) -> list[tuple[int, int]]:
    """Rows and vectors of the tiles that fit the registers: accumulators, weights and an input."""
    vectors = [count for count in (1, 2, 4, 8) if count * target.lanes in WIDTHS]
    fitting = [
        (rows, count)
        for count in vectors
        for rows in range(1, 7)
        if rows * count + count + 1 <= REGISTERS[target.lanes] and rows * count >= 4
    ]
    # A tile that leaves registers for one more row or vector would only load more often.
    return [(r, c) for r, c in fitting if (r + 1, c) not in fitting or (r, c) == (target.rows, target.vectors)]


def tune(report: Callable[[str], None]) -> dict[str, int]:
    """Times every tile twice, the second time in reverse; gives the fastest: rows, vectors, and rows of a block."""
    target = default()
    candidates = tiles(target)
    seconds: dict[tuple[int, int, int], float] = {}
    for tile in [*candidates, *reversed(candidates)]:
        for block, spent in _in_child(tile).items():
            seconds[*tile, block] = min(spent, seconds.get((*tile, block), spent))
        best = min(spent for (*shape, _), spent in seconds.items() if tuple(shape) == tile)
        report(f"tile {tile[0]} x {tile[1] * target.lanes}: {2e-9 * 64 * ROWS * COLUMNS * WORDS / best:.0f} Gops/s")
    rows, vectors, block = min(seconds, key=lambda choice: seconds[choice])
    return {"rows": rows, "vectors": vectors, "block": block}


def _in_child(tile: tuple[int, int]) -> dict[int, float]:
    environment = os.environ | {TILE: f"{tile[0]}x{tile[1]}"}
    command = [sys.executable, "-m", "bnnbench.kernels.cpu.tune"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the tile {tile} could not be timed: {done.stderr.strip().splitlines()[-1]}")
    return {int(block): spent for block, spent in json.loads(done.stdout).items()}


def _time_blocks() -> dict[int, float]:
    """CPU seconds of one thread for the product with each size of blocks, the best of some interleaved rounds."""
    from bnnbench.kernels.cpu import backend
    from bnnbench.kernels.packed import PackedWeights

    rng = np.random.default_rng(0)
    words = rng.integers(0, 2**63, (1, ROWS, WORDS), np.uint64)
    rows = rng.integers(0, 2**63, (COLUMNS, 1, WORDS), np.uint64)
    weights = PackedWeights(COLUMNS, 64 * WORDS, (1, 1), "cpu", backend.layout(rows))
    table = backend.table(np.full((1, COLUMNS), 32 * WORDS, np.int32), np.zeros(COLUMNS, bool), 0, None)
    spent = dict.fromkeys(BLOCKS, float("inf"))
    for turn in range(ROUNDS + 1):
        for block in BLOCKS:
            start = time.thread_time()
            backend.dense(words, weights, table, block=block, threads=1)
            if turn:
                spent[block] = min(spent[block], time.thread_time() - start)
    return spent


if __name__ == "__main__":
    print(json.dumps(_time_blocks()))
