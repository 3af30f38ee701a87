"""Every backend against plain arithmetic: products, thresholds, convolutions, pooling, bit planes, packing."""

import gc
import os
import re
import sys
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bnnbench import kernels
from bnnbench.errors import UserError
from bnnbench.kernels import PackedBits, Threshold, narrow, reference, registry

BACKENDS = [name for name, available, _ in kernels.backends() if available and name != "cupy"]
EDGES = [0, 1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257]
rows = st.sampled_from([0, 1, 2, 3, 4, 5, 6, 7, 11, 12, 13]) | st.integers(1, 70)
columns = st.sampled_from([0, 1, 31, 32, 33, 64, 65]) | st.integers(1, 70)
inputs = st.sampled_from(EDGES) | st.integers(1, 700)
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    with kernels.use_backend(request.param):
        yield request.param


def sign(x: NDArray[Any]) -> NDArray[np.int64]:
    return np.where(x >= 0, 1, -1)


def numbers(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    """Normal numbers with zeros of both signs, denormals and infinities among them."""
    x = rng.standard_normal(shape, dtype=np.float32)
    special = np.array([0.0, -0.0, 1e-45, -1e-45, np.inf, -np.inf], np.float32)
    where = rng.random(shape) < 0.1
    x[where] = rng.choice(special, int(where.sum()))
    return x


@given(rows, columns, inputs, seeds)
@pytest.mark.parametrize("name", BACKENDS)
def test_products_are_exact(name: str, m: int, n: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = numbers(rng, m, k), numbers(rng, n, k)
    with kernels.use_backend(name):
        found = kernels.matmul(kernels.pack(a), kernels.prepare(b))
    assert found.dtype == np.int32
    assert np.array_equal(found, sign(a) @ sign(b).T)


@given(rows, columns, inputs, seeds)
@pytest.mark.parametrize("name", BACKENDS)
def test_bit_planes_multiply_unsigned_integers(name: str, m: int, n: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, b = rng.integers(0, 256, (m, k), np.uint8), numbers(rng, n, k)
    with kernels.use_backend(name):
        found = kernels.matmul(kernels.bit_planes(x), kernels.prepare(b))
    assert np.array_equal(found, x.astype(np.int64) @ sign(b).T)


@given(rows, columns, inputs, st.booleans(), seeds)
@pytest.mark.parametrize("name", BACKENDS)
def test_fused_thresholds_compare_the_products(name: str, m: int, n: int, k: int, planes: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = numbers(rng, m, k), numbers(rng, n, k)
    values = rng.integers(0, 256, (m, k), np.uint8) if planes else sign(a)
    y = values.astype(np.int64) @ sign(b).T
    # thresholds at, below and above reachable products
    at_least = (y[rng.integers(0, m, n), np.arange(n)] if m else np.zeros(n)) + rng.integers(-1, 2, n)
    threshold = Threshold(at_least.astype(np.int32), rng.random(n) < 0.5)
    with kernels.use_backend(name):
        packed = kernels.bit_planes(values) if planes else kernels.pack(a)
        found = kernels.linear(packed, kernels.prepare(b), threshold)
    assert np.array_equal(kernels.unpack(found) == 1, (y >= at_least) ^ threshold.flip)
    assert_padding_is_zero(found)


def test_a_threshold_serves_several_layers_and_sizes() -> None:
    """What backends keep between calls belongs to one threshold, one layer and one size of image."""
    rng = np.random.default_rng(0)
    layers = [numbers(rng, 5, 3, 3, 3) for _ in range(2)]
    packed = [kernels.prepare(w) for w in layers]
    thresholds = [Threshold(rng.integers(-3, 4, 5).astype(np.int32), rng.random(5) < 0.5) for _ in range(2)]
    for size in (4, 6, 4):
        x = numbers(rng, 2, size, size, 3)
        for w, weights in zip(layers, packed, strict=True):
            for pad in (0, 1):
                y = convolved(sign(x), sign(w), (1, 1), (pad, pad), 0)
                assert np.array_equal(kernels.conv2d(kernels.pack(x), weights, padding=pad), y)
                for t in thresholds:
                    found = kernels.conv2d(kernels.pack(x), weights, padding=pad, threshold=t)
                    assert np.array_equal(kernels.unpack(found) == 1, (y >= t.at_least) ^ t.flip)


@given(columns, inputs, st.sampled_from([(1, 1), (3, 2)]), seeds)
@pytest.mark.parametrize("name", BACKENDS)
def test_rows_come_back_and_are_held_once(name: str, n: int, c: int, kernel: tuple[int, int], seed: int) -> None:
    w = numbers(np.random.default_rng(seed), n, c, *kernel)
    weights = kernels.prepare(w, backend=name)
    rows = kernels.rows(weights)
    assert np.array_equal(rows, kernels.rows(kernels.restore(rows, c, kernel, backend=name)))
    bits = np.unpackbits(rows.view(np.uint8), axis=-1, bitorder="little")[..., :c]
    assert np.array_equal(bits, np.moveaxis(w.reshape(n, c, kernel[0] * kernel[1]), 1, 2) >= 0)
    held = -(-n // 32) * 32 if name == "cpu" else n  # panels are whole
    assert weights.nbytes == held * (16 if narrow.fits(c, kernel) else rows[0].nbytes if n else 0)


@given(st.integers(1, 7), st.integers(1, 3), st.integers(1, 3), seeds)
def test_narrow_windows_hold_the_bits_of_all_taps(c: int, kh: int, kw: int, seed: int) -> None:
    """Gathered windows of images and of weights multiply like the images themselves."""
    rng = np.random.default_rng(seed)
    x, w = numbers(rng, 2, 6, 5, c), numbers(rng, 4, c, kh, kw)
    stride = (int(rng.integers(1, 3)), int(rng.integers(1, 3)))
    size = ((6 - kh) // stride[0] + 1, (5 - kw) // stride[1] + 1)
    words = kernels.pack(x).words[None]
    found = narrow.windows(words, c, (kh, kw), stride, size, np)
    bits = np.unpackbits(found.view(np.uint8), axis=-1, bitorder="little")[0, ..., : c * kh * kw]
    rows = reference.pack_bits(np.moveaxis(w.reshape(4, c, kh * kw) >= 0, 1, 2))
    gathered = narrow.gathered_rows(rows, c)
    assert np.array_equal(narrow.spread_rows(gathered, c, kh * kw), rows)
    weights = np.unpackbits(gathered.view(np.uint8), axis=-1, bitorder="little")[:, 0, : c * kh * kw]
    products = (2 * bits.astype(np.int64) - 1) @ (2 * weights.astype(np.int64) - 1).T
    assert np.array_equal(products, convolved(sign(x), sign(w), stride, (0, 0), 0))


def test_thresholds_are_copies_that_nobody_changes() -> None:
    at_least = np.zeros(3, np.int32)
    threshold = Threshold(at_least, np.zeros(3, bool))
    at_least[:] = 7
    assert not threshold.at_least.any()
    with pytest.raises(ValueError, match="read-only"):
        threshold.at_least[0] = 1


def test_what_is_kept_for_weights_goes_with_them() -> None:
    weights = kernels.prepare(np.ones((3, 4)))
    kernels.matmul(kernels.pack(np.ones((2, 4))), weights)
    gone = weakref.ref(weights)
    del weights
    gc.collect()
    assert gone() is None


def assert_padding_is_zero(bits: PackedBits) -> None:
    words = np.ascontiguousarray(bits.words)
    assert words.shape[-1] % 2 == 0
    unpacked = np.unpackbits(words.view(np.uint8), axis=-1, bitorder="little")
    assert not unpacked[..., bits.k :].any()


def convolved(x: NDArray[Any], w: NDArray[Any], stride: Any, padding: Any, fill: float) -> NDArray[np.int64]:
    """torch's convolution in float64, channels last: exact for these sizes."""
    top, left = padding
    image = torch.nn.functional.pad(
        torch.from_numpy(x).permute(0, 3, 1, 2).double(), (left, left, top, top), value=fill
    )
    found = torch.nn.functional.conv2d(image, torch.from_numpy(w).double(), stride=stride)
    return found.permute(0, 2, 3, 1).numpy().astype(np.int64)


@given(
    st.integers(0, 2),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.sampled_from([1, 3, 33, 64, 65, 128, 130]),
    st.sampled_from([1, 5, 32, 40]),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 2), st.integers(1, 2)),
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
    st.sampled_from(["zero", 1, -1, "planes"]),
    seeds,
)
@pytest.mark.parametrize("name", BACKENDS)
def test_convolutions_are_exact(
    name: str,
    batch: int,
    size: tuple[int, int],
    c: int,
    n: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    pad: Any,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    x, w = numbers(rng, batch, *size, c), numbers(rng, n, c, *kernel)
    if any(s + 2 * p < k for s, p, k in zip(size, padding, kernel, strict=True)):  # torch refuses that, too
        whole = " x ".join(str(s + 2 * p) for s, p in zip(size, padding, strict=True))
        message = f"conv2d: a window of {kernel[0]} x {kernel[1]} does not fit into the image, {whole} with its padding"
        with pytest.raises(ValueError, match=message), kernels.use_backend(name):
            kernels.conv2d(kernels.pack(x), kernels.prepare(w), stride=stride, padding=padding)
        return
    if pad == "planes":
        values, mode, fill = rng.integers(0, 256, x.shape, np.uint8), "zero", 0.0
    else:
        values, mode, fill = sign(x), pad, 0.0 if pad == "zero" else float(pad)
    y = convolved(values.astype(np.int64), sign(w), stride, padding, fill)
    threshold = Threshold(rng.integers(-5, 6, n).astype(np.int32), rng.random(n) < 0.5)
    with kernels.use_backend(name):
        packed = kernels.bit_planes(values) if pad == "planes" else kernels.pack(x)
        weights = kernels.prepare(w)
        found = kernels.conv2d(packed, weights, stride=stride, padding=padding, pad=mode)
        bits = kernels.conv2d(packed, weights, stride=stride, padding=padding, pad=mode, threshold=threshold)
    assert np.array_equal(found, y)
    assert np.array_equal(kernels.unpack(bits) == 1, (y >= threshold.at_least) ^ threshold.flip)
    assert_padding_is_zero(bits)


@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)), st.integers(1, 3), st.integers(1, 3), st.integers(1, 130), seeds
)
@pytest.mark.parametrize("name", BACKENDS)
def test_pooling_is_the_maximum(name: str, size: tuple[int, int], window: int, stride: int, c: int, seed: int) -> None:
    x = numbers(np.random.default_rng(seed), 2, *size, c)
    if min(size) < window:
        with pytest.raises(ValueError, match=f"max_pool: a window of {window} x {window} does not fit"):
            kernels.max_pool(kernels.pack(x), window, stride)
        return
    with kernels.use_backend(name):
        found = kernels.max_pool(kernels.pack(x), window, stride)
    images = torch.from_numpy(sign(x).astype(np.float32)).permute(0, 3, 1, 2)
    expected = torch.nn.functional.max_pool2d(images, window, stride).permute(0, 2, 3, 1).numpy()
    assert np.array_equal(kernels.unpack(found), expected)


@given(st.integers(0, 5), inputs, seeds, st.sampled_from(["f2", "f4", "f8", "i4", "i1"]))
@pytest.mark.parametrize("name", BACKENDS)
def test_packing_round_trip(name: str, m: int, k: int, seed: int, dtype: str) -> None:
    rng = np.random.default_rng(seed)
    if dtype[0] == "i":
        x = rng.integers(-5, 6, (m, k)).astype(dtype)
        x[:, :1] = -3  # integers 0 and 1 alone are refused
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            x = np.nan_to_num(numbers(rng, m, k)).astype(dtype)
    with kernels.use_backend(name):
        packed = kernels.pack(x)
    assert np.array_equal(kernels.unpack(packed), sign(x))
    assert_padding_is_zero(packed)
    assert np.array_equal(packed.words, np.ascontiguousarray(packed.words))
    padded = np.zeros((m, packed.words.shape[1] * 64), np.uint8)
    padded[:, :k] = x >= 0
    assert np.array_equal(packed.words.view(np.uint8), np.packbits(padded, axis=1, bitorder="little"))


def kinds_of(x: NDArray[Any]) -> list[Any]:
    """The same numbers as NumPy array (also with strides and read-only) and as torch tensor."""
    strided = np.repeat(x, 2, axis=-1)[..., ::2]
    strided.setflags(write=False)
    return [x, strided, torch.from_numpy(x)]


@given(st.integers(0, 5), inputs, seeds)
@pytest.mark.parametrize("name", BACKENDS)
def test_bits_are_plus_one_where_true_and_minus_one_where_false(name: str, m: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, w = rng.random((m, k)) < 0.5, rng.random((3, k)) < 0.5
    with kernels.use_backend(name):
        for bits in kinds_of(x):
            packed = kernels.pack(bits)
            assert np.array_equal(kernels.unpack(packed), np.where(x, 1, -1))
            for weights in kinds_of(w):
                found = kernels.matmul(packed, kernels.prepare(weights))
                assert np.array_equal(found, np.where(x, 1, -1) @ np.where(w, 1, -1).T)


@given(
    st.sampled_from(["i1", "i2", "i4", "i8", ">i4", "u1", "u2", "u4", "u8"]),
    st.integers(1, 4),
    st.integers(1, 70),
    st.booleans(),
    seeds,
)
def test_bits_as_integers_are_refused(dtype: str, m: int, k: int, zeros: bool, seed: int) -> None:
    x = np.zeros((m, k), dtype) if zeros else np.random.default_rng(seed).integers(0, 2, (m, k)).astype(dtype)
    x[0, 0] = 0
    image = np.broadcast_to(x[:, :, None, None], (m, k, 2, 3)).copy()
    given = [x, torch.from_numpy(x)] if x.dtype.isnative else [x]
    for call, operands in ((kernels.pack, given), (kernels.prepare, [*given, image])):
        for operand in operands:
            with pytest.raises(ValueError, match=rf"^{call.__name__}: .* would .*be \+1; give bits as bool"):
                call(operand)


@given(st.sampled_from(["u1", "u2", "u4", "u8"]), st.integers(0, 4), st.integers(1, 70), seeds)
def test_unsigned_integers_have_no_signs(dtype: str, m: int, k: int, seed: int) -> None:
    x = np.random.default_rng(seed).integers(0, 200, (m, k)).astype(dtype)
    for call in (kernels.pack, kernels.prepare):
        for operand in (x, torch.from_numpy(x)):
            with pytest.raises(ValueError, match=rf"{x.dtype}, where every number would be \+1; .* or signs as -1"):
                call(operand)


def test_integers_that_are_signs_are_taken(backend: str) -> None:
    for x in ([[1, 1, 1]], [[-1, -1, -1]], [[-1, 1, 0]], [[0, 5, 2]], [[-7, 0, 9]]):
        values = np.array(x, np.int8)
        assert np.array_equal(kernels.unpack(kernels.pack(values)), sign(values))
        assert np.array_equal(kernels.rows(kernels.prepare(values))[:, 0], kernels.pack(values).words)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("position", [0, 63, 64, 70])
def test_nan_is_refused_or_counts_as_minus_one(backend: str, dtype: Any, position: int) -> None:
    x = np.ones((3, 71), dtype)
    x[1, position] = np.nan
    with pytest.raises(ValueError, match="pack: x holds NaN"):
        kernels.pack(x)
    found = kernels.unpack(kernels.pack(x, check=False))
    assert found[1, position] == -1
    assert (found == 1).sum() == x.size - 1


@given(seeds)
@pytest.mark.parametrize("name", BACKENDS)
def test_invariants_of_products(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    m, n, k = 7, 9, int(rng.integers(1, 300))
    a, b = rng.standard_normal((m, k)), rng.standard_normal((n, k))
    with kernels.use_backend(name):

        def product(x: NDArray[Any], w: NDArray[Any]) -> Any:
            return kernels.matmul(kernels.pack(x), kernels.prepare(w))

        y = product(a, b)
        assert np.all((y - k) % 2 == 0), "same parity as k"
        assert np.all(np.abs(y) <= k)
        assert np.array_equal(product(b, a), y.T)
        assert np.array_equal(product(-a, b), -y)
        order = rng.permutation(k)
        assert np.array_equal(product(a[:, order], b[:, order]), y)


def test_torch_tensors_come_back_as_torch_tensors(backend: str) -> None:
    x = torch.randn(5, 3, 70)
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        a, w = x.to(dtype), torch.randn(4, 70).to(dtype)
        packed = kernels.pack(a)
        found = kernels.matmul(packed, kernels.prepare(w))
        assert isinstance(found, torch.Tensor)
        assert found.dtype == torch.int32
        expected = torch.where(a >= 0, 1.0, -1.0) @ torch.where(w >= 0, 1.0, -1.0).T
        assert torch.equal(found, expected.int())
        assert torch.equal(kernels.unpack(packed), torch.where(a >= 0, 1.0, -1.0))


def test_products_of_another_dtype_and_into_an_array(backend: str) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((3, 100)), rng.standard_normal((5, 100))
    x, w, expected = kernels.pack(a), kernels.prepare(b), sign(a) @ sign(b).T
    for dtype in ("int32", "int16", "float32"):
        found = kernels.matmul(x, w, dtype=dtype)
        assert found.dtype == dtype
        assert np.array_equal(found, expected)
        out = np.zeros((3, 5), dtype)
        assert kernels.matmul(x, w, dtype=dtype, out=out) is out
        assert np.array_equal(out, expected)
    with pytest.raises(ValueError, match="dtype is 'int8'"):
        kernels.matmul(x, w, dtype="int8")
    with pytest.raises(ValueError, match=r"out is int32 \(5, 3\); it must be int32 \(3, 5\)"):
        kernels.matmul(x, w, out=np.zeros((5, 3), np.int32))
    planes = kernels.bit_planes(rng.integers(0, 256, (2, 200), np.uint8))
    with pytest.raises(ValueError, match="products reach 51000, which int16 does not hold"):
        kernels.matmul(planes, kernels.prepare(rng.standard_normal((2, 200))), dtype="int16")


def test_products_go_into_an_array_of_the_kind_of_x_that_can_be_written(backend: str) -> None:
    x, w = kernels.pack(np.ones((3, 4))), kernels.prepare(np.ones((5, 4)))
    fixed = np.zeros((3, 5), np.int32)
    fixed.setflags(write=False)
    wrong: list[tuple[Any, str]] = [
        (fixed, "out is read-only; give an array that can be written to"),
        (torch.zeros(3, 5, dtype=torch.int32), "out is of torch on cpu and x of numpy on cpu"),
        ([[0]], "out is a list; it must be a NumPy, torch or CuPy array"),
        (np.zeros((3, 5), bool), r"out is bool \(3, 5\); it must be int32 \(3, 5\)"),
    ]
    for out, message in wrong:
        with pytest.raises((TypeError, ValueError), match=f"^matmul: {message}$"):
            kernels.matmul(x, w, out=out)
    assert not fixed.any()
    strided = np.zeros((6, 5), np.int32)[::2]
    assert np.array_equal(kernels.matmul(x, w, out=strided), np.full((3, 5), 4))


def test_threads_share_a_layer(backend: str) -> None:
    """More sizes of images than tables are kept: what one thread clears another may be about to use."""
    rng = np.random.default_rng(0)
    weights = kernels.prepare(rng.standard_normal((3, 70, 3, 3)))
    images = [kernels.pack(rng.standard_normal((1, 3 + i % 8, 3 + i // 8, 70))) for i in range(40)]
    expected = [kernels.conv2d(x, weights, padding=1) for x in images]
    wrong: list[object] = []

    def serve(seed: int) -> None:
        for i in np.random.default_rng(seed).integers(0, len(images), 150):
            try:
                if not np.array_equal(kernels.conv2d(images[i], weights, padding=1), expected[i]):
                    wrong.append(i)
            except Exception as error:
                wrong.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=serve, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert wrong == []


@pytest.mark.parametrize("value", ["abc", "0", "-2", "1.5", "1e3", "99999", "\u0663"])
def test_a_number_of_threads_that_is_none_is_named(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, w = kernels.pack(np.ones((2, 4))), kernels.prepare(np.ones((3, 4)), backend="cpu")
    monkeypatch.setenv("BNNBENCH_THREADS", value)
    with pytest.raises(UserError, match=f"^BNNBENCH_THREADS is '{re.escape(value)}'; it must be a number of threads"):
        kernels.matmul(x, w)


@pytest.mark.parametrize("value", ["", " ", "1", " 2 "])
def test_without_a_number_of_threads_numba_decides(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, w = kernels.pack(np.ones((2, 4))), kernels.prepare(np.ones((3, 4)), backend="cpu")
    monkeypatch.setenv("BNNBENCH_THREADS", value)
    assert np.array_equal(kernels.matmul(x, w), np.full((2, 3), 4))


def test_a_backend_in_the_environment_that_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BNNBENCH_KERNELS", "gpu")
    with pytest.raises(UserError, match=r"^BNNBENCH_KERNELS is 'gpu'; it must be auto or one of reference, cpu, cupy"):
        kernels.prepare(np.ones((2, 2)))


def test_strides_and_read_only_arrays_are_taken(backend: str) -> None:
    rng = np.random.default_rng(0)
    whole, w = rng.standard_normal((10, 300)), rng.standard_normal((300, 8))
    x = whole[::2, ::3]
    x.setflags(write=False)
    found = kernels.matmul(kernels.pack(x), kernels.prepare(w.T[:, ::3]))
    assert np.array_equal(found, sign(x) @ sign(w.T[:, ::3]).T)


def test_threads_agree(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import numba

    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((700, 1000)), rng.standard_normal((300, 1000))
    x, w = rng.standard_normal((2, 20, 20, 128)), rng.standard_normal((64, 128, 3, 3))
    monkeypatch.delenv("BNNBENCH_THREADS", raising=False)
    before = numba.get_num_threads()
    found = []
    for threads in (1, min(2, len(os.sched_getaffinity(0)))):
        numba.set_num_threads(threads)
        if backend == "reference":
            a, b, x, w = a[:20], b[:20], x[:1, :4, :4], w[:3]
        dense = kernels.matmul(kernels.pack(a), kernels.prepare(b))
        found.append((dense, kernels.conv2d(kernels.pack(x), kernels.prepare(w), padding=1)))
    numba.set_num_threads(before)
    assert np.array_equal(found[0][0], found[1][0])
    assert np.array_equal(found[0][1], found[1][1])


def ones(*shape: int) -> PackedBits:
    return kernels.pack(np.ones(shape))


def raw(*shape: int) -> Any:
    return np.ones(shape)


def threshold(at_least: NDArray[Any]) -> Threshold:
    return Threshold(at_least, np.zeros(len(at_least), bool))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kernels.pack([1.0]), "x is a list; it must be a NumPy, torch or CuPy array"),
        (lambda: kernels.pack(np.float32(1)), "it must be a NumPy, torch or CuPy array"),
        (lambda: kernels.pack(np.array(["a"])), "it must hold real numbers"),
        (lambda: kernels.pack(np.ma.masked_less(np.ones((2, 2)), 0)), "pack: x is a masked array; fill"),
        (
            lambda: kernels.pack(torch.ones(2, 2, device="meta")),
            "pack: x is a tensor on meta; it must be on cpu or cuda",
        ),
        (
            lambda: kernels.bit_planes(torch.ones(2, 2, dtype=torch.uint8).to_sparse()),
            "bit_planes: x: a tensor of this",
        ),
        (lambda: kernels.pack(np.ones((2, 2)), backend=["cpu"]), r"no backend \['cpu'\]"),  # type: ignore[arg-type]
        (
            lambda: kernels.matmul(ones(2, 4), kernels.prepare(np.ones((3, 4))), dtype=["int32"]),  # type: ignore[arg-type]
            r"matmul: dtype is \['int32'\]; it must be one of int32, int16, float32",
        ),
        (
            lambda: kernels.conv2d(ones(1, 4, 4, 2), kernels.prepare(np.ones((1, 2, 3, 3))), pad=raw(2)),
            'conv2d: pad is .*; it must be "zero", ',
        ),
        (
            lambda: kernels.restore(np.zeros((1, 1, 2), np.uint64), True),
            "restore: rows must be an array and c a number",
        ),
        (lambda: kernels.unpack(PackedBits(ones(2, 4).words, "4")), "unpack: x.k is '4'"),  # type: ignore[arg-type]
        (lambda: kernels.pack(np.ones(3, complex)), "it must hold real numbers"),
        (lambda: kernels.prepare(np.ones(3)), r"weights are \(3,\); they must be \[n, k\] or \[n, c, kh, kw\]"),
        (lambda: kernels.prepare(np.ones((3, 2, 0, 3))), r"weights are \(3, 2, 0, 3\); they must be"),
        (lambda: kernels.prepare(np.full((2, 2), np.nan)), "weights hold NaN"),
        (lambda: kernels.bit_planes(np.ones((2, 2))), r"x is float64 \(2, 2\); it must be uint8"),
        (
            lambda: kernels.matmul(kernels.pack(np.ones((2, 5))), kernels.prepare(np.ones((3, 4)))),
            "last axes must agree",
        ),
        (
            lambda: kernels.linear(
                kernels.pack(np.ones((2, 4))),
                kernels.prepare(np.ones((3, 4))),
                Threshold(np.zeros(2, np.int32), np.zeros(3, bool)),
            ),
            r"threshold.at_least is int32 \(2,\); it must be integers \[3\]",
        ),
        (
            lambda: kernels.conv2d(kernels.pack(np.ones((2, 4))), kernels.prepare(np.ones((1, 4, 3, 3)))),
            r"x is \(2, 4\); it must be \[b, h, w, 4\]",
        ),
        (
            lambda: kernels.conv2d(ones(1, 4, 4, 2), kernels.prepare(np.ones((1, 2, 3, 3))), pad="same"),
            'pad is .same.; it must be "zero"',
        ),
        (
            lambda: kernels.conv2d(ones(1, 4, 4, 2), kernels.prepare(np.ones((1, 2, 3, 3))), stride=0),
            "stride is 0; it must be an int or a pair of ints, at least 1",
        ),
        (
            lambda: kernels.matmul(raw(2, 4), kernels.prepare(np.ones((3, 4)))),
            "x is a ndarray; it must be packed",
        ),
        (lambda: kernels.matmul(ones(2, 4), raw(3, 4)), "weights are a ndarray; they must be packed"),
        (
            lambda: kernels.matmul(PackedBits(ones(2, 300).words, 4), kernels.prepare(np.ones((3, 4)))),
            "x.words is uint64",
        ),
        (lambda: kernels.unpack(PackedBits(ones(2, 4).words.view(np.uint32), 4)), "x.words is uint32"),
        (lambda: kernels.max_pool(PackedBits(np.zeros((1, 2, 2, 1), np.uint64), 4), 2), "it must be uint64"),
        (
            lambda: kernels.linear(ones(2, 4), kernels.prepare(np.ones((3, 4))), threshold(np.zeros(3))),
            "at_least is float64",
        ),
        (
            lambda: kernels.linear(
                ones(2, 4), kernels.prepare(np.ones((3, 4))), Threshold(np.zeros(3, np.int32), np.array([0, 1, 2]))
            ),
            "flip is int64",
        ),
        (lambda: kernels.restore(np.full((1, 1, 2), 2**60, np.uint64), 3), "padding must be zero"),
        (
            lambda: kernels.restore(np.zeros((1, 9, 2), np.uint64), 3, kernel=3),  # type: ignore[arg-type]
            r"restore: kernel is 3; it must be a pair of ints \(height, width\), at least 1",
        ),
        (
            lambda: kernels.restore(np.zeros((1, 9, 2), np.uint64), 3, kernel=(3, 3, 3)),  # type: ignore[arg-type]
            r"restore: kernel is \(3, 3, 3\); it must be a pair of ints",
        ),
        (
            lambda: kernels.weight_sums(kernels.prepare(np.ones((1, 2, 3, 3))), size=6),  # type: ignore[arg-type]
            r"weight_sums: size is 6; it must be a pair of ints \(height, width\), at least 1",
        ),
        (
            lambda: kernels.weight_sums(kernels.prepare(np.ones((1, 2, 3, 3))), (2, 6)),
            "weight_sums: a window of 3 x 3 does not fit into the image, 2 x 6 with its padding",
        ),
        (lambda: kernels.weight_sums(raw(1, 2), (6, 6)), "weight_sums: weights are a ndarray; they must be packed"),
        (
            lambda: kernels.linear(ones(2, 4), kernels.prepare(np.ones((3, 4))), None),  # type: ignore[arg-type]
            r"linear: threshold is a NoneType; it must be a Threshold \(fold\)",
        ),
        (
            lambda: kernels.conv2d(ones(1, 4, 4, 2), kernels.prepare(np.ones((1, 2, 3, 3))), threshold=raw(1)),
            r"conv2d: threshold is a ndarray; it must be a Threshold \(fold\)",
        ),
        (
            lambda: kernels.conv2d(ones(1, 4, 4, 2), kernels.prepare(np.ones((1, 2, 3, 3))), groups=2),
            "conv2d: groups is 2; it must be 1",
        ),
        (
            lambda: kernels.conv2d(ones(1, 4, 4, 2), kernels.prepare(np.ones((1, 2, 3, 3))), dilation=(2, 1)),
            r"conv2d: dilation is \(2, 1\); it must be 1",
        ),
        (
            lambda: kernels.conv2d(ones(1, 4, 4, 4), kernels.prepare(np.ones((1, 2, 3, 3)))),
            r"x is \(1, 4, 4, 4\); it must be \[b, h, w, 2\] for these weights \(one group\)",
        ),
        (lambda: registry.backend("gpu"), "no backend 'gpu'; there are reference, cpu, cupy"),
    ],
)
def test_mistakes_name_the_argument_and_what_was_expected(call: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_a_backend_that_is_missing_fails_loudly() -> None:
    for name, available, detail in kernels.backends():
        assert detail
        if not available:
            with pytest.raises(RuntimeError, match=f"backend '{name}' cannot compute here: "):
                kernels.prepare(np.ones((2, 2)), backend=name)


def test_the_choice_of_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = np.ones((2, 2))
    assert kernels.prepare(weights).backend == "cpu"
    monkeypatch.setenv("BNNBENCH_KERNELS", "reference")
    assert kernels.prepare(weights).backend == "reference"
    with kernels.use_backend("cpu"):
        assert kernels.prepare(weights).backend == "cpu"
        assert kernels.prepare(weights, backend="reference").backend == "reference"


def test_packed_weights_are_32_times_smaller() -> None:
    weights = np.ones((4096, 4096), np.float32)
    assert weights.nbytes / kernels.prepare(weights).nbytes == 32


@pytest.mark.parametrize("at_least", [-(2**63), -(2**31), -(2**30), 2**30, 2**31 - 1, 2**63 - 1])
def test_thresholds_beyond_every_product(backend: str, at_least: int) -> None:
    x, w = kernels.pack(np.ones((2, 70))), kernels.prepare(np.ones((3, 70)))
    planes = kernels.bit_planes(np.full((2, 70), 200, np.uint8))
    for operand in (x, planes):
        bits = kernels.linear(operand, w, threshold(np.full(3, at_least, np.int64)))
        assert np.array_equal(kernels.unpack(bits) == 1, np.full((2, 3), at_least < 0))


@pytest.mark.parametrize("dtype", [">f4", ">f8", "g"])
def test_foreign_floats_are_packed(backend: str, dtype: str) -> None:
    x = np.random.default_rng(0).standard_normal((3, 70)).astype(dtype)
    assert np.array_equal(kernels.unpack(kernels.pack(x)), sign(x))


def test_a_forked_child_computes() -> None:
    rng = np.random.default_rng(0)
    x, w = kernels.pack(rng.standard_normal((512, 2048))), kernels.prepare(rng.standard_normal((512, 2048)))
    expected = kernels.matmul(x, w)  # large enough for threads, which a child does not inherit
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(kernels.matmul(x, w), expected) else 1)
    import time

    deadline = time.monotonic() + 60
    while (done := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > deadline:
            os.kill(child, 9)
            os.waitpid(child, 0)
            raise AssertionError("the child hangs")
        time.sleep(0.05)
    assert done[1] == 0
