"""The CUDA backend on a real GPU: `pytest -m gpu tests/kernels`."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from cuda_cases import Cases, packed
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bnnbench.kernels.cuda import backend, launch
from bnnbench.kernels.cuda.compile import KERNELS, shipped
from bnnbench.kernels.cuda.device import probe

AVAILABLE, REASON = probe()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not AVAILABLE, reason=REASON)]
PATHS = ("carry_save", "mma", "wgmma", "gemv")
K = st.sampled_from((0, 1, 63, 64, 65, 127, 128, 129, 255, 256, 257)) | st.integers(1, 1100)


@pytest.fixture(autouse=True)
def poisoned(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Outputs start as garbage that no result looks like."""
    import cupy

    plain = cupy.empty

    def empty(*arguments: Any, **options: Any) -> Any:
        found = plain(*arguments, **options)
        found.data.memset_async(0xA5, found.nbytes)
        return found

    monkeypatch.setattr(cupy, "empty", empty)
    yield
    cupy.cuda.Device().synchronize()


def cases(seed: int = 0) -> Cases:
    import cupy

    return Cases(np.random.default_rng(seed), cupy.asarray, cupy.asnumpy)


def here(path: str) -> str:
    arch = launch.here()[0]
    if arch not in KERNELS[path].arches:
        pytest.skip(f"{path} is not for {arch}")
    return arch


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 300), st.integers(1, 300), K, st.integers(0, 2**32 - 1))
@example(300, 300, 9000, 0)
def test_products(path: str, m: int, n: int, k: int, seed: int) -> None:
    here(path)
    cases(seed).dense(min(m, 16) if path == "gemv" else m, n, k, path=path)


@pytest.mark.parametrize("path", ["carry_save", "mma", "gemv"])
@pytest.mark.parametrize("k", [1, 129, 784, 3072])
def test_planes(path: str, k: int) -> None:
    here(path)
    cases().dense(13, 257, k, planes=8, path=path)


@pytest.mark.parametrize("dtype", ["int16", "float32"])
@pytest.mark.parametrize("n", [127, 256])
def test_other_results(n: int, dtype: str) -> None:
    for m in (1, 13, 200):
        cases().dense(m, n, 300, dtype=dtype)


@pytest.mark.parametrize("m", [1, 2, 7, 8, 9, 16, 17])
def test_few_rows(m: int) -> None:
    cases().dense(m, 1000, 4096)


@pytest.mark.parametrize("path", ["carry_save", "mma", "wgmma"])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (2, 1)])
@pytest.mark.parametrize(
    ("shape", "n", "kernel"),
    [
        ((3, 9, 8, 70), 33, (3, 3)),
        ((2, 5, 5, 128), 256, (3, 2)),
        ((9, 7, 7, 300), 130, (1, 1)),
        ((1, 3, 3, 1), 1, (3, 3)),
    ],
)
def test_convolutions(
    path: str, shape: tuple[int, int, int, int], n: int, kernel: tuple[int, int], stride: tuple[int, int]
) -> None:
    here(path)
    cases().convolution(shape, n, kernel, stride, path=path)
    if path != "wgmma":
        cases().convolution(shape, n, kernel, stride, planes=8, path=path)


def test_empty_operands() -> None:
    for m, n, k in [(0, 5, 7), (5, 0, 7), (20, 5, 0), (0, 0, 0)]:
        cases().dense(m, n, k)
    cases().packing(0, 5, "float32")
    cases().packing(5, 0, "float32")


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32"])
@pytest.mark.parametrize("k", [1, 63, 64, 65, 127, 129, 1030, 5000])
def test_packing(k: int, dtype: str) -> None:
    cases().packing(37, k, dtype)


def test_planes_of_integers() -> None:
    cases().planes(4, 3, 130)
    cases().planes(300, 784)


def test_pooling() -> None:
    cases().pooling((5, 32, 32, 128), (2, 2), (2, 2))
    cases().pooling((2, 7, 5, 70), (3, 2), (1, 2))


def test_naive_pair() -> None:
    for m, n, k in [(1, 1, 1), (17, 33, 70), (300, 200, 1030)]:
        cases().naive_pair(m, n, k)


@pytest.mark.parametrize("path", PATHS)
def test_repeated_products_agree(path: str) -> None:
    """Races show as results that differ from one launch to the next."""
    here(path)
    import cupy

    made = cases()
    m, n, k = (16 if path == "gemv" else 1500), 2300, 9000
    words, weights = cupy.asarray(packed(made.bits(1, m, k))), made.weights(made.bits(n, 1, k))
    tables = made.table(np.full((1, n), k), 2), made.table(np.full((1, n), k // 2), 0, np.zeros(n, bool))
    values, bits = (backend.dense(words, weights, table, path=path) for table in tables)
    for _ in range(100):
        assert (backend.dense(words, weights, tables[0], path=path) == values).all()
        assert (backend.dense(words, weights, tables[1], path=path) == bits).all()


def test_the_paths_agree_on_a_large_product() -> None:
    import cupy

    made = cases()
    m, n, k = 1500, 2300, 9000
    words, weights = cupy.asarray(packed(made.bits(1, m, k))), made.weights(made.bits(n, 1, k))
    table = made.table(np.full((1, n), k), 2)
    arch = launch.here()[0]
    paths = [path for path in ("carry_save", "mma", "wgmma") if arch in KERNELS[path].arches]
    found = [backend.dense(words, weights, table, path=path) for path in paths]
    assert all((one == found[0]).all() for one in found)


def test_another_stream() -> None:
    import cupy

    with cupy.cuda.Stream(non_blocking=True):
        cases().dense(200, 300, 1000)
        cases().convolution((3, 9, 8, 70), 33, (3, 3), (1, 1))
        cases().packing(37, 1030, "float32")


def test_a_graph_repeats_its_layers() -> None:
    import cupy

    from bnnbench.kernels.cuda.graph import Graph

    made = cases()
    weights = [made.weights(made.bits(n, 1, k)) for n, k in ((500, 784), (10, 500))]
    bits, products = made.table(np.full((1, 500), 392), 0, np.zeros(500, bool)), made.table(np.full((1, 10), 500), 2)
    layers = (
        lambda x: backend.dense(x, weights[0], bits)[None],
        lambda x: backend.dense(x, weights[1], products),
    )
    inputs = [cupy.asarray(packed(made.bits(1, 3, 784))) for _ in range(3)]
    graph = Graph(layers, inputs[0])
    for x in inputs:
        expected = layers[1](layers[0](x))
        assert (graph(x) == expected).all()


def test_every_variant_for_this_chip_loads() -> None:
    import cupy

    arch, device = launch.here()[0], cupy.cuda.Device().id
    for name, variant, target in shipped():
        if target == arch:
            for entry in ("naive_float", "naive_xnor") if name == "naive" else (name,):
                launch._function(device, name, variant, arch, entry)
