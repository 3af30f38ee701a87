"""Binary products on a GPU beside cuBLAS and the paper's own pair: `pytest -m gpu --benchmark tests/benchmarks`.

Times are those between CUDA events around single calls, interleaved, on random bits; products are checked first.
"""

import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from interleave import OURS, summary
from targets import held_against

from bnnbench import kernels
from bnnbench.kernels.cuda import backend, launch, naive
from bnnbench.kernels.cuda.compile import KERNELS
from bnnbench.kernels.cuda.device import probe
from bnnbench.kernels.cuda.graph import Graph
from bnnbench.kernels.cuda.limit import gpu_seconds, rates

AVAILABLE, REASON = probe()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not AVAILABLE, reason=REASON)]
REPEATS = 20


def measure(benchmark: Any, candidates: dict[str, Callable[[], Any]], ops: float) -> None:
    rounds = 1 if benchmark.disabled else REPEATS
    spent: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(rounds + 2):
        for name, call in candidates.items():
            taken = gpu_seconds(call)
            if turn >= 2:  # the first ones compile and allocate
                spent[name].append(taken)
    best = max(limits().values(), default=None)
    found = summary(spent, ops, best)
    benchmark.extra_info.update({"candidates": found, "ops": ops, "backend": REASON, "clock_mhz": clocks()})
    benchmark.extra_info.update(held_against(benchmark.group))
    benchmark.pedantic(candidates[OURS], rounds=3)


