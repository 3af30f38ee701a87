"""The operations on CuPy arrays; `bnnbench.kernels.reference` defines them. Everything runs on the current stream.

Weights (`layout`) and tables are copied to the device once, and before a CUDA graph is captured: inside one, nothing
may be copied from the host.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from bnnbench.kernels.cuda import launch
from bnnbench.kernels.packed import ALIGN, PackedWeights, Table, words_of


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

    The answer, int32 [1], stays on the device until its truth is asked for. Integers are converted to float32.
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
    """Weights uint64 [n, taps, cw], NumPy or CuPy, in the form that products read."""
    import cupy

    n, words = len(rows), rows.shape[1] * rows.shape[2]
    flat = cupy.ascontiguousarray(cupy.asarray(rows).reshape(n, words))
    rows_of_bits = Rows(flat, launch.count_ones(flat, launch.dense(n, words // ALIGN), 1))
    _settle()
    return rows_of_bits


def rows(weights: PackedWeights) -> Any:
    """See `reference.rows`."""
    import cupy

    taps = weights.kernel[0] * weights.kernel[1]
    return cupy.asnumpy(weights.layout.words).reshape(weights.n, taps, words_of(weights.c))


def table(columns: Any, flip: Any, factor: int, classes: Any) -> Table:
    """See `reference.table`; arrays of NumPy or CuPy, which are on the device from here on."""
    import cupy

    def there(array: Any, dtype: Any) -> Any:
        return None if array is None else cupy.ascontiguousarray(cupy.asarray(array, dtype))

    on_device = Table(there(columns, np.int32), there(flip, np.bool_), factor, there(classes, np.int32))
    _settle()
    return on_device


def dense(words: Any, weights: PackedWeights, table: Table, *, dtype: str = "int32", path: str | None = None) -> Any:
    """See `reference.dense`. dtype: int32, int16 or float32 of products, which the caller knows to fit.

    path: the name of the kernel to use, for tests.
    """
    windows = launch.dense(words.shape[1], words.shape[2] // ALIGN)
    return _product(words, weights, windows, (words.shape[1],), table, dtype, path)


def convolve(
    words: Any,
    weights: PackedWeights,
    stride: tuple[int, int],
    table: Table,
    *,
    dtype: str = "int32",
    path: str | None = None,
) -> Any:
    """See `reference.convolve`, and `dense` for the options."""
    _, batch, height, width, depth = words.shape
    size = (table.classes.shape[0], table.classes.shape[1])
    windows = launch.sliding((batch, height, width, depth // ALIGN), weights.kernel, stride, size)
    return _product(words, weights, windows, (batch, *size), table, dtype, path)


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


def _product(
    words: Any,
    weights: PackedWeights,
    windows: launch.Windows,
    shape: tuple[int, ...],
    table: Table,
    dtype: str,
    path: str | None,
) -> Any:
    import cupy

    bits = table.factor == 0
    out = cupy.empty((*shape, words_of(weights.n)), np.uint64) if bits else cupy.empty((*shape, weights.n), dtype)
    left, right = cupy.ascontiguousarray(words), weights.layout
    launch.product(
        left,
        right.words,
        right.ones,
        windows,
        len(left),
        out,
        "bits" if bits else dtype,
        table.columns,
        factor=table.factor,
        flip=table.flip if bits else None,
        classes=table.classes,
        path=path,
    )
    return out


def _settle() -> None:
    """Waits for copies to the device, so that the arrays may be used on any stream."""
    import cupy

    cupy.cuda.get_current_stream().synchronize()
