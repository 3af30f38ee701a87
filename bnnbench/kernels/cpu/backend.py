"""The operations of the CPU backend (see `bnnbench.kernels.reference` for what each one means)."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnbench.kernels import reference
from bnnbench.kernels.cpu import gemm, packing
from bnnbench.kernels.cpu.codegen import PANEL
from bnnbench.kernels.packed import PackedWeights, words_of
from bnnbench.kernels.reference import Bits, Ints, Words, max_pool

__all__ = ["bit_planes", "conv_linear", "conv_matmul", "layout", "linear", "matmul", "max_pool", "pack"]

BLOCK = 240  # rows whose words stay in the L2 cache while the panels pass by
PARALLEL_OPS = 50e6  # below this, handing out work costs more than it saves


def pack(x: NDArray[Any]) -> tuple[Words, bool]:
    """Signs of x [m, k], and whether there was a NaN."""
    if x.dtype.kind != "f" or x.dtype.itemsize > 8:
        return reference.pack(x)
    native = x.astype(x.dtype.newbyteorder("="), copy=False)
    return packing.pack(native.astype(np.float32) if native.dtype == np.float16 else native)


def bit_planes(x: NDArray[np.uint8]) -> Words:
    """Planes [8, ..., words_of(k)] of x [..., k]."""
    flat = packing.bit_planes(x.reshape(int(np.prod(x.shape[:-1])), x.shape[-1]))
    return flat.reshape(8, *x.shape[:-1], flat.shape[-1])


def layout(rows: Words) -> Words:
    """Panels [ceil(n / 32), taps * cw, 32]: the same word of 32 columns side by side, zero columns at the end."""
    n, taps, cw = rows.shape
    panels = np.zeros((-(-n // PANEL), PANEL, taps * cw), np.uint64)
    panels.reshape(len(panels) * PANEL, taps * cw)[:n] = rows.reshape(n, taps * cw)
    return np.ascontiguousarray(panels.transpose(0, 2, 1))


def matmul(words: Words, weights: PackedWeights, constant: Ints, factor: int) -> Ints:
    """constant - factor * mismatches: int32 [m, n]."""
    out = np.empty((words.shape[1], weights.n), np.int32)
    _dense(words, weights, constant[None], np.zeros(weights.n, bool), factor, out)
    return out


def linear(words: Words, weights: PackedWeights, limit: Ints, flip: Bits) -> Words:
    """Bits (mismatches <= limit) ^ flip: words [m, words_of(n)]."""
    out = np.zeros((words.shape[1], words_of(weights.n)), np.uint64)
    _dense(words, weights, limit[None], flip, 0, out)
    return out


def conv_matmul(
    words: Words, weights: PackedWeights, stride: tuple[int, int], constant: Ints, factor: int, classes: Ints
) -> Ints:
    """constant[class] - factor * mismatches: int32 [b, ho, wo, n]."""
    out = np.empty((words.shape[1], *classes.shape, weights.n), np.int32)
    _convolve(words, weights, stride, constant, np.zeros(weights.n, bool), factor, classes, out)
    return out


def conv_linear(
    words: Words, weights: PackedWeights, stride: tuple[int, int], limit: Ints, flip: Bits, classes: Ints
) -> Words:
    """Bits (mismatches <= limit[class]) ^ flip: words [b, ho, wo, words_of(n)]."""
    out = np.zeros((words.shape[1], *classes.shape, words_of(weights.n)), np.uint64)
    _convolve(words, weights, stride, limit, flip, 0, classes, out)
    return out


def _dense(words: Words, weights: PackedWeights, columns: Ints, flip: Bits, factor: int, out: NDArray[Any]) -> None:
    planes, m, length = words.shape
    if m == 0 or weights.n == 0:
        return
    shape = (length * 8, 0, m * length * 8, planes, 1, length)
    table, flips = _columns(columns, flip, bits=factor == 0)
    products = out if factor else _NONE

    def part(first: int, last: int) -> None:
        gemm.rows_times_panels(
            words.ctypes.data,
            shape,
            first,
            last,
            BLOCK,
            weights.layout.ctypes.data,
            weights.layout.strides[0],
            table.ctypes.data,
            flips,
            out.ctypes.data,
            out.strides[0],
            factor,
            weights.n,
            products,
            np.empty((6, PANEL), np.int32),
        )

    _share(part, m, 2.0 * m * weights.n * weights.k * planes)


def _convolve(
    words: Words,
    weights: PackedWeights,
    stride: tuple[int, int],
    columns: Ints,
    flip: Bits,
    factor: int,
    classes: Ints,
    out: NDArray[Any],
) -> None:
    planes, batch, height, width, cw = words.shape
    lines, line_pixels = classes.shape
    if out.size == 0:
        return
    kh, kw = weights.kernel
    shape = (stride[1] * cw * 8, width * cw * 8, words.strides[0], planes, kh, kw * cw)
    table, flips = _columns(columns, flip, bits=factor == 0)
    runs = _runs(classes)
    flat = out.reshape(batch * lines * line_pixels, out.shape[-1])
    products = flat if factor else _NONE

    def part(first: int, last: int) -> None:
        gemm.conv_rows(
            words.ctypes.data,
            shape,
            height * width * cw * 8,
            stride[0] * width * cw * 8,
            runs,
            first,
            last,
            lines,
            weights.layout.ctypes.data,
            weights.layout.strides[0],
            table.ctypes.data,
            table.strides[0],
            flips,
            flat.ctypes.data,
            flat.strides[0],
            factor,
            weights.n,
            products,
            np.empty((6, PANEL), np.int32),
        )

    _share(part, batch * lines, 2.0 * len(flat) * weights.n * weights.k * planes)


_NONE = np.empty((0, 0), np.int32)


def _columns(columns: Ints, flip: Bits, bits: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Columns padded to whole panels (a limit of -1 gives 0 bits there), and the flip bits of each panel."""
    classes, n = columns.shape
    padded = np.full((classes, -(-n // PANEL) * PANEL), -1 if bits else 0, np.int64)
    padded[:, :n] = columns
    mask = np.zeros(padded.shape[1], np.uint8)
    mask[:n] = flip
    words = np.packbits(mask, bitorder="little").view(np.uint32)
    return padded, words.astype(np.int64)


def _runs(classes: Ints) -> NDArray[np.int64]:
    """Runs of pixels of one class in each line: [lines, n_runs, 3] of first pixel, pixels, class."""
    # Lines of a convolution change class at the same columns.
    edges = np.flatnonzero(np.diff(classes[0])) + 1
    starts = np.concatenate([[0], edges])
    lengths = np.diff(np.concatenate([starts, [classes.shape[1]]]))
    runs = np.empty((len(classes), len(starts), 3), np.int64)
    runs[:, :, 0], runs[:, :, 1], runs[:, :, 2] = starts, lengths, classes[:, starts]
    return runs


def _share(part: Callable[[int, int], None], n: int, ops: float) -> None:
    """Runs `part` over 0..n on Numba's number of threads where the work is worth it; kernels release the GIL."""
    from numba import get_num_threads

    threads = min(get_num_threads(), n) if ops >= PARALLEL_OPS else 1
    if threads <= 1:
        part(0, n)
        return
    bounds = [n * i // threads for i in range(threads + 1)]
    try:
        running = [_pool(threads).submit(part, *pair) for pair in pairwise(bounds)]
    except RuntimeError:  # the interpreter is shutting down and starts no more threads
        part(0, n)
        return
    for done in running:
        done.result()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="bnnbench-kernels")


os.register_at_fork(after_in_child=_pool.cache_clear)  # a child inherits the pool without its threads
