"""AP2, the nearest power of two, which turns a multiplication into a shift (Hubara et al. 2016)."""

from math import isqrt

import torch
from torch import Tensor

# How many bits of the mantissa are stored, and the integers as wide as the float.
_FORMATS = {
    torch.float16: (10, torch.int16),
    torch.bfloat16: (7, torch.int16),
    torch.float32: (23, torch.int32),
    torch.float64: (52, torch.int64),
}


def mantissa(dtype: torch.dtype) -> tuple[int, torch.dtype]:
    """How many bits of the mantissa `dtype` stores, and the integer type of its bit patterns."""
    if dtype not in _FORMATS:
        raise TypeError(f"powers of two are taken of floating-point tensors, not of {dtype}")
    return _FORMATS[dtype]


@torch.no_grad()
def ap2_numbers(x: Tensor, out: Tensor | None = None) -> Tensor:
    """`ap2` without the pass that keeps NaN: here a NaN becomes a zero or an infinity. `out` may be `x` itself."""
    stored, integers = mantissa(x.dtype)
    one = 1 << stored
    # log2 rounds up from sqrt(2) on. Adding this carries the mantissas above it, and only these, into the exponent:
    # sqrt(2) is irrational, so no mantissa lies on the border.
    carry = 2 * one - (isqrt(2 * one * one) + 1)
    y = torch.empty_like(x) if out is None else out
    torch.add(x.view(integers), carry, out=y.view(integers)).bitwise_and_(-one)
    return y


@torch.no_grad()
def ap2(x: Tensor) -> Tensor:
    """sign(x) * 2^round(log2 |x|), and 0 at 0: any shape, in the dtype of `x`, without gradient.

    Exact for every normal number; from sqrt(2) times the largest power of two on, the result is infinite. Infinities
    and NaN stay. The numbers below the smallest normal one become 0, or that number from sqrt(2) - 1 times it on.
    """
    y = ap2_numbers(x)
    return torch.clamp(x, y, y, out=y)  # y, or NaN where x is


def power_of_two(x: float) -> float:
    """`ap2` of one number, in float64."""
    return ap2(torch.tensor(x, dtype=torch.float64, device="cpu")).item()
