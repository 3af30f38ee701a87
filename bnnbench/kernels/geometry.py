"""Where the windows of a convolution or pooling lie, and which of their taps fall outside the image."""

from dataclasses import dataclass
from functools import cached_property
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray


def pair(name: str, argument: str, value: Any, least: int, *, single: bool = True) -> tuple[int, int]:
    """`value` for rows and columns, each at least `least`: two integers or, where `single`, one for both.

    Anything else raises `ValueError`.
    """
    both = tuple(value) if isinstance(value, tuple | list) else (value, value) if single else ()
    try:
        parts = tuple(index(part) for part in both)
    except TypeError:
        parts = ()
    if len(parts) != 2 or not all(least <= part < 2**31 for part in parts):
        form = "an int or a pair of ints" if single else "a pair of ints (height, width)"
        raise ValueError(f"{name}: {argument} is {value!r}; it must be {form}, at least {least}")
    return parts[0], parts[1]


def windows_over(
    name: str, image: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]
) -> "Window":
    """The windows over an image; raises `ValueError` where none fits."""
    windows = Window(*image, kernel, stride, padding)
    if 0 in windows.output:
        (height, width), (top, left) = image, padding
        whole = f"{height + 2 * top} x {width + 2 * left} with its padding"
        raise ValueError(f"{name}: a window of {kernel[0]} x {kernel[1]} does not fit into the image, {whole}")
    return windows


@dataclass(frozen=True)
class Window:
    """Windows of `kernel` pixels every `stride` pixels over an image with `padding` on each side."""

    height: int
    width: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]

    @property
    def output(self) -> tuple[int, int]:
        """Windows in a column and in a row; 0 where none fits."""
        sizes = (self.height, self.width)
        fits = zip(sizes, self.kernel, self.stride, self.padding, strict=True)
        rows, columns = (max(0, (size + 2 * pad - kernel) // step + 1) for size, kernel, step, pad in fits)
        return rows, columns

    def padded(self, words: Any, xp: Any, fill: NDArray[np.uint64] | None) -> Any:
        """words [planes, b, h, w, cw] with a margin of `padding` pixels of the words `fill` (zero bits with `None`)."""
        (top, left), (planes, batch, height, width, cw) = self.padding, words.shape
        if top == left == 0:
            return xp.ascontiguousarray(words)
        out = xp.zeros((planes, batch, height + 2 * top, width + 2 * left, cw), words.dtype)
        if fill is not None:
            out[...] = xp.asarray(fill)
        out[:, :, top : top + height, left : left + width] = words
        return out

    @cached_property
    def _valid(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """For each output row, which tap rows are inside the image; the same for columns."""
        valid = []
        sizes = (self.height, self.width)
        for n, size, kernel, step, pad in zip(self.output, sizes, self.kernel, self.stride, self.padding, strict=True):
            at = np.arange(n)[:, None] * step - pad + np.arange(kernel)
            valid.append((at >= 0) & (at < size))
        return valid[0], valid[1]

    @cached_property
    def _unique(self) -> list[tuple[NDArray[np.bool_], NDArray[np.int64]]]:
        return [np.unique(valid, axis=0, return_inverse=True) for valid in self._valid]

    @cached_property
    def classes(self) -> NDArray[np.int32]:
        """Class of each output position [ho, wo]; positions of one class have the same taps inside the image."""
        (_, rows), (columns, column) = self._unique
        return np.asarray(rows.reshape(-1, 1) * len(columns) + column.reshape(1, -1), np.int32)

    @cached_property
    def taps(self) -> NDArray[np.bool_]:
        """For each class, which taps are inside the image: [n_classes, kh * kw]."""
        (rows, _), (columns, _) = self._unique
        both = rows[:, None, :, None] & columns[None, :, None, :]
        return both.reshape(len(rows) * len(columns), self.kernel[0] * self.kernel[1])

    def inside(self, ones: NDArray[np.int64], c: int, zero: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For each class, the inputs inside the image [n_classes], and the +1 weights of taps outside [n_classes, n].

        `ones` [n, taps]. With padding of +1 or -1 every tap counts as inside.
        """
        taps = self.taps if zero else np.ones_like(self.taps)
        return taps.sum(axis=1, dtype=np.int64) * c, (~taps).astype(np.int64) @ ones.T
