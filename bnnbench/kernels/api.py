"""The public operations: they check their arguments once and hand them to a backend."""

from math import prod
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from bnnbench.kernels import narrow, reference, registry
from bnnbench.kernels.arrays import Kind, kind_of
from bnnbench.kernels.fold import Threshold
from bnnbench.kernels.geometry import Window, pair, windows_over
from bnnbench.kernels.packed import WORD, PackedBits, PackedPlanes, PackedWeights, words_of
from bnnbench.kernels.registry import backends, use_backend

__all__ = [
    "backends",
    "bit_planes",
    "conv2d",
    "linear",
    "matmul",
    "max_pool",
    "pack",
    "prepare",
    "restore",
    "rows",
    "unpack",
    "use_backend",
    "weight_sums",
]


Counts = NDArray[np.int64]
EXACT = {"int32": 2**30 - 1, "int16": 2**15 - 1, "float32": 2**24}  # int32: below fold's NEVER


def pack(x: Any, *, check: bool = True, backend: str | None = None) -> PackedBits:
    """Signs of x [..., k] (NumPy, torch or CuPy), packed along the last axis: floats, signed integers, or bits (bool).

    -0.0 is +1, and True is +1. Raises `ValueError` for NaN where `check` (without it NaN counts as -1), for unsigned
    integers, and for signed ones of which all are 0 or 1 and some 0: as signs they would all be +1.
    """
    kind = kind_of("pack: x", x)
    values = kind.signed("pack: x", x)
    if values.ndim == 0:
        raise ValueError("pack: x has no axis to pack; it must be [..., k]")
    chosen = registry.choose(backend, kind.device).operations()
    k = values.shape[-1]
    words, nan = chosen.pack(kind.contiguous(values.reshape(prod(values.shape[:-1]), k)))
    if check and nan:
        raise ValueError("pack: x holds NaN, which has no sign; clean it or pass check=False")
    return PackedBits(kind.back(words.reshape(*values.shape[:-1], words_of(k))), k)


def unpack(bits: PackedBits) -> Any:
    """+1.0 and -1.0 as float32 [..., k], in the kind of array that was packed."""
    kind, words = _operand("unpack", bits)
    if isinstance(bits, PackedPlanes):
        raise TypeError("unpack: bits holds planes; it must be PackedBits")
    positive = reference.unpack(kind.host_native(words[0]), bits.k)
    return kind.from_host(np.where(positive, np.float32(1), np.float32(-1)))


def bit_planes(x: Any, *, backend: str | None = None) -> PackedPlanes:
    """Unsigned 8-bit integers x [..., k] as eight planes of bits: the input of a first layer."""
    kind = kind_of("bit_planes: x", x)
    values = kind.real("bit_planes: x", x)
    if str(values.dtype).rpartition(".")[2] != "uint8" or values.ndim == 0:
        raise ValueError(f"bit_planes: x is {values.dtype} {tuple(values.shape)}; it must be uint8 [..., k]")
    chosen = registry.choose(backend, kind.device).operations()
    return PackedPlanes(kind.back(chosen.bit_planes(kind.contiguous(values))), values.shape[-1])


def prepare(weights: Any, *, backend: str | None = None) -> PackedWeights:
    """Weights by sign, packed once for a backend: [n, k] of a dense layer, [n, c, kh, kw] of a convolution.

    It takes and refuses the same numbers as `pack`, except that it always refuses NaN.
    """
    kind = kind_of("prepare: weights", weights)
    values = kind.signed("prepare: weights", weights)
    if values.ndim not in (2, 4) or 0 in values.shape[2:]:
        raise ValueError(f"prepare: weights are {tuple(values.shape)}; they must be [n, k] or [n, c, kh, kw]")
    if kind.has_nan(values):
        raise ValueError("prepare: weights hold NaN, which has no sign")
    host = kind.host_real(values)
    n, c = host.shape[:2]
    kernel = (host.shape[2], host.shape[3]) if host.ndim == 4 else (1, 1)
    rows = reference.pack_bits(np.moveaxis(host.reshape(n, c, kernel[0] * kernel[1]) >= 0, 1, 2))
    return _laid_out(rows, c, kernel, registry.choose(backend, kind.device))


