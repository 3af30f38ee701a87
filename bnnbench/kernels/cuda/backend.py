"""The operations on CuPy arrays; `bnnbench.kernels.reference` defines them. Everything runs on the current stream.

Small arrays beside the operands (`constant`, `limit`, `flip`, `classes`) may be NumPy or CuPy; inside a CUDA graph they
must be CuPy arrays, since copies from the host cannot be captured.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from bnnbench.kernels.cuda import launch
from bnnbench.kernels.packed import ALIGN, PackedWeights, words_of


@dataclass(frozen=True)
class Rows:
    """Weights on the device: words uint64 [n, taps * cw] and their ones int32 [n]."""

    words: Any
    ones: Any

    @property
    def nbytes(self) -> int:
        """Bytes on the device."""
        return int(self.words.nbytes + self.ones.nbytes)


def pack(x: Any) -> tuple[Any, Any]:
    """Signs of x [m, k] as words uint64 [m, words_of(k)], and whether there was a NaN, which gives a 0 bit.

    The answer stays on the device, int32 [1], until somebody asks for its truth. Integers go by float32.
    """
    import cupy

    x = cupy.ascontiguousarray(x if x.dtype.kind == "f" else x.astype(np.float32))
    out = cupy.empty((len(x), words_of(x.shape[1])), np.uint64)
    nan = cupy.zeros(1, np.int32)
    _pack(x, out, nan, x.dtype.name)
    return out, nan


def bit_planes(x: Any) -> Any:
    """Unsigned integers uint8 [..., k] as planes uint64 [8, ..., words_of(k)], the most significant first."""
    import cupy

    flat = cupy.ascontiguousarray(x).reshape(prod(x.shape[:-1]), x.shape[-1])
    out = cupy.empty((8, len(flat), words_of(x.shape[-1])), np.uint64)
    _pack(flat, out, None, "uint8")
    return out.reshape(8, *x.shape[:-1], out.shape[-1])


def layout(rows: Any) -> Rows:
    """Weights uint64 [n, taps, cw], NumPy or CuPy, as they are computed with."""
    import cupy

    n, words = len(rows), rows.shape[1] * rows.shape[2]
    flat = cupy.ascontiguousarray(cupy.asarray(rows).reshape(n, words))
    return Rows(flat, launch.count_ones(flat, launch.dense(n, words // ALIGN), 1))


def matmul(
    words: Any, weights: PackedWeights, constant: Any, factor: int, *, dtype: str = "int32", path: str | None = None
) -> Any:
    """constant - factor * mismatches [m, n] of words [planes, m, kw], constant int32 [n].

    dtype: int32, int16 or float32 (the caller knows that it holds the values). path: a kernel by name, for tests.
    """
    return _values(words, weights, _dense(words), (words.shape[1],), constant, factor, None, dtype, path)


def linear(words: Any, weights: PackedWeights, limit: Any, flip: Any, *, path: str | None = None) -> Any:
    """Bits (mismatches <= limit) ^ flip as words uint64 [m, words_of(n)]; limit int32 [n] from -1, flip bool [n]."""
    return _bits(words, weights, _dense(words), (words.shape[1],), limit, flip, None, path)


def conv_matmul(
    words: Any,
    weights: PackedWeights,
    stride: tuple[int, int],
    constant: Any,
    factor: int,
    classes: Any,
    *,
    dtype: str = "int32",
    path: str | None = None,
) -> Any:
    """constant[class] - factor * mismatches [b, ho, wo, n] of words [planes, b, h, w, cw], already padded.

    classes int32 [ho, wo] chooses the row of constant int32 [n_classes, n].
    """
    size = (classes.shape[0], classes.shape[1])
    windows, shape = _sliding(words, weights, stride, size), (words.shape[1], *size)
    return _values(words, weights, windows, shape, constant, factor, classes, dtype, path)


def conv_linear(
    words: Any,
    weights: PackedWeights,
    stride: tuple[int, int],
    limit: Any,
    flip: Any,
    classes: Any,
    *,
    path: str | None = None,
) -> Any:
    """Bits (mismatches <= limit[class]) ^ flip of a convolution: words uint64 [b, ho, wo, words_of(n)]."""
    size = (classes.shape[0], classes.shape[1])
    windows, shape = _sliding(words, weights, stride, size), (words.shape[1], *size)
    return _bits(words, weights, windows, shape, limit, flip, classes, path)


def max_pool(words: Any, window: tuple[int, int], stride: tuple[int, int], size: tuple[int, int]) -> Any:
    """The OR of the bits in each window: words uint64 [b, h, w, cw] -> [b, *size, cw]."""
    import cupy

    words = cupy.ascontiguousarray(words)
    batch, height, width, depth = words.shape
    out = cupy.empty((batch, *size, depth), np.uint64)
    if out.size:
        sizes = (height, width, depth, *size, *window, *stride)
        arguments = (words, out, np.uint64(out.size), *(np.int32(part) for part in sizes))
        launch.run("max_pool", "", (-(-out.size // 256),), arguments)
    return out


def _pack(x: Any, out: Any, nan: Any, variant: str) -> None:
    rows, words = len(x), 2 * out.shape[-1]
    if out.size:
        warps = rows * -(-words // 32)
        arguments = (x, out, nan, np.int32(rows), np.int32(x.shape[1]), np.int32(words))
        launch.run("pack", variant, (-(-warps // 8),), arguments)


def _dense(words: Any) -> launch.Windows:
    return launch.dense(words.shape[1], words.shape[2] // ALIGN)


def _sliding(words: Any, weights: PackedWeights, stride: tuple[int, int], size: tuple[int, int]) -> launch.Windows:
    _, batch, height, width, depth = words.shape
    return launch.sliding((batch, height, width, depth // ALIGN), weights.kernel, stride, size)


def _values(
    words: Any,
    weights: PackedWeights,
    windows: launch.Windows,
    shape: tuple[int, ...],
    constant: Any,
    factor: int,
    classes: Any,
    dtype: str,
    path: str | None,
) -> Any:
    import cupy

    out = cupy.empty((*shape, weights.n), dtype)
    options = {"factor": factor, "classes": _given(classes, np.int32), "path": path}
    _product(words, weights, windows, out, dtype, _given(constant, np.int32), options)
    return out


def _bits(
    words: Any,
    weights: PackedWeights,
    windows: launch.Windows,
    shape: tuple[int, ...],
    limit: Any,
    flip: Any,
    classes: Any,
    path: str | None,
) -> Any:
    import cupy

    out = cupy.empty((*shape, words_of(weights.n)), np.uint64)
    options = {"flip": _given(flip, np.bool_), "classes": _given(classes, np.int32), "path": path}
    _product(words, weights, windows, out, "bits", _given(limit, np.int32), options)
    return out


def _product(
    words: Any,
    weights: PackedWeights,
    windows: launch.Windows,
    out: Any,
    result: str,
    table: Any,
    options: dict[str, Any],
) -> None:
    import cupy

    left, right = cupy.ascontiguousarray(words), weights.layout
    launch.product(left, right.words, right.ones, windows, len(left), out, result, table, **options)


def _given(array: Any, dtype: Any) -> Any:
    import cupy

    return None if array is None else cupy.ascontiguousarray(cupy.asarray(array, dtype))
