"""Packed operands: rows of bits in 64-bit words, with what a product needs to know of them."""

from dataclasses import dataclass, field
from typing import Any

WORD = 64  # bits of a word
ALIGN = 2  # words: a row is padded to a multiple of these, 128 bits


def words_of(k: int) -> int:
    """64-bit words of a row of `k` bits: padded to 128 bits."""
    return ALIGN * -(-k // (ALIGN * WORD))


@dataclass(frozen=True, eq=False)
class PackedBits:
    """Signs packed along the last axis.

    words: uint64 [..., words_of(k)], padding bits zero. k: bits of a row. The words are a
    NumPy, torch or CuPy array, as the numbers were.
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
    """Weights of a layer, packed once and laid out for one backend: n outputs, c inputs of each tap of `kernel`.

    layout: the rows uint64 [n, taps, words_of(c)] in the backend's own order, and the only copy of them; `kernels.rows`
    restores them. A dense layer has one tap and c = k; a convolution has kh * kw taps and c input channels. Where all
    taps fit into a word, layout holds the weights of the equivalent 1 x 1 convolution (`narrow.py`).
    """

    n: int
    c: int
    kernel: tuple[int, int]
    backend: str
    layout: Any = field(repr=False)

    @property
    def k(self) -> int:
        """Inputs of one output: taps times channels."""
        return self.c * self.kernel[0] * self.kernel[1]

    @property
    def nbytes(self) -> int:
        """Bytes of the packed weights, of which there is one copy."""
        return int(self.layout.nbytes)


@dataclass(frozen=True, eq=False)
class Table:
    """How a count p of mismatches becomes a product or a bit, as a backend keeps it between calls.

    factor > 0: the product column - factor * p. factor 0: the bit (p <= column) ^ flip. columns: [classes, n]; classes
    [ho, wo] chooses the row of each output position of a convolution, and is `None` for a dense layer.
    """

    columns: Any
    flip: Any
    factor: int
    classes: Any
