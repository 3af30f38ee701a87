"""The paper's pair of equally naive kernels on a CPU, for floats and for words; they are baselines only."""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnbench.kernels.cpu.compiled import compiled


def float_matmul(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """a [m, k] times b [n, k] transposed, by three loops. Additions may be reordered, so that LLVM vectorizes them."""
    out = np.empty((len(a), len(b)), np.float32)
    _float(a, b, out)
    return out


def xnor_matmul(a: NDArray[np.uint64], b: NDArray[np.uint64], k: int) -> NDArray[np.float32]:
    """k - 2 popcount(a ^ b) as float32 [m, n] of words a [m, words] and b [n, words], by the same loops."""
    out = np.empty((len(a), len(b)), np.float32)
    _xnor(a, b, k, out)
    return out


@partial(compiled, fastmath=True)
def _float(a: Any, b: Any, out: Any) -> None:
    for i in range(a.shape[0]):
        for j in range(b.shape[0]):
            total = np.float32(0)
            for k in range(a.shape[1]):
                total += a[i, k] * b[j, k]
            out[i, j] = total


@compiled
def _xnor(a: Any, b: Any, k: int, out: Any) -> None:
    for i in range(a.shape[0]):
        for j in range(b.shape[0]):
            wrong = np.uint64(0)
            for word in range(a.shape[1]):
                bits = a[i, word] ^ b[j, word]
                # a sum of neighbouring halves, which compilers turn into popcnt
                bits -= (bits >> np.uint64(1)) & np.uint64(0x5555555555555555)
                bits = (bits & np.uint64(0x3333333333333333)) + ((bits >> np.uint64(2)) & np.uint64(0x3333333333333333))
                bits = (bits + (bits >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
                wrong += (bits * np.uint64(0x0101010101010101)) >> np.uint64(56)
            out[i, j] = k - 2 * np.int64(wrong)
