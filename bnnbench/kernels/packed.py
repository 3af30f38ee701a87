"""Packed operands: rows of bits in 64-bit words, with what a product needs to know of them."""

from dataclasses import dataclass, field
from typing import Any

WORD = 64  # bits of a word
ALIGN = 2  # rows are padded to a multiple of so many words (128 bits)


def words_of(k: int) -> int:
    """64-bit words of a row of `k` bits: padded to 128 bits."""
    return ALIGN * -(-k // (ALIGN * WORD))


@dataclass(frozen=True, eq=False)
class PackedBits:
    """Signs packed along the last axis.

    words: uint64 [..., words_of(k)], padding bits zero. k: bits of a row. NumPy, torch or CuPy, as what was packed.
    """

    words: Any
    k: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape before packing: [..., k]."""
        return (*self.words.shape[:-1], self.k)


@dataclass(frozen=True, eq=False)
class PackedPlanes:
    """Unsigned 8-bit integers as eight planes of bits, the most significant first.

    words: uint64 [8, ..., words_of(k)]; the value is sum over p of 2^(7 - p) * bit of plane p.
    """

    words: Any
    k: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape before packing: [..., k]."""
        return (*self.words.shape[1:-1], self.k)


@dataclass(frozen=True, eq=False)
class PackedWeights:
    """Weights of a layer, packed once and laid out for one backend.

    rows: uint64 [n, taps, words_of(c)]: for a dense layer taps = 1 and c = k; for a convolution taps = kh * kw and c
    the input channels. ones: int64 [n, taps], the +1 weights of each tap. layout: what the backend made of the rows.
    """

    rows: Any
    ones: Any
    n: int
    c: int
    kernel: tuple[int, int]
    backend: str
    layout: Any = field(repr=False, default=None)

    @property
    def k(self) -> int:
        """Inputs of one output: taps times channels."""
        return self.c * self.kernel[0] * self.kernel[1]

    @property
    def nbytes(self) -> int:
        """Bytes of the packed weights as they are computed with; `rows` and `ones` are kept beside them."""
        return int((self.layout if self.layout is not None else self.rows).nbytes)
