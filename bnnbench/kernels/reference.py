"""The definition of every operation, in NumPy alone: slow, short, and what other backends are tested against.

Every backend has these functions for its own kind of arrays. `words` has a leading axis of planes: one for signs,
eight for unsigned 8-bit integers (the most significant first).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnbench.kernels.packed import WORD, PackedWeights, Table, words_of

Words = NDArray[np.uint64]
Ints = NDArray[np.int32]
Bits = NDArray[np.bool_]


def pack(x: NDArray[Any]) -> tuple[Words, bool]:
    """Signs of x [m, k] as words [m, words_of(k)], and whether there was a NaN, which gives a 0 bit."""
    return pack_bits(x >= 0), x.dtype.kind == "f" and bool(np.isnan(x).any())


def pack_bits(bits: Bits) -> Words:
    """Bits [..., k] as words [..., words_of(k)]."""
    k = bits.shape[-1]
    padded = np.zeros((*bits.shape[:-1], words_of(k) * WORD), np.uint8)
    padded[..., :k] = bits
    return np.packbits(padded, axis=-1, bitorder="little").view(np.uint64)


def unpack(words: Words, k: int) -> Bits:
    """Bits [..., k] of words [..., words_of(k)]."""
    flat = np.ascontiguousarray(words).view(np.uint8)
    return np.unpackbits(flat, axis=-1, bitorder="little")[..., :k].astype(bool)


def layout(rows: Words) -> Words:
    """The rows [n, taps, words_of(c)] as they are."""
    return rows


def rows(weights: PackedWeights) -> Words:
    """The rows uint64 [n, taps, words_of(c)] that `layout` was given, in host memory."""
    return np.asarray(weights.layout)


def mismatches(words: Words, weights: PackedWeights) -> Ints:
    """popcount(a ^ w) int32 [m, n] of words [planes, m, taps * cw], a plane counts twice as much as the next."""
    rows = weights.layout.reshape(weights.n, weights.layout.shape[1] * weights.layout.shape[2])
    total = np.zeros((words.shape[1], weights.n), np.int32)
    for plane in words:
        counts = [np.bitwise_count(row ^ rows).sum(axis=1, dtype=np.int32) for row in plane]
        total = 2 * total + np.array(counts, np.int32).reshape(total.shape)
    return total


def table(columns: Ints, flip: Bits, factor: int, classes: Ints | None) -> Table:
    """columns int32 [classes, n], flip bool [n], classes int32 [ho, wo]: see `Table`."""
    return Table(columns, flip, factor, classes)


def dense(words: Words, weights: PackedWeights, table: Table) -> NDArray[Any]:
    """Words [planes, m, kw] with weights [n, k]: int32 products [m, n], or bits as words [m, words_of(n)]."""
    return _finish(mismatches(words, weights), table.columns[0], table)


def convolve(words: Words, weights: PackedWeights, stride: tuple[int, int], table: Table) -> NDArray[Any]:
    """Words [planes, b, h, w, cw], already padded: products [b, ho, wo, n] or bits [b, ho, wo, words_of(n)]."""
    wrong = _conv_mismatches(words, weights, stride, table.classes.shape)
    return _finish(wrong, table.columns[table.classes], table)


def _finish(wrong: Ints, columns: Ints, table: Table) -> NDArray[Any]:
    if table.factor:
        return columns - np.int32(table.factor) * wrong
    return pack_bits((wrong <= columns) ^ table.flip)


def _conv_mismatches(words: Words, weights: PackedWeights, stride: tuple[int, int], size: tuple[int, ...]) -> Ints:
    planes, batch = words.shape[:2]
    kh, kw = weights.kernel
    wrong = np.zeros((batch, *size, weights.n), np.int32)
    for i in range(size[0]):
        for j in range(size[1]):
            top, left = i * stride[0], j * stride[1]
            patch = words[:, :, top : top + kh, left : left + kw].reshape(planes, batch, kh * kw * words.shape[-1])
            wrong[:, i, j] = mismatches(patch, weights)
    return wrong


def max_pool(words: Words, window: tuple[int, int], stride: tuple[int, int], size: tuple[int, int]) -> Words:
    """The OR of the bits in each window: words [b, h, w, cw] -> [b, *size, cw]."""
    out = np.zeros((len(words), *size, words.shape[-1]), np.uint64)
    for i in range(window[0]):
        for j in range(window[1]):
            last = i + stride[0] * (size[0] - 1) + 1, j + stride[1] * (size[1] - 1) + 1
            if out.size:
                out |= words[:, i : last[0] : stride[0], j : last[1] : stride[1]]
    return out


def bit_planes(x: NDArray[np.uint8]) -> Words:
    """Unsigned integers [..., k] as planes of words [8, ..., words_of(k)], the most significant first."""
    return np.stack([pack_bits((x >> np.uint8(bit)) & np.uint8(1) > 0) for bit in range(7, -1, -1)])
