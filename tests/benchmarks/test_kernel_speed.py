"""Binary kernels beside what else a user can install: one thread, CPU time, interleaved; checked before it is timed.

Plain `pytest` runs everything once; `pytest --benchmark` measures, and `snakemake kernels` brings it into the report.
"""

import json
import os
import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from interleave import OURS, summary
from targets import held_against

from bnnbench import kernels
from bnnbench.binary.layers import BinaryActivation, BinaryLinear
from bnnbench.binary.packed import PackedNet
from bnnbench.harness.stopwatch import interleaved, timed
from bnnbench.kernels import Threshold
from bnnbench.kernels.cpu import naive
from bnnbench.kernels.cpu.limit import peak_ops
from bnnbench.kernels.cpu.target import describe

ROUNDS = 9
LARQ = os.environ.get("LARQ_PYTHON")
ONEDNN = "oneDNN int8, prepacked"


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[int]:
    """Restricts torch and Numba to one thread; gives how many they had."""
    import numba

    before = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    yield before[1]
    torch.set_num_threads(before[0])
    numba.set_num_threads(before[1])


@cache
def limit() -> float:
    """Measured in the same session, on the same machine."""
    return peak_ops()


def sized(benchmark: Any, n: int) -> int:
    """`n`, or a sixteenth of it (128 at least) where a benchmark only runs as a test that it works."""
    return max(128, n // 16) if benchmark.disabled else n


LOOP = 8.0  # Gops/s, which a product of matrices by a plain loop does not reach on one core


@cache
def by_loops() -> frozenset[str]:
    """Peers that torch computes by a plain loop, for lack of instructions on this machine: the largest take minutes."""
    ones = torch.ones(256, 256)
    half, whole = ones.bfloat16(), ones.to(torch.int8)
    products: dict[str, Callable[[], Any]] = {
        "torch bfloat16": lambda: half @ half,
        "torch _int_mm": lambda: torch._int_mm(whole, whole),
    }
    seconds = {name: min(timed(product) for _ in range(3)) for name, product in products.items()}
    return frozenset(name for name, best in seconds.items() if 2 * 256**3 / best < 1e9 * LOOP)


def is_measured(benchmark: Any, name: str) -> bool:
    """Whether a peer takes part: always where a benchmark only runs as a test."""
    return benchmark.disabled or name not in by_loops()


def measure(
    benchmark: Any,
    candidates: Mapping[str, Callable[[], Any]],
    ops: float,
    rounds: int = ROUNDS,
    clock: Callable[[], float] = time.thread_time,
    threads: int = 1,
) -> None:
    chosen = {name: candidate for name, candidate in candidates.items() if is_measured(benchmark, name)}
    if left_out := sorted(candidates.keys() - chosen.keys()):
        benchmark.extra_info["left_out"] = left_out
    record(benchmark, interleaved(chosen, 1 if benchmark.disabled else rounds, clock), ops, threads)
    benchmark.pedantic(candidates[OURS], rounds=3)


def record(benchmark: Any, spent: Mapping[str, list[float]], ops: float, threads: int = 1) -> None:
    found = summary(spent, ops, limit() * threads)
    benchmark.extra_info.update(
        {"candidates": found, "ops": ops, "limit_gops": limit() / 1e9, "threads": threads, "backend": describe()}
    )
    benchmark.extra_info.update(held_against(benchmark.group))


def signs(rng: np.random.Generator, *shape: int) -> torch.Tensor:
    return torch.from_numpy(rng.choice(np.array([-1, 1], np.float32), shape))


def int8(x: torch.Tensor) -> torch.Tensor:
    return x.to(torch.int8)


def onednn_int8(a: torch.Tensor, b: torch.Tensor) -> dict[str, Callable[[], Any]]:
    """torch's quantized linear layer on oneDNN with weights packed beforehand: the strongest int8 peer of a CPU."""
    if "onednn" not in torch.backends.quantized.supported_engines:
        return {}
    torch.backends.quantized.engine = "onednn"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch plans to move these operations elsewhere
        x = torch.quantize_per_tensor(a, 1.0, 128, torch.quint8)
        packed = torch.ops.quantized.linear_prepack(torch.quantize_per_tensor(b, 1.0, 0, torch.qint8), None)
    return {ONEDNN: lambda: torch.ops.quantized.linear(x, packed, 64.0, 128)}


def onnx_uint8(a: torch.Tensor, b: torch.Tensor) -> dict[str, Callable[[], Any]]:
    """onnxruntime's MatMulInteger, unsigned by signed constants (its signed by signed path is far slower)."""
    try:
        import onnx
        import onnxruntime
    except ImportError:  # not on every platform that torch has
        return {}
    helper, kinds = onnx.helper, onnx.TensorProto
    weights = onnx.numpy_helper.from_array(b.T.contiguous().to(torch.int8).numpy(), "w")
    node = helper.make_node("MatMulInteger", ["x", "w"], ["y"])
    x = helper.make_tensor_value_info("x", kinds.UINT8, tuple(a.shape))
    y = helper.make_tensor_value_info("y", kinds.INT32, (len(a), len(b)))
    graph = helper.make_graph([node], "product", [x], [y], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    fed = {"x": (a > 0).to(torch.uint8).numpy()}  # 0 and 1: 2 y - sum of w is the product of signs
    sums = b.sum(dim=1).to(torch.int32).numpy()
    assert np.array_equal(2 * session.run(None, fed)[0] - sums, (a @ b.T).numpy())
    return {"onnxruntime uint8": lambda: session.run(None, fed)}


def threshold(n: int) -> Threshold:
    return Threshold(np.zeros(n, np.int32), np.zeros(n, bool))


def naive_candidates(a: torch.Tensor, b: torch.Tensor) -> dict[str, Callable[[], Any]]:
    """Equally naive loops over floats and over words: the pair of the paper's Figure 3, on a CPU."""
    x, w = a.numpy(), b.numpy()
    px, pw = kernels.pack(x).words, kernels.pack(w).words
    return {
        "naive float": lambda: naive.float_matmul(x, w),
        "naive xnor": lambda: naive.xnor_matmul(px, pw, x.shape[1]),
    }


@pytest.mark.parametrize("size", [1024, 2048, 4096, 8192])
def test_gemm(benchmark: Any, size: int, request: pytest.FixtureRequest) -> None:
    if size > 4096 and not request.config.getoption("--full"):
        pytest.skip("takes a minute: add --full")
    benchmark.group = f"gemm {size}"
    size = sized(benchmark, size)
    rng = np.random.default_rng(0)
    a, b = signs(rng, size, size), signs(rng, size, size)
    x, w, t = kernels.pack(a), kernels.prepare(b), threshold(size)
    expected = a @ b.T
    assert torch.equal(kernels.matmul(x, w).float(), expected)
    bits = kernels.unpack(kernels.linear(x, w, t))
    assert torch.equal(bits, torch.where(expected >= 0, 1.0, -1.0))
    half_a, half_b = a.bfloat16(), b.T.contiguous().bfloat16()
    int_a, int_b = int8(a), int8(b).T
    transposed = b.T.contiguous()
    candidates: dict[str, Callable[[], Any]] = {
        OURS: lambda: kernels.linear(x, w, t),
        "ours, int32": lambda: kernels.matmul(x, w),
        "ours, packing both": lambda: kernels.linear(kernels.pack(a), kernels.prepare(b), t),
        "torch float32": lambda: a @ transposed,
        "torch bfloat16": lambda: half_a @ half_b,
        "torch _int_mm": lambda: torch._int_mm(int_a, int_b),
        **onednn_int8(a, b),
        **onnx_uint8(a, b),
    }
    measure(benchmark, candidates, 2.0 * size**3, rounds=ROUNDS if size < 4096 else 3)


AVX2 = {
    "NUMBA_CPU_NAME": "x86-64",
    "NUMBA_CPU_FEATURES": "+sse4.2,+popcnt,+avx,+avx2,+bmi,+bmi2,+fma",
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="AVX2 is of x86")
def test_gemm_avx2(benchmark: Any, tmp_path: Path) -> None:
    """A processor without AVX-512, on any: ours and torch restricted to AVX2 in a process of their own."""
    benchmark.group = "AVX2 only, gemm 2048"
    rounds = 1 if benchmark.disabled else ROUNDS
    script = Path(__file__).with_name("avx2_gemm.py")
    environment = os.environ | AVX2 | {"NUMBA_CACHE_DIR": str(tmp_path)}
    size = sized(benchmark, 2048)
    command = [sys.executable, str(script), str(rounds), str(size)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["lanes"] == 4
    record(benchmark, found["spent"], 2.0 * size**3)
    benchmark.pedantic(lambda: None)


def test_all_threads(benchmark: Any, one_thread: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wall time on all threads, which other work on the machine disturbs: its load is recorded beside it."""
    import numba

    threads = one_thread
    monkeypatch.setenv("BNNBENCH_THREADS", str(threads))
    torch.set_num_threads(threads)
    numba.set_num_threads(threads)
    benchmark.group = "all threads, gemm 4096"
    size, rng = sized(benchmark, 4096), np.random.default_rng(0)
    a, b = signs(rng, size, size), signs(rng, size, size)
    x, w, t = kernels.pack(a), kernels.prepare(b), threshold(size)
    half_a, half_b, int_a, int_b = a.bfloat16(), b.T.contiguous().bfloat16(), int8(a), int8(b).T
    candidates: dict[str, Callable[[], Any]] = {
        OURS: lambda: kernels.linear(x, w, t),
        "torch float32": lambda: a @ b.T,
        "torch bfloat16": lambda: half_a @ half_b,
        "torch _int_mm": lambda: torch._int_mm(int_a, int_b),
    }
    benchmark.extra_info["load"] = os.getloadavg()[0]
    measure(benchmark, candidates, 2.0 * size**3, rounds=3, clock=time.perf_counter, threads=threads)


def test_naive(benchmark: Any) -> None:
    """The comparison of the paper, with the library's product and ours beside it."""
    benchmark.group = "naive 1024"
    size, rng = sized(benchmark, 1024), np.random.default_rng(0)
    a, b = signs(rng, size, size), signs(rng, size, size)
    x, w = kernels.pack(a), kernels.prepare(b)
    transposed = b.T.contiguous()
    candidates: dict[str, Callable[[], Any]] = {
        OURS: lambda: kernels.matmul(x, w),
        "torch float32": lambda: a @ transposed,
        **naive_candidates(a, b),
    }
    measure(benchmark, candidates, 2.0 * size**3)


@pytest.mark.parametrize("batch", [1, 16, 64, 256])
def test_linear(benchmark: Any, batch: int) -> None:
    benchmark.group = f"linear 4096 x 4096, batch {batch}"
    size, rng = sized(benchmark, 4096), np.random.default_rng(0)
    a, b = signs(rng, batch, size), signs(rng, size, size)
    x, w, t = kernels.pack(a), kernels.prepare(b), threshold(size)
    assert torch.equal(kernels.matmul(x, w).float(), a @ b.T)
    half_a, half_b, int_a, int_b = a.bfloat16(), b.bfloat16(), int8(a), int8(b).T
    candidates: dict[str, Callable[[], Any]] = {
        OURS: lambda: kernels.linear(x, w, t),
        "torch float32": lambda: torch.nn.functional.linear(a, b),
        "torch bfloat16": lambda: torch.nn.functional.linear(half_a, half_b),
        "torch _int_mm": lambda: torch._int_mm(int_a, int_b),
        **onednn_int8(a, b),
        **onnx_uint8(a, b),
    }
    measure(benchmark, candidates, 2.0 * batch * size**2, rounds=15)


@pytest.mark.parametrize("batch", [1, 64, 1000])
def test_mlp(benchmark: Any, batch: int) -> None:
    """The paper's MNIST net, 784-4096-4096-4096-10, from 8-bit pixels to classes."""
    benchmark.group = f"mlp, batch {batch}"
    generator = torch.Generator().manual_seed(0)
    layers: list[torch.nn.Module] = []
    width = sized(benchmark, 4096)
    sizes = ((784, width), (width, width), (width, width), (width, 10))
    for fan_in, fan_out in sizes:
        layer = BinaryLinear(fan_in, fan_out)
        layer.reset_parameters(generator)
        norm = torch.nn.BatchNorm1d(fan_out)
        assert norm.running_mean is not None
        norm.running_mean.normal_(0, 20, generator=generator)
        layers += [layer, norm, BinaryActivation()]
    net = torch.nn.Sequential(*layers[:-1]).eval()
    packed = PackedNet.from_module(net)
    pixels = np.random.default_rng(0).integers(0, 256, (batch, 784), np.uint8)
    with torch.no_grad():
        for module in net:
            if isinstance(module, BinaryLinear):  # the peer gets its binary weights for free
                module.weight.data = module.binary_weight()
        x = torch.from_numpy(pixels).float() * (2 / 255) - 1
        plain = torch.nn.Sequential(*(_plain(module) for module in net)).eval()
        half, half_x = _copy(plain).bfloat16(), x.bfloat16()
        exact = _copy(plain).double()(torch.from_numpy(pixels).double() * (2 / 255) - 1)
        assert np.array_equal(exact.argmax(1).numpy(), packed.predict(pixels))
        candidates: dict[str, Callable[[], Any]] = {
            OURS: lambda: packed.predict(pixels),
            "torch float32": lambda: plain(x),
            "torch bfloat16": lambda: half(half_x),
        }
        if is_measured(benchmark, "torch _int_mm"):
            candidates["torch _int_mm"] = _int8_net(net, x)
        measure(
            benchmark,
            candidates,
            2.0 * batch * sum(fan_in * fan_out for fan_in, fan_out in sizes),
            rounds=5 if batch > 64 else 15,
        )


def _int8_net(net: torch.nn.Sequential, x: torch.Tensor) -> Callable[[], torch.Tensor]:
    """The first layer in float32, the others on signs in int8 with thresholds: what a user of torch would write."""
    first, *others = [module.weight.data for module in net if isinstance(module, BinaryLinear)]
    norms = [module for module in net if isinstance(module, torch.nn.BatchNorm1d)]
    hidden, last = [int8(weight).T for weight in others[:-1]], int8(others[-1]).T
    means = [norm.get_buffer("running_mean") for norm in norms]  # gamma 1, beta 0: what the sign compares with

    def forward() -> torch.Tensor:
        h = torch.nn.functional.linear(x, first) >= means[0]
        for weight, mean in zip(hidden, means[1:-1], strict=True):
            h = torch._int_mm(int8(h).mul_(2).sub_(1), weight) >= mean
        outputs: torch.Tensor = norms[-1](torch._int_mm(int8(h).mul_(2).sub_(1), last).float())
        return outputs

    assert torch.equal(forward().argmax(1), net(x).argmax(1))
    return forward


def _plain(module: torch.nn.Module) -> torch.nn.Module:
    if not isinstance(module, BinaryLinear):
        return module
    dense = torch.nn.Linear(module.weight.shape[1], module.weight.shape[0], bias=False)
    dense.weight.data = module.weight.data.clone()
    return dense


def _copy(net: torch.nn.Sequential) -> torch.nn.Sequential:
    import copy

    return copy.deepcopy(net)


SHAPES = {"128-128 @32": (128, 128, 32), "256-256 @16": (256, 256, 16), "512-512 @8": (512, 512, 8)}


@pytest.mark.parametrize("shape", SHAPES)
def test_conv(benchmark: Any, shape: str) -> None:
    """The CIFAR-10 net's 3x3 convolutions with zero padding, batch 32."""
    benchmark.group = f"conv {shape}, batch 32"
    channels_in, channels_out, side = SHAPES[shape]
    batch = 2 if benchmark.disabled else 32
    rng = np.random.default_rng(0)
    a, b = signs(rng, batch, channels_in, side, side), signs(rng, channels_out, channels_in, 3, 3)
    x, w, t = kernels.pack(a.permute(0, 2, 3, 1)), kernels.prepare(b), threshold(channels_out)
    expected = torch.nn.functional.conv2d(a, b, padding=1).permute(0, 2, 3, 1)
    assert torch.equal(kernels.conv2d(x, w, padding=1).float(), expected)
    last_a = a.contiguous(memory_format=torch.channels_last)  # the layout that is faster for every peer here
    last_b = b.contiguous(memory_format=torch.channels_last)
    half_a, half_b = last_a.bfloat16(), last_b.bfloat16()
    candidates: dict[str, Callable[[], Any]] = {
        OURS: lambda: kernels.conv2d(x, w, padding=1, threshold=t),
        "torch float32": lambda: torch.nn.functional.conv2d(last_a, last_b, padding=1),
        "torch bfloat16": lambda: torch.nn.functional.conv2d(half_a, half_b, padding=1),
    }
    measure(benchmark, candidates, 2.0 * batch * side**2 * channels_in * channels_out * 9, rounds=5)


@pytest.mark.skipif(LARQ is None, reason="LARQ_PYTHON names no Python with larq-compute-engine (docs/kernels.md)")
def test_conv_against_larq(benchmark: Any) -> None:
    """Two 3x3 convolutions of 256 channels at 16 x 16, batch 1, padded with +1. Its fast kernels are for Arm only."""
    benchmark.group = "two conv 256-256 @16, batch 1"
    rng = np.random.default_rng(0)
    a = kernels.pack(signs(rng, 1, 16, 16, 256))
    first, second = (kernels.prepare(signs(rng, 256, 256, 3, 3)) for _ in range(2))
    t = threshold(256)

    def ours() -> Any:
        return kernels.conv2d(kernels.conv2d(a, first, padding=1, pad=1, threshold=t), second, padding=1, pad=1)

    command = [str(LARQ), str(Path(__file__).with_name("larq_peer.py"))]
    spent: dict[str, list[float]] = {OURS: [], "larq-compute-engine": []}
    ours()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as peer:
        assert peer.stdin is not None
        assert peer.stdout is not None
        assert peer.stdout.readline() == "ready\n"
        for _ in range(1 if benchmark.disabled else ROUNDS):
            spent[OURS].append(timed(ours))
            print(file=peer.stdin, flush=True)
            spent["larq-compute-engine"].append(float(peer.stdout.readline()))
        peer.stdin.close()
    record(benchmark, spent, 2 * 2.0 * 16**2 * 256 * 256 * 9)
    benchmark.pedantic(ours, rounds=3)


@pytest.mark.parametrize("size", [1024, 4096])
def test_pack(benchmark: Any, size: int) -> None:
    benchmark.group = f"pack {size} x {size} float32"
    size = sized(benchmark, size)
    x = np.random.default_rng(0).standard_normal((size, size), dtype=np.float32)
    assert np.array_equal(kernels.pack(x).words.view(np.uint8), np.packbits(x >= 0, axis=1, bitorder="little"))
    candidates: dict[str, Callable[[], Any]] = {
        OURS: lambda: kernels.pack(x),
        "numpy.packbits": lambda: np.packbits(x >= 0, axis=1, bitorder="little"),
    }
    measure(benchmark, candidates, float(x.nbytes), rounds=25)