def restore(
    rows: NDArray[np.uint64], c: int, kernel: tuple[int, int] = (1, 1), *, backend: str | None = None
) -> PackedWeights:
    """Weights from the words that `rows` gave, which may have been saved."""
    if not isinstance(rows, np.ndarray) or isinstance(c, bool) or not isinstance(c, int | np.integer) or c < 0:
        raise ValueError(
            f"restore: rows must be an array and c a number of inputs, not {type(rows).__name__} and {c!r}"
        )
    c = int(c)
    kernel = pair("restore", "kernel", kernel, 1, single=False)
    if rows.dtype != np.uint64 or rows.ndim != 3 or rows.shape[1:] != (kernel[0] * kernel[1], words_of(c)):
        expected = f"[n, {kernel[0] * kernel[1]}, {words_of(c)}]"
        raise ValueError(f"restore: rows are {rows.dtype} {rows.shape}; they must be uint64 {expected}")
    if reference.unpack(rows, rows.shape[2] * WORD)[..., c:].any():
        raise ValueError("restore: rows have bits beyond their inputs; padding must be zero")
    return _laid_out(rows, c, kernel, registry.choose(backend, "cpu"))


def _laid_out(rows: NDArray[np.uint64], c: int, kernel: tuple[int, int], chosen: registry.Backend) -> PackedWeights:
    layout = chosen.operations().layout
    if narrow.fits(c, kernel):
        inner = PackedWeights(len(rows), c * rows.shape[1], (1, 1), chosen.name, layout(narrow.gathered_rows(rows, c)))
        return PackedWeights(len(rows), c, kernel, chosen.name, inner)
    return PackedWeights(len(rows), c, kernel, chosen.name, layout(rows))


def rows(weights: PackedWeights) -> NDArray[np.uint64]:
    """The words uint64 [n, taps, words_of(c)] of weights, however they are laid out: what `restore` takes."""
    _weights("rows", weights)
    if isinstance(weights.layout, PackedWeights):
        return narrow.spread_rows(rows(weights.layout), weights.c, weights.kernel[0] * weights.kernel[1])
    words: NDArray[np.uint64] = registry.backend(weights.backend).operations().rows(weights)
    return words


def _ones(weights: PackedWeights) -> Counts:
    """The number of +1 weights of each tap, [n, taps]."""
    return np.asarray(np.bitwise_count(rows(weights)).sum(axis=-1, dtype=np.int64))


def weight_sums(
    weights: PackedWeights, size: tuple[int, int], stride: int | tuple[int, int] = 1, padding: int | tuple[int, int] = 0
) -> NDArray[np.float64]:
    """Sum of the +-1 weights inside the image for each border class [n_classes, n]: what a constant input of 1 adds.

    Output positions of a class have the same taps inside the image; a dense layer has one class.
    `size` is the height and width of the input image.
    """
    _weights("weight_sums", weights)
    image = pair("weight_sums", "size", size, 1, single=False)
    steps, edges = pair("weight_sums", "stride", stride, 1), pair("weight_sums", "padding", padding, 0)
    taps = windows_over("weight_sums", image, weights.kernel, steps, edges).taps
    tap_sums = 2 * _ones(weights) - weights.c
    return np.asarray(taps.astype(np.int64) @ tap_sums.T, np.float64)


def matmul(x: PackedBits | PackedPlanes, weights: PackedWeights, *, dtype: str = "int32", out: Any = None) -> Any:
    """Exact products [..., n] of x [..., k] with weights [n, k], as int32, int16 or float32.

    int16 holds products of signs up to k = 32,767 and is refused beyond; float32 is exact up to 2^24. The products are
    written into `out` where it is given: an array of that shape and dtype, of the same kind as `x`.
    """
    kind, words, shape = _rows("matmul", x, weights)
    _check_range("matmul", x, weights, dtype)
    operations = registry.backend(weights.backend).operations()
    product = operations.dense(words, weights, _table("matmul", operations, x, weights, None))
    product = product.reshape(*shape, weights.n).astype(dtype, copy=False)
    if out is None:
        return kind.back(product)
    _into("matmul", kind, out, product)[...] = product
    return out


