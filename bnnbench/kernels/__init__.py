"""Binary matrix products on packed bits: one small API over a reference, a CPU and a CUDA backend.

Conventions, the same for every backend (`docs/kernels.md` has the reasons):

- Bit 1 is +1 and bit 0 is -1; `bit = (x >= 0)`, so sign(0) = sign(-0.0) = +1.
- Element k of a row is bit `k % 64` of the 64-bit word `k // 64`.
- Rows are padded to 128 bits with zero bits in both operands.
- Products are exact int32: `y = k - 2 * popcount(a ^ b)`.
"""

from bnnbench.kernels.api import (
    backends,
    bit_planes,
    conv2d,
    linear,
    matmul,
    max_pool,
    pack,
    prepare,
    restore,
    rows,
    unpack,
    use_backend,
    weight_sums,
)
from bnnbench.kernels.fold import Threshold, fold
from bnnbench.kernels.packed import PackedBits, PackedPlanes, PackedWeights

__all__ = [
    "PackedBits",
    "PackedPlanes",
    "PackedWeights",
    "Threshold",
    "backends",
    "bit_planes",
    "conv2d",
    "fold",
    "linear",
    "matmul",
    "max_pool",
    "pack",
    "prepare",
    "restore",
    "rows",
    "unpack",
    "use_backend",
    "weight_sums",
]
