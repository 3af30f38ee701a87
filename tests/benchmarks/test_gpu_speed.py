"""Binary products on a GPU beside cuBLAS and the paper's own pair: `pytest -m gpu --benchmark tests/benchmarks`.

Times are medians of CUDA events around single launches after warm-up, on random bits; every product is checked first.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from interleave import OURS

from bnnbench import kernels
from bnnbench.kernels.cuda import backend, launch, naive
from bnnbench.kernels.cuda.compile import KERNELS
from bnnbench.kernels.cuda.device import probe

AVAILABLE, REASON = probe()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not AVAILABLE, reason=REASON)]
REPEATS = 20


def seconds(call: Callable[[], Any], repeats: int) -> float:
    """Median GPU time of a call."""
    from cupyx.profiler import benchmark

    return float(np.median(benchmark(call, (), n_repeat=repeats, n_warmup=3).gpu_times))


def measure(benchmark: Any, candidates: dict[str, Callable[[], Any]], ops: float) -> None:
    repeats = 1 if benchmark.disabled else REPEATS
    spent = {name: seconds(call, repeats) for name, call in candidates.items()}
    found = {name: {"seconds": s, "gops": ops / s / 1e9, "ratio": s / spent[OURS]} for name, s in spent.items()}
    benchmark.extra_info.update({"gpu": found, "ops": ops, "backend": REASON})
    benchmark.pedantic(candidates[OURS], rounds=3)


@pytest.mark.parametrize("size", [1024, 2048, 4096, 8192])
def test_gpu_gemm(benchmark: Any, size: int) -> None:
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
    }
    arch, _ = launch.here()
    for path in ("wgmma", "mma", "carry_save"):
        if arch in KERNELS[path].arches:
            candidates[f"path {path}"] = lambda path=path: backend.dense(words, w, bits, path=path)  # type: ignore[misc]
    if size <= 4096:
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
