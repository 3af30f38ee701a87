"""Convolutions of few channels: all taps of a window in one 64-bit word.

Channels are padded to 128 bits, so the three of a picture would cost as much as 128. A 3 x 3 window of them has 27
bits: gathered into a word, bit c * tap + channel, it is a pixel of a 1 x 1 convolution.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnbench.kernels.packed import ALIGN, WORD, words_of


def fits(c: int, kernel: tuple[int, int]) -> bool:
    """Whether the taps of a window fit into a word, and there are several."""
    taps = kernel[0] * kernel[1]
    return taps > 1 and 0 < c * taps <= WORD


def gathered_rows(rows: NDArray[np.uint64], c: int) -> NDArray[np.uint64]:
    """Weights [n, taps, words_of(c)] as [n, 1, 2]."""
    out = np.zeros((len(rows), 1, ALIGN), np.uint64)
    for tap in range(rows.shape[1]):
        out[:, 0, 0] |= rows[:, tap, 0] << np.uint64(c * tap)
    return out


def spread_rows(rows: NDArray[np.uint64], c: int, taps: int) -> NDArray[np.uint64]:
    """Weights [n, 1, 2] back as [n, taps, words_of(c)]."""
    out = np.zeros((len(rows), taps, words_of(c)), np.uint64)
    mask = np.uint64((1 << c) - 1)
    for tap in range(taps):
        out[:, tap, 0] = rows[:, 0, 0] >> np.uint64(c * tap) & mask
    return out


def windows(
    words: Any, c: int, kernel: tuple[int, int], stride: tuple[int, int], size: tuple[int, int], xp: Any
) -> Any:
    """Padded pixels [planes, b, h, w, words_of(c)] as gathered windows [planes, b, ho, wo, 2]."""
    pixels = xp.ascontiguousarray(words[..., 0])  # the other words are zero
    out = xp.zeros((*words.shape[:2], *size, ALIGN), np.uint64)
    total = xp.zeros((*words.shape[:2], *size), np.uint64)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            ends = i + stride[0] * (size[0] - 1) + 1, j + stride[1] * (size[1] - 1) + 1
            part = pixels[:, :, i : ends[0] : stride[0], j : ends[1] : stride[1]]
            if total.size:
                total |= part << np.uint64(c * (i * kernel[1] + j))
    out[..., 0] = total
    return out
