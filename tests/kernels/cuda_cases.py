"""Operations of the CUDA backend against arithmetic on +1 and -1, for the emulator and for a real device alike."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnbench.kernels.cuda import backend, naive
from bnnbench.kernels.packed import PackedWeights, words_of

Array = NDArray[Any]
RESULTS = {"int32": np.int32, "int16": np.int16, "float32": np.float32}


def packed(bits: Array) -> Array:
    """Bits [..., k] as words [..., words_of(k)]."""
    padded = np.zeros((*bits.shape[:-1], 64 * words_of(bits.shape[-1])), np.uint8)
    padded[..., : bits.shape[-1]] = bits
    return np.packbits(padded, axis=-1, bitorder="little").view(np.uint64)


@dataclass(frozen=True)
class Cases:
    """Checks with random operands; `send` and `fetch` take NumPy arrays to the device and back."""

    rng: np.random.Generator
    send: Callable[[Array], Any] = np.asarray
    fetch: Callable[[Any], Array] = np.asarray

    def bits(self, *shape: int) -> Array:
        """Random bits as 0 and 1."""
        return self.rng.integers(0, 2, shape, np.int64)

    def weights(self, bits: Array, kernel: tuple[int, int] = (1, 1)) -> PackedWeights:
        """Weights of bits [n, taps, c]."""
        rows = packed(bits)
        n, _, c = bits.shape
        return PackedWeights(n, c, kernel, "cupy", backend.layout(rows))

    def operand(self, planes: int, *shape: int) -> tuple[Array, Array]:
        """Planes of random bits [planes, *shape], and the number that they make: 0 or 1, or unsigned 8-bit integers."""
        bits = self.bits(planes, *shape)
        return bits, np.tensordot(2 ** np.arange(planes)[::-1], bits, 1)

    def dense(self, m: int, n: int, k: int, planes: int = 1, path: str | None = None, dtype: str = "int32") -> None:
        """Products and bits of [m, k] with [n, k]."""
        x, number = self.operand(planes, m, k)
        w = self.bits(n, 1, k)
        words, weights = self.send(packed(x)), self.weights(w)
        wrong = _mismatches(number, w[:, 0], planes)
        constant = self.rng.integers(-99, 99, n).astype(np.int32)
        table = self.table(constant[None], 2)
        found = self.fetch(backend.dense(words, weights, table, dtype=dtype, path=path))
        np.testing.assert_array_equal(found, (constant - 2 * wrong).astype(RESULTS[dtype]))
        limit, flip = self.threshold(wrong), self.bits(n) > 0
        found = self.fetch(backend.dense(words, weights, self.table(limit[None], 0, flip), path=path))
        np.testing.assert_array_equal(found, packed((wrong <= limit) ^ flip))

    def table(self, columns: Array, factor: int, flip: Array | None = None, classes: Array | None = None) -> Any:
        """A table on the device."""
        return backend.table(self.send(columns), flip, factor, classes)

    def threshold(self, wrong: Array) -> Array:
        """Limits near the mismatches of each column."""
        middle = np.median(wrong, axis=0) if wrong.size else np.zeros(wrong.shape[-1])
        return (middle + self.rng.integers(-3, 4, wrong.shape[-1])).astype(np.int32)

    def convolution(
        self,
        shape: tuple[int, int, int, int],
        n: int,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        planes: int = 1,
        path: str | None = None,
    ) -> None:
        """Products and bits of windows of [b, h, w, c], every output position of one of three classes."""
        x, number = self.operand(planes, *shape)
        w = self.bits(n, kernel[0] * kernel[1], shape[3])
        words, weights = self.send(packed(x)), self.weights(w, kernel)
        size = [(shape[1 + i] - kernel[i]) // stride[i] + 1 for i in (0, 1)]
        wrong = np.zeros((shape[0], *size, n), np.int64)
        for i, j in np.ndindex(*size):
            patch = number[:, i * stride[0] :, j * stride[1] :][:, : kernel[0], : kernel[1]]
            wrong[:, i, j] = _mismatches(patch.reshape(shape[0], -1), w.reshape(n, -1), planes)
        classes = self.rng.integers(0, 3, size).astype(np.int32)
        constant = self.rng.integers(-99, 99, (3, n)).astype(np.int32)
        found = backend.convolve(words, weights, stride, self.table(constant, 1, None, classes), path=path)
        np.testing.assert_array_equal(self.fetch(found), constant[classes] - wrong)
        limit = self.threshold(wrong.reshape(-1, n)) + self.rng.integers(-2, 3, (3, n)).astype(np.int32)
        flip = self.bits(n) > 0
        bits = self.fetch(backend.convolve(words, weights, stride, self.table(limit, 0, flip, classes), path=path))
        np.testing.assert_array_equal(bits, packed((wrong <= limit[classes]) ^ flip))

    def packing(self, m: int, k: int, dtype: str) -> None:
        """`pack` of [m, k]; floats with signed zeros, infinities, subnormal numbers and NaN."""
        x = (3 * self.rng.normal(size=(m, k))).astype(dtype)
        if x.dtype.kind == "f":
            special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan, 6e-8, -6e-8], dtype)
            x = np.where(self.bits(m, k) > 0, x, self.rng.choice(special, (m, k)))
        for values in (x, np.nan_to_num(x)):
            words, nan = backend.pack(self.send(values))
            np.testing.assert_array_equal(self.fetch(words), packed(values >= 0))
            assert bool(nan) == (values != values).any()

    def planes(self, *shape: int) -> None:
        """`bit_planes` of unsigned 8-bit integers."""
        x = self.rng.integers(0, 256, shape, np.uint8)
        expected = np.stack([packed(x >> bit & 1) for bit in range(7, -1, -1)])
        np.testing.assert_array_equal(self.fetch(backend.bit_planes(self.send(x))), expected)

    def pooling(self, shape: tuple[int, int, int, int], window: tuple[int, int], stride: tuple[int, int]) -> None:
        """`max_pool` of bits [b, h, w, c]."""
        x = self.rng.random(shape) < 0.2
        size = ((shape[1] - window[0]) // stride[0] + 1, (shape[2] - window[1]) // stride[1] + 1)
        largest = np.zeros((shape[0], *size, shape[3]), np.uint8)
        for i, j in np.ndindex(*size):
            patch = x[:, i * stride[0] :, j * stride[1] :][:, : window[0], : window[1]]
            largest[:, i, j] = patch.max(axis=(1, 2))
        found = backend.max_pool(self.send(packed(x)), window, stride, size)
        np.testing.assert_array_equal(self.fetch(found), packed(largest))

    def naive_pair(self, m: int, n: int, k: int) -> None:
        """The paper's two kernels on the same signs."""
        x, w = self.bits(m, k), self.bits(n, k)
        expected = (2 * x - 1) @ (2 * w - 1).T
        a, b = ((2 * bits - 1).astype(np.float32) for bits in (x, w.T))
        np.testing.assert_array_equal(
            self.fetch(naive.float_matmul(self.send(a), self.send(np.ascontiguousarray(b)))), expected
        )
        words = [packed(bits).view(np.uint32) for bits in (x, w)]
        found = naive.xnor_matmul(self.send(words[0]), self.send(np.ascontiguousarray(words[1].T)), k)
        np.testing.assert_array_equal(self.fetch(found), expected)


def _mismatches(number: Array, w: Array, planes: int) -> Array:
    """popcount(x ^ w) over planes, a plane counting twice the next one, by products of +1 and -1 with the number."""
    scale = 2**planes - 1
    wrong: Array = scale * w.sum(axis=1) - number @ (2 * w - 1).T
    return wrong
