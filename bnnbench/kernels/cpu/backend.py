"""The operations of the CPU backend (see `bnnbench.kernels.reference` for what each one means)."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnbench.errors import UserError
from bnnbench.kernels import reference
from bnnbench.kernels.cpu import gemm, packing
from bnnbench.kernels.cpu.codegen import PANEL
from bnnbench.kernels.cpu.target import target
from bnnbench.kernels.disk import tuned
from bnnbench.kernels.packed import PackedWeights, words_of
from bnnbench.kernels.reference import Bits, Ints, Words, max_pool

__all__ = ["bit_planes", "convolve", "dense", "layout", "max_pool", "pack", "rows", "table"]

# Rows whose words stay in the L2 cache while the panels pass by.
BLOCK = tuned(target().name).get("block", 240)
THREADS = "BNNBENCH_THREADS"  # the variable that replaces Numba's number of threads
MOST_THREADS = 4096
PARALLEL_OPS = 50e6  # below this, sharing out the work costs more than it saves


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


def rows(weights: PackedWeights) -> Words:
    """See `reference.rows`."""
    panels, words, _ = weights.layout.shape
    flat = weights.layout.transpose(0, 2, 1).reshape(panels * PANEL, words)[: weights.n]
    return np.ascontiguousarray(flat.reshape(weights.n, weights.kernel[0] * weights.kernel[1], words_of(weights.c)))


@dataclass(frozen=True, eq=False)
class Columns:
    """A `Table` as the tiles read it: panels of int64 columns, a word of flip bits for each, and runs of a class."""

    columns: NDArray[np.int64]  # [classes, panels * 32]; beyond n a limit of -1, which gives 0 bits
    flips: NDArray[np.int64]  # [panels]
    factor: int
    size: tuple[int, ...]  # of the image of a convolution
    runs: NDArray[np.int64]  # [lines, n_runs, 3]: first pixel, pixels, class


def table(columns: Ints, flip: Bits, factor: int, classes: Ints | None) -> Columns:
    """See `reference.table`."""
    kinds, n = columns.shape
    padded = np.full((kinds, -(-n // PANEL) * PANEL), 0 if factor else -1, np.int64)
    padded[:, :n] = columns
    mask = np.zeros(padded.shape[1], np.uint8)
    mask[:n] = flip
    words = np.packbits(mask, bitorder="little").view(np.uint32).astype(np.int64)
    size = () if classes is None else classes.shape
    return Columns(padded, words, factor, size, _NO_RUNS if classes is None or not classes.size else _runs(classes))


def dense(
    words: Words, weights: PackedWeights, table: Columns, *, block: int = BLOCK, threads: int | None = None
) -> NDArray[Any]:
    """See `reference.dense`. block: rows at a time. threads: the most to use, instead of Numba's number."""
    planes, m, length = words.shape
    out = _output((m,), weights, table)
    if out.size == 0:
        return out
    shape = (length * 8, 0, m * length * 8, planes, 1, length)
    products = out if table.factor else _NO_PRODUCTS
    common = (weights.layout.ctypes.data, weights.layout.strides[0], table.columns.ctypes.data, table.flips)

    def part(first: int, last: int) -> None:
        gemm.rows_times_panels(
            words.ctypes.data,
            shape,
            first,
            last,
            block,
            *common,
            out.ctypes.data,
            out.strides[0],
            table.factor,
            weights.n,
            products,
            np.empty((6, PANEL), np.int32),
        )

    _share(part, m, 2.0 * m * weights.n * weights.k * planes, threads)
    return out


def convolve(words: Words, weights: PackedWeights, stride: tuple[int, int], table: Columns) -> NDArray[Any]:
    """See `reference.convolve`."""
    planes, batch, height, width, cw = words.shape
    out = _output((batch, *table.size), weights, table)
    if out.size == 0:
        return out
    kh, kw = weights.kernel
    shape = (stride[1] * cw * 8, width * cw * 8, words.strides[0], planes, kh, kw * cw)
    lines = table.size[0]
    flat = out.reshape(batch * lines * table.size[1], out.shape[-1])
    products = flat if table.factor else _NO_PRODUCTS

    def part(first: int, last: int) -> None:
        gemm.conv_rows(
            words.ctypes.data,
            shape,
            height * width * cw * 8,
            stride[0] * width * cw * 8,
            table.runs,
            first,
            last,
            lines,
            weights.layout.ctypes.data,
            weights.layout.strides[0],
            table.columns.ctypes.data,
            table.columns.strides[0],
            table.flips,
            flat.ctypes.data,
            flat.strides[0],
            table.factor,
            weights.n,
            products,
            np.empty((6, PANEL), np.int32),
        )

    _share(part, batch * lines, 2.0 * len(flat) * weights.n * weights.k * planes)
    return out


_NO_PRODUCTS = np.empty((0, 0), np.int32)
_NO_RUNS = np.empty((0, 0, 3), np.int64)


def _output(leading: tuple[int, ...], weights: PackedWeights, table: Columns) -> NDArray[Any]:
    """An array for the products, or for words of bits, whose padding bits stay zero."""
    if table.factor:
        return np.empty((*leading, weights.n), np.int32)
    return np.zeros((*leading, words_of(weights.n)), np.uint64)


def _runs(classes: Ints) -> NDArray[np.int64]:
    """Runs of pixels of one class in each line."""
    # Lines of a convolution change class at the same columns.
    edges = np.flatnonzero(np.diff(classes[0])) + 1
    starts = np.concatenate([[0], edges])
    lengths = np.diff(np.concatenate([starts, [classes.shape[1]]]))
    runs = np.empty((len(classes), len(starts), 3), np.int64)
    runs[:, :, 0], runs[:, :, 1], runs[:, :, 2] = starts, lengths, classes[:, starts]
    return runs


def _share(part: Callable[[int, int], None], n: int, ops: float, most: int | None = None) -> None:
    """Runs `part` over 0..n, on several threads where there is enough work; kernels release the GIL."""
    most = most or _most_threads()
    threads = min(most, n) if ops >= PARALLEL_OPS else 1
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


def _most_threads() -> int:
    """`$BNNBENCH_THREADS`, or without it Numba's number."""
    from numba import get_num_threads

    given = os.environ.get(THREADS, "").strip()
    if not given:
        return int(get_num_threads())
    if not (given.isascii() and given.isdecimal() and 1 <= int(given) <= MOST_THREADS):
        raise UserError(f"{THREADS} is {given!r}; it must be a number of threads, 1 to {MOST_THREADS}")
    return int(given)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="bnnbench-kernels")


os.register_at_fork(after_in_child=_pool.cache_clear)  # a child inherits the pool without its threads
