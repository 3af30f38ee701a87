"""The two kernels that the binarized-networks paper compared, rewritten from its description: baselines only."""

from typing import Any

import numpy as np

from bnnbench.kernels.cuda.launch import run

SIDE = 16


def float_matmul(a: Any, b: Any) -> Any:
    """a [m, k] b [k, n] in float32, with one thread for each output."""
    return _matmul("naive_float", a, b, a.shape[1])


def xnor_matmul(a: Any, b: Any, k: int) -> Any:
    """k - 2 popcount(a ^ b) as float32 [m, n] of words uint32 a [m, words], b [words, n]."""
    return _matmul("naive_xnor", a, b, a.shape[1], k)


def _matmul(entry: str, a: Any, b: Any, *sizes: int) -> Any:
    import cupy

    m, n = len(a), b.shape[1]
    out = cupy.empty((m, n), np.float32)
    if out.size:
        arguments = (a, b, out, *(np.int32(size) for size in (m, n, *sizes)))
        run("naive", "", (-(-n // SIDE), -(-m // SIDE)), arguments, entry)
    return out