def _into(name: str, kind: Kind, out: Any, product: Any) -> Any:
    """`out` as a native array, which can take the product."""
    given = kind_of(f"{name}: out", out)
    if given != kind:
        raise TypeError(f"{name}: out is of {given.name} on {given.device} and x of {kind.name} on {kind.device}")
    into = given.real(f"{name}: out", out)
    if into.shape != product.shape or into.dtype != product.dtype:
        raise ValueError(f"{name}: out is {into.dtype} {into.shape}; it must be {product.dtype} {product.shape}")
    if kind.device == "cpu" and not into.flags.writeable:
        raise ValueError(f"{name}: out is read-only; give an array that can be written to")
    return into


def _check_range(name: str, x: PackedBits | PackedPlanes, weights: PackedWeights, dtype: str) -> None:
    largest = weights.k * (255 if isinstance(x, PackedPlanes) else 1)
    if not isinstance(dtype, str) or dtype not in EXACT:
        raise ValueError(f"{name}: dtype is {dtype!r}; it must be one of {', '.join(EXACT)}")
    if largest > EXACT[dtype]:
        wider = "int32" if largest <= EXACT["int32"] else "fewer inputs"
        raise ValueError(f"{name}: products reach {largest}, which {dtype} does not hold exactly; use {wider}")


def linear(x: PackedBits | PackedPlanes, weights: PackedWeights, threshold: Threshold) -> PackedBits:
    """Products that are compared with a threshold and packed in one operation: bits [..., n]."""
    kind, words, shape = _rows("linear", x, weights)
    _is_threshold("linear", threshold)
    _check_range("linear", x, weights, "int32")
    operations = registry.backend(weights.backend).operations()
    bits = operations.dense(words, weights, _table("linear", operations, x, weights, threshold))
    return PackedBits(kind.back(bits.reshape(*shape, words_of(weights.n))), weights.n)


def conv2d(
    x: PackedBits | PackedPlanes,
    weights: PackedWeights,
    *,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    pad: str | int = "zero",
    threshold: Threshold | None = None,
    groups: int = 1,
    dilation: int | tuple[int, int] = 1,
) -> Any:
    """Convolution of x [b, h, w, c] (channels last) with weights [n, c, kh, kw].

    Products int32 [b, ho, wo, n], or packed bits where a `threshold` is given. `pad`: "zero" (exact: padded pixels add
    nothing), +1 or -1. `groups` and `dilation` are named as in torch, and only 1 can be computed. Raises `ValueError`
    for any other, and where no window fits into the padded image.
    """
    for argument, value in (("groups", groups), ("dilation", dilation)):
        if value not in (1, (1, 1)):
            raise ValueError(f"conv2d: {argument} is {value!r}; it must be 1, there are no kernels for another")
    _weights("conv2d", weights)
    kind, words = _operand("conv2d", x)
    _same_device("conv2d", kind, weights)
    if threshold is not None:
        _is_threshold("conv2d", threshold)
    _check_range("conv2d", x, weights, "int32")
    windows = _conv_windows(x, weights, stride, padding, pad)
    words = windows.padded(words, kind.xp, _fill(x, weights.c, pad))
    operations = registry.backend(weights.backend).operations()
    table = _table("conv2d", operations, x, weights, threshold, windows, pad)
    if isinstance(weights.layout, PackedWeights):
        words = narrow.windows(words, weights.c, weights.kernel, windows.stride, windows.output, kind.xp)
        result = kind.back(operations.convolve(words, weights.layout, (1, 1), table))
    else:
        result = kind.back(operations.convolve(words, weights, windows.stride, table))
    return result if threshold is None else PackedBits(result, weights.n)


def max_pool(x: PackedBits, window: int | tuple[int, int], stride: int | tuple[int, int] | None = None) -> PackedBits:
    """Max-pooling of signs [b, h, w, c]: the OR of the bits of each window; incomplete windows are left out.

    Raises `ValueError` where no window fits into the image.
    """
    if isinstance(x, PackedPlanes):
        raise TypeError("max_pool: x holds planes; pool signs (PackedBits)")
    kind, words = _operand("max_pool", x)
    if words.ndim != 5:
        raise ValueError(f"max_pool: x is {x.shape}; it must be [b, h, w, c]")
    size = pair("max_pool", "window", window, 1)
    step = size if stride is None else pair("max_pool", "stride", stride, 1)
    shape = windows_over("max_pool", (x.shape[1], x.shape[2]), size, step, (0, 0)).output
    chosen = registry.choose(None, kind.device).operations()
    pooled = chosen.max_pool(kind.contiguous(words[0]), size, step, shape)
    return PackedBits(kind.back(pooled), x.k)


