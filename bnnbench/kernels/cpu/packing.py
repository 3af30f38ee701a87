"""Packing floats and unsigned integers into words, 64 at a time."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnbench.kernels.cpu.codegen import pack_word, planes_word
from bnnbench.kernels.cpu.compiled import compiled
from bnnbench.kernels.packed import WORD, words_of

_float32, _float64, _planes = pack_word("float32"), pack_word("float64"), planes_word()


@compiled
def _rows_float32(x: Any, words: Any, last: Any) -> int:
    m, k = x.shape
    whole, unordered = k // WORD, 0
    for row in range(m):
        at, to = x.ctypes.data + row * k * 4, words.ctypes.data + row * words.shape[1] * 8
        for word in range(whole):
            unordered |= _float32((at + word * WORD * 4, to + word * 8))
        if whole * WORD < k:
            last[: k - whole * WORD] = x[row, whole * WORD :]
            unordered |= _float32((last.ctypes.data, to + whole * 8))
    return unordered


@compiled
def _rows_float64(x: Any, words: Any, last: Any) -> int:
    m, k = x.shape
    whole, unordered = k // WORD, 0
    for row in range(m):
        at, to = x.ctypes.data + row * k * 8, words.ctypes.data + row * words.shape[1] * 8
        for word in range(whole):
            unordered |= _float64((at + word * WORD * 8, to + word * 8))
        if whole * WORD < k:
            last[: k - whole * WORD] = x[row, whole * WORD :]
            unordered |= _float64((last.ctypes.data, to + whole * 8))
    return unordered


@compiled
def _rows_uint8(x: Any, words: Any, last: Any) -> None:
    m, k = x.shape
    whole, plane = k // WORD, words.shape[1] * words.shape[2] * 8
    for row in range(m):
        at, to = x.ctypes.data + row * k, words.ctypes.data + row * words.shape[2] * 8
        for word in range(whole):
            _planes((at + word * WORD, to + word * 8, plane))
        if whole * WORD < k:
            last[: k - whole * WORD] = x[row, whole * WORD :]
            _planes((last.ctypes.data, to + whole * 8, plane))


def pack(x: NDArray[Any]) -> tuple[NDArray[np.uint64], bool]:
    """Signs of float32 or float64 x [m, k] as words [m, words_of(k)], and whether there was a NaN."""
    words = np.zeros((len(x), words_of(x.shape[1])), np.uint64)
    last = np.full(WORD, -1, x.dtype)  # numbers beyond the row give 0 bits
    function = _rows_float32 if x.dtype == np.float32 else _rows_float64
    return words, bool(function(x, words, last))


def bit_planes(x: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Planes [8, m, words_of(k)] of x [m, k], the most significant first."""
    words = np.zeros((8, len(x), words_of(x.shape[1])), np.uint64)
    _rows_uint8(x, words, np.zeros(WORD, np.uint8))
    return words
