"""Ours and torch float32 interleaved, in a process restricted to AVX2: prints the seconds of each round.

Started by `test_gemm_avx2`, which sets the variables that restrict Numba's and torch's code.
"""

import json
import sys

import numba
import numpy as np
import torch
from interleave import OURS

from bnnbench import kernels
from bnnbench.harness.stopwatch import interleaved
from bnnbench.kernels import Threshold
from bnnbench.kernels.cpu.target import target


def main(rounds: int, size: int) -> None:
    """One thread, random signs; the product is checked first."""
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randint(0, 2, (size, size), generator=generator).float() * 2 - 1 for _ in range(2))
    x, w = kernels.pack(a), kernels.prepare(b)
    t = Threshold(np.zeros(size, np.int32), np.zeros(size, bool))
    expected = a @ b.T
    assert torch.equal(kernels.matmul(x, w).float(), expected)
    spent = interleaved({OURS: lambda: kernels.linear(x, w, t), "torch float32, AVX2": lambda: a @ b.T}, rounds)
    print(json.dumps({"lanes": target().lanes, "spent": spent}))


main(*map(int, sys.argv[1:]))