def _rows(name: str, x: PackedBits | PackedPlanes, weights: PackedWeights) -> tuple[Kind, Any, tuple[int, ...]]:
    """The kind of x, its words as [planes, m, kw], and its leading shape."""
    _weights(name, weights)
    kind, words = _operand(name, x)
    _same_device(name, kind, weights)
    if weights.kernel != (1, 1) or x.k != weights.c:
        raise ValueError(f"{name}: x is {x.shape} and weights take {weights.k} inputs; the last axes must agree")
    shape = x.shape[:-1]
    return kind, kind.contiguous(words.reshape(len(words), prod(shape), words.shape[-1])), shape


def _operand(name: str, x: PackedBits | PackedPlanes) -> tuple[Kind, Any]:
    """The kind of x and its native words [planes, ...], checked: kernels trust their shape and dtype."""
    if not isinstance(x, PackedBits | PackedPlanes):
        raise TypeError(f"{name}: x is a {type(x).__name__}; it must be packed (pack, bit_planes)")
    if not isinstance(x.k, int | np.integer) or x.k < 0:
        raise ValueError(f"{name}: x.k is {x.k!r}; it must be the number of bits of a row")
    kind = kind_of(f"{name}: x.words", x.words)
    words = kind.native(x.words)
    planes = isinstance(x, PackedPlanes)
    fits = words.ndim >= 1 + planes and words.shape[-1] == words_of(x.k) and (not planes or len(words) == 8)
    if words.dtype != np.uint64 or not words.dtype.isnative or not fits:
        expected = f"{'[8, ..., ' if planes else '[..., '}{words_of(x.k)}]"
        raise ValueError(f"{name}: x.words is {words.dtype} {words.shape}; it must be uint64 {expected} for k = {x.k}")
    return kind, words if planes else words[None]


def _weights(name: str, weights: PackedWeights) -> None:
    if not isinstance(weights, PackedWeights):
        raise TypeError(f"{name}: weights are a {type(weights).__name__}; they must be packed (prepare)")


def _is_threshold(name: str, threshold: Threshold) -> None:
    if not isinstance(threshold, Threshold):
        raise TypeError(f"{name}: threshold is a {type(threshold).__name__}; it must be a Threshold (fold)")


def _same_device(name: str, kind: Kind, weights: PackedWeights) -> None:
    place = "cuda" if weights.backend == "cupy" else "cpu"
    if kind.device != place and weights.backend in ("cpu", "cupy", "reference"):
        raise ValueError(f"{name}: x is on {kind.device} and weights were prepared for {place} ({weights.backend})")


_tables: WeakKeyDictionary[PackedWeights, dict[Any, Any]] = WeakKeyDictionary()
TABLES = 32  # kept for the weights of a layer: one for each threshold and size of image


def _table(
    name: str,
    operations: Any,
    x: PackedBits | PackedPlanes,
    weights: PackedWeights,
    threshold: Threshold | None,
    window: Window | None = None,
    pad: str | int = "zero",
) -> Any:
    """The numbers that counts are compared with or subtracted from, as the backend holds them; they are kept."""
    known = _tables.setdefault(weights, {})
    key = (isinstance(x, PackedPlanes), threshold, window, pad)
    table = known.get(key)
    if table is None:
        table = _new_table(name, operations, x, weights, threshold, window, pad)
        # Another thread may replace this table or clear them all, so the table is returned and not read back.
        if len(known) >= TABLES:
            known.clear()
        known[key] = table
    return table


def _new_table(
    name: str,
    operations: Any,
    x: PackedBits | PackedPlanes,
    weights: PackedWeights,
    threshold: Threshold | None,
    window: Window | None,
    pad: str | int,
) -> Any:
    if window is None:  # a dense layer: its outputs are of one class, and nothing is padded
        inputs, outside = np.array([weights.k], np.int64), np.zeros((1, weights.n), np.int64)
    else:
        inputs, outside = window.inside(_ones(weights), weights.c, zero=pad == "zero")
    classes = None if window is None else window.classes
    if threshold is None:
        constant, factor = _finish(x, weights, inputs, outside)
        return operations.table(constant, np.zeros(weights.n, bool), factor, classes)
    at_least, flip = _threshold(name, threshold, weights, len(inputs))
    return operations.table(_limit(x, weights, at_least, inputs, outside), flip, 0, classes)