def clocks() -> int | None:
    """Clock of the multiprocessors of the first GPU in MHz, where nvidia-smi tells."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    query = [tool, "--query-gpu=clocks.sm", "--format=csv,noheader,nounits"]
    answer = subprocess.run(query, capture_output=True, text=True, check=False).stdout.splitlines()
    return int(answer[0]) if answer and answer[0].isdigit() else None


@cache
def limits() -> dict[str, float]:
    """Rates of the b1 instructions on random bits, in the same session."""
    return rates()


@pytest.mark.parametrize("bits", ["random", "zero"])
def test_gpu_limit(benchmark: Any, bits: str) -> None:
    """What the instructions give on operands at hand; zero bits take less power, so the clock stays higher."""
    benchmark.group = f"gpu limit, {bits} bits"
    found = {form: rate / 1e9 for form, rate in rates(bits == "random").items()}
    benchmark.extra_info.update({"gpu_limit_gops": found, "clock_mhz": clocks(), "backend": REASON})
    benchmark.pedantic(lambda: rates(bits == "random", repeats=1), rounds=1)


def torch_peers(a: Any, b: Any) -> dict[str, Callable[[], Any]]:
    """cuBLAS in TF32 and cuBLASLt in int8, which CuPy does not reach; none where torch has no CUDA."""
    import torch

    if not torch.cuda.is_available():
        return {}
    x, w = (torch.utils.dlpack.from_dlpack(array) for array in (a, b))
    int_x, int_w, right = x.to(torch.int8), w.to(torch.int8).T, w.T.contiguous()

    def tf32() -> Any:
        torch.backends.cuda.matmul.allow_tf32 = True
        return x @ right

    return {"cuBLAS TF32": tf32, "cuBLASLt int8": lambda: torch._int_mm(int_x, int_w)}


@pytest.mark.parametrize("size", [1024, 2048, 4096, 8192])
def test_gpu_gemm(benchmark: Any, size: int, pytestconfig: pytest.Config) -> None:
    """Every path of this chip, fused and int32, with packing, against cuBLAS in float32 and float16."""
    import cupy

    benchmark.group = f"gpu gemm {size}"
    rng = np.random.default_rng(0)
    a, b = (cupy.asarray(rng.choice(np.array([-1, 1], np.float32), (size, size))) for _ in range(2))
    x, w = kernels.pack(a), kernels.prepare(b)
    expected = (a.astype(cupy.float16) @ b.T.astype(cupy.float16)).astype(cupy.int32) if size <= 2048 else None
    if expected is not None:  # sums up to 2,048 are exact in float16
        assert bool((kernels.matmul(x, w) == expected).all())
    words = x.words[None]
    bits = backend.table(np.full((1, size), size // 2), np.zeros(size, bool), 0, None)
    products = backend.table(np.full((1, size), size), None, 2, None)
    half_a, half_b = a.astype(cupy.float16), b.T.astype(cupy.float16)
    candidates: dict[str, Callable[[], Any]] = {
        OURS: lambda: backend.dense(words, w, bits),
        "ours, int32": lambda: backend.dense(words, w, products),
        "ours, packing both": lambda: backend.dense(kernels.pack(a).words[None], kernels.prepare(b), bits),
        "cuBLAS float32": lambda: a @ b.T,
        "cuBLAS float16": lambda: half_a @ half_b,
        **torch_peers(a, b),
    }
    arch, _ = launch.here()
    for path in ("wgmma", "mma", "carry_save"):
        if arch in KERNELS[path].arches:
            candidates[f"path {path}"] = lambda path=path: backend.dense(words, w, bits, path=path)  # type: ignore[misc]
    if size <= 4096 or pytestconfig.getoption("--full"):
        left = x.words.view(np.uint32)
        right = cupy.ascontiguousarray(kernels.pack(b).words.view(np.uint32).T)
        candidates |= {
            "naive float": lambda: naive.float_matmul(a, b),
            "naive xnor": lambda: naive.xnor_matmul(left, right, size),
        }
    measure(benchmark, candidates, 2.0 * size**3)


@pytest.mark.parametrize("batch", [1, 16, 256])
def test_gpu_linear(benchmark: Any, batch: int) -> None:
    """One layer of 4096 x 4096 at small batch, where reading the weights takes the time."""
    import cupy

    benchmark.group = f"gpu linear 4096 x 4096, batch {batch}"
    rng = np.random.default_rng(0)
    a = cupy.asarray(rng.choice(np.array([-1, 1], np.float32), (batch, 4096)))
    b = cupy.asarray(rng.choice(np.array([-1, 1], np.float32), (4096, 4096)))
    words, w = kernels.pack(a).words[None], kernels.prepare(b)
    bits = backend.table(np.full((1, 4096), 2048), np.zeros(4096, bool), 0, None)
    half_a, half_b = a.astype(cupy.float16), b.T.astype(cupy.float16)
    candidates: dict[str, Callable[[], Any]] = {
        OURS: lambda: backend.dense(words, w, bits),
        "cuBLAS float32": lambda: a @ b.T,
        "cuBLAS float16": lambda: half_a @ half_b,
    }
    measure(benchmark, candidates, 2.0 * batch * 4096**2)


@pytest.mark.parametrize("batch", [100, 10_000])
def test_gpu_mlp(benchmark: Any, batch: int) -> None:
    """Hidden and output layers of the paper's MNIST net, 4096-4096-4096-10, packed against float32 and float16."""
    import cupy

    benchmark.group = f"gpu mlp, batch {batch}"
    rng = np.random.default_rng(0)
    shapes = ((4096, 4096), (4096, 4096), (10, 4096))
    dense = [cupy.asarray(rng.choice(np.array([-1, 1], np.float32), shape)) for shape in shapes]
    a = cupy.asarray(rng.choice(np.array([-1, 1], np.float32), (batch, 4096)))
    layers = [kernels.prepare(w) for w in dense]
    bits = backend.table(np.full((1, 4096), 2048), np.zeros(4096, bool), 0, None)
    products = backend.table(np.full((1, 10), 4096), None, 2, None)
    words = kernels.pack(a).words[None]
    packed = Graph(
        [
            lambda x: backend.dense(x, layers[0], bits)[None],
            lambda x: backend.dense(x, layers[1], bits)[None],
            lambda x: backend.dense(x, layers[2], products),
        ],
        words,
    )

    def plain(x: Any, weights: list[Any]) -> Any:
        for w in weights[:-1]:
            x = cupy.where(x @ w.T >= 0, x.dtype.type(1), x.dtype.type(-1))
        return x @ weights[-1].T

    half = [w.astype(cupy.float16) for w in dense]
    assert bool((packed(words) == plain(a, dense)).all())
    candidates: dict[str, Callable[[], Any]] = {
        OURS: lambda: packed(words),
        "cuBLAS float32": lambda: plain(a, dense),
        "cuBLAS float16": lambda: plain(a.astype(cupy.float16), half),
    }
    measure(benchmark, candidates, 2.0 * batch * (2 * 4096**2 + 10 * 4096))
