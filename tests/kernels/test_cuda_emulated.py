"""The CUDA sources themselves, run on the CPU by an emulator: every path, odd sizes, unkind timing."""

import sys
from typing import Any

import numpy as np
import pytest
from cuda_cases import Cases
from cuda_emulator import COMPILER, Emulator

from bnnbench.kernels import Threshold, bit_planes, conv2d, linear, matmul, max_pool, pack, prepare, use_backend
from bnnbench.kernels.cuda import launch

pytestmark = pytest.mark.skipif(COMPILER is None, reason="g++ is missing: it compiles the CUDA sources for the CPU")

PATHS = [
    ("carry_save", "sm_110"),
    ("mma", "sm_75"),
    ("mma", "sm_80"),
    ("mma", "sm_120"),
    ("wgmma", "sm_90a"),
]
K = (0, 1, 63, 64, 65, 127, 128, 129, 255, 256, 257, 1023, 1025)


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = Emulator("sm_90a")
    monkeypatch.setitem(sys.modules, "cupy", made.cupy())
    monkeypatch.setattr(launch, "run", made.run)
    monkeypatch.setattr("bnnbench.kernels.cuda.naive.run", made.run)
    monkeypatch.setattr(launch, "here", made.here)
    yield made
    made.check_margins()


@pytest.fixture
def cases(request: pytest.FixtureRequest) -> Cases:
    return Cases(np.random.default_rng(len(request.node.name)))


@pytest.mark.parametrize(("path", "arch"), PATHS)
def test_products(emulator: Emulator, cases: Cases, path: str, arch: str) -> None:
    emulator.arch = arch
    for i, k in enumerate(K):
        emulator.late = i % 4
        m, n = (int(side) for side in cases.rng.integers(1, 140, 2))
        cases.dense(m, n, k, path=path)
    cases.dense(131, 259, 700, path=path)
    assert set(emulator.launched) <= {path, "ones"}


@pytest.mark.parametrize(("path", "arch"), PATHS)
@pytest.mark.parametrize("late", range(4))
def test_many_stages_in_any_timing(emulator: Emulator, cases: Cases, path: str, arch: str, late: int) -> None:
    emulator.arch, emulator.late = arch, late
    cases.dense(40, 70, 6000, path=path)


@pytest.mark.parametrize(("path", "arch"), [*PATHS[:-1], ("gemv", "sm_80")])
def test_planes(emulator: Emulator, cases: Cases, path: str, arch: str) -> None:
    emulator.arch = arch
    cases.dense(11, 66, 300, planes=8, path=path)
    cases.dense(3, 130, 1500, planes=8, path=path)


@pytest.mark.parametrize("m", [1, 2, 8, 9, 16])
def test_few_rows(emulator: Emulator, cases: Cases, m: int) -> None:
    for n, k in [(1, 1), (65, 129), (200, 5000)]:
        cases.dense(m, n, k)
    assert "gemv" in emulator.launched


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_other_results(emulator: Emulator, cases: Cases, dtype: str) -> None:
    for n in (5, 6):
        cases.dense(3, n, 70, dtype=dtype)
        cases.dense(20, n, 70, dtype=dtype)


@pytest.mark.parametrize(("path", "arch"), PATHS)
def test_convolutions(emulator: Emulator, cases: Cases, path: str, arch: str) -> None:
    emulator.arch = arch
    cases.convolution((2, 6, 7, 70), 33, (3, 3), (1, 1), path=path)
    cases.convolution((1, 7, 5, 130), 64, (3, 2), (2, 1), path=path)
    cases.convolution((3, 4, 4, 200), 130, (1, 1), (2, 3), path=path)
    if path != "wgmma":
        cases.convolution((2, 5, 5, 3), 20, (3, 3), (1, 2), planes=8, path=path)


def test_empty_operands(emulator: Emulator, cases: Cases) -> None:
    for m, n, k in [(0, 5, 7), (5, 0, 7), (20, 5, 0), (0, 0, 0)]:
        cases.dense(m, n, k)
    cases.packing(0, 5, "float32")
    cases.packing(5, 0, "float32")


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_packing(emulator: Emulator, cases: Cases, dtype: str) -> None:
    for m, k in [(1, 1), (3, 64), (5, 1030), (2, 5000), (9, 127)]:
        cases.packing(m, k, dtype)


def test_packing_integers_and_planes(emulator: Emulator, cases: Cases) -> None:
    cases.packing(3, 70, "int8")
    cases.planes(4, 3, 130)
    cases.planes(2, 1100)


def test_pooling(emulator: Emulator, cases: Cases) -> None:
    cases.pooling((2, 6, 8, 70), (2, 2), (2, 2))
    cases.pooling((1, 7, 5, 130), (3, 2), (1, 2))


def test_naive_pair(emulator: Emulator, cases: Cases) -> None:
    for m, n, k in [(1, 1, 1), (17, 33, 70), (16, 16, 1030)]:
        cases.naive_pair(m, n, k)


def test_bfloat16_bits(emulator: Emulator) -> None:
    """NumPy has no bfloat16: the upper halves of float32 numbers are some."""
    x = np.random.default_rng(0).normal(size=(3, 200)).astype(np.float32)
    x[0, :6] = [0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan]
    out = emulator.empty((3, 4), np.uint64)
    upper = np.ascontiguousarray(x.view(np.uint16)[:, 1::2])
    emulator.run("pack", "bfloat16", (1,), (upper, out, np.zeros(1, np.int32), np.int32(3), np.int32(200), np.int32(8)))
    np.testing.assert_array_equal(np.unpackbits(out.view(np.uint8), axis=1, bitorder="little")[:, :200], x >= 0)


@pytest.mark.parametrize("pad", ["zero", 1, -1])
def test_public_operations(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, pad: str | int) -> None:
    """The whole way from the public API to the sources: a small network, the same as by the reference."""
    monkeypatch.setattr("bnnbench.kernels.cuda.device.probe", lambda: (True, "emulated"))
    monkeypatch.setattr("bnnbench.kernels.registry._ready", set())
    monkeypatch.setattr("bnnbench.kernels.api._same_device", lambda *_: None)  # the emulator's device is the host
    rng = np.random.default_rng(0)
    image, x = rng.integers(0, 256, (2, 9, 8, 3), np.uint8), rng.normal(size=(2, 9, 8, 70))
    first, second, last = (
        rng.normal(size=(70, 3, 3, 3)),
        rng.normal(size=(33, 70, 3, 3)),
        rng.normal(size=(10, 33 * 12)),
    )
    limits = [Threshold(rng.integers(-9, 9, n).astype(np.int32), rng.random(n) < 0.5) for n in (70, 33, 10)]

    def network(backend: str) -> list[Any]:
        with use_backend(backend):
            early = conv2d(bit_planes(image), prepare(first), padding=1, threshold=limits[0])
            packed = pack(x)
            middle = conv2d(packed, prepare(second), padding=1, pad=pad, threshold=limits[1])
            values = conv2d(packed, prepare(second), stride=(2, 1), padding=(1, 0), pad=pad)
            pooled = max_pool(middle, 2)
            flat = pack(np.where(np.arange(2 * 33 * 12).reshape(2, -1) % 3, -1.0, 1.0))
            weights = prepare(last)
            dense = linear(flat, weights, limits[2])
            return [early.words, middle.words, values, pooled.words, dense.words, matmul(flat, weights)]

    for found, expected in zip(network("cupy"), network("reference"), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert {"mma", "gemv", "max_pool", "pack", "ones"} <= set(emulator.launched)