def _finish(
    x: PackedBits | PackedPlanes, weights: PackedWeights, inputs: Counts, outside: Counts
) -> tuple[NDArray[np.int32], int]:
    """constant [classes, n] and factor of y = constant - factor * mismatches.

    Signs: y = inputs - 2 (p - outside), where `outside` are the mismatches that padding adds.
    Planes: with x = sum of 2^i x_i, x . w = sum of 2^i (2 popc(x_i & w) - popc(x_i)) = 255 popc(w) - p, and padding
    with zeros needs no correction.
    """
    if isinstance(x, PackedPlanes):
        constant, factor = 255 * _ones(weights).sum(axis=1) + 0 * outside, 1
    else:
        constant, factor = inputs[:, None] + 2 * outside, 2
    return constant.astype(np.int32), factor


def _limit(
    x: PackedBits | PackedPlanes, weights: PackedWeights, at_least: Counts, inputs: Counts, outside: Counts
) -> NDArray[np.int32]:
    """The mismatches [classes, n] up to which y >= at_least."""
    if isinstance(x, PackedPlanes):
        limit = 255 * _ones(weights).sum(axis=1) - at_least + 0 * outside
    else:
        limit = (inputs[:, None] - at_least) // 2 + outside
    return np.asarray(np.clip(limit, -1, 2**31 - 1), np.int32)


def _threshold(
    name: str, threshold: Threshold, weights: PackedWeights, classes: int
) -> tuple[Counts, NDArray[np.bool_]]:
    given, flip = np.asarray(threshold.at_least), np.asarray(threshold.flip)
    at_least = np.atleast_2d(given)
    if given.dtype.kind not in "iu" or at_least.ndim != 2 or at_least.shape[1] != weights.n:
        expected = f"integers [{weights.n}]" + (f" or [{classes}, {weights.n}]" if classes > 1 else "")
        raise ValueError(f"{name}: threshold.at_least is {given.dtype} {given.shape}; it must be {expected}")
    if at_least.shape[0] not in (1, classes):
        raise ValueError(f"{name}: threshold.at_least has {at_least.shape[0]} classes; there are {classes}")
    if flip.dtype != bool or flip.shape not in ((), (weights.n,)):
        raise ValueError(f"{name}: threshold.flip is {flip.dtype} {flip.shape}; it must be bool [{weights.n}]")
    # All thresholds beyond the largest product mean the same; they are clipped so that sums with them cannot overflow.
    bound = np.clip(at_least, -(2**40), 2**40) if given.dtype != np.uint64 else np.minimum(at_least, 2**40)
    return bound.astype(np.int64), np.ascontiguousarray(np.broadcast_to(flip, weights.n))


def _conv_windows(
    x: PackedBits | PackedPlanes, weights: PackedWeights, stride: Any, padding: Any, pad: str | int
) -> Window:
    if len(x.shape) != 4 or x.k != weights.c:
        raise ValueError(f"conv2d: x is {x.shape}; it must be [b, h, w, {weights.c}] for these weights (one group)")
    if not isinstance(pad, str | int) or pad not in ("zero", 1, -1) or (isinstance(x, PackedPlanes) and pad != "zero"):
        allowed = '"zero"' if isinstance(x, PackedPlanes) else '"zero", +1 or -1'
        raise ValueError(f"conv2d: pad is {pad!r}; it must be {allowed}")
    steps, edges = pair("conv2d", "stride", stride, 1), pair("conv2d", "padding", padding, 0)
    return windows_over("conv2d", (x.shape[1], x.shape[2]), weights.kernel, steps, edges)


def _fill(x: PackedBits | PackedPlanes, c: int, pad: str | int) -> NDArray[np.uint64] | None:
    """The words of a padded pixel; `None` for zero bits."""
    return reference.pack_bits(np.ones(c, bool)) if pad == 1 and not isinstance(x, PackedPlanes) else None
