"""Kernel timings that pytest-benchmark wrote, as rows of the tidy table, and the targets they are held against."""

from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from bnnbench.errors import UserError
from bnnbench.harness.claim import Evidence
from bnnbench.harness.files import read_json
from bnnbench.harness.plan import Plan

OURS = "ours"


@dataclass(frozen=True)
class Timing:
    """One candidate of one group of interleaved measurements."""

    group: str
    candidate: str
    seconds: float
    gops: float
    ratio: float
    ratio_low: float
    ratio_high: float
    of_limit: float


@dataclass(frozen=True)
class Target:
    """What ours should reach: at least `bound` times a peer's speed, or at least this share of the limit (no peer)."""

    name: str
    statement: str
    groups: tuple[str, ...]
    bound: float
    peer: str = ""
    candidate: str = OURS


GEMM = ("gemm 1024", "gemm 2048", "gemm 4096")
MLP = ("mlp, batch 1", "mlp, batch 64", "mlp, batch 1000")
CONV = ("conv 128-128 @32, batch 32", "conv 256-256 @16, batch 32", "conv 512-512 @8, batch 32")
TARGETS = (
    Target("C1", "fused product, share of the limit", GEMM, 0.8),
    Target("C2", "int32 product, share of the limit", GEMM[1:], 0.7, candidate="ours, int32"),
    Target("C3", "fused product against torch float32", GEMM, 10, "torch float32"),
    Target("C4", "fused product against torch bfloat16", GEMM[1:], 2, "torch bfloat16"),
    Target("C4", "fused product against torch._int_mm", GEMM[1:], 2, "torch _int_mm"),
    *(
        Target("C5", "fused product against prepacked oneDNN int8", (group,), bound, "oneDNN int8, prepacked")
        for group, bound in (
            ("linear 4096 x 4096, batch 1", 5),
            ("linear 4096 x 4096, batch 64", 2),
            ("gemm 4096", 1.1),
        )
    ),
    Target("C6", "MLP against torch float32", MLP, 9, "torch float32"),
    Target("C6", "MLP against torch._int_mm", MLP, 3, "torch _int_mm"),
    Target("C7", "convolutions against torch float32", CONV, 10, "torch float32"),
    Target("C7", "convolutions against torch bfloat16", CONV, 1.2, "torch bfloat16"),
    Target(
        "C8",
        "packing against numpy.packbits",
        ("pack 1024 x 1024 float32", "pack 4096 x 4096 float32"),
        1.4,
        "numpy.packbits",
    ),
    Target("C9", "restricted to AVX2, against torch float32", ("AVX2 only, gemm 2048",), 5, "torch float32, AVX2"),
    Target("G-lim", "fused product on the GPU, share of its b1 limit", ("gpu gemm 8192",), 0.75),
    *(
        Target(name, f"fused product on the GPU against {peer}", ("gpu gemm 8192",), bound, peer)
        for name, peer, bound in (
            ("G-fp32", "cuBLAS float32", 70),
            ("G-tf32", "cuBLAS TF32", 10),
            ("G-fp16", "cuBLAS float16", 5),
            ("G-int8", "cuBLASLt int8", 2.5),
            ("G-paper", "naive float", 1000),
            ("G-paper", "naive xnor", 25),
        )
    ),
    Target("G-mlp", "MLP on the GPU against float16", ("gpu mlp, batch 10000",), 3, "cuBLAS float16"),
    Target("G-mlp", "MLP on the GPU against float32", ("gpu mlp, batch 10000",), 30, "cuBLAS float32"),
    Target("C10", "against larq-compute-engine", ("two conv 256-256 @16, batch 1",), 10, "larq-compute-engine"),
)


def path(plan: Plan) -> Path:
    """Where the workflow keeps the timings of a scale."""
    return plan.config.folder() / "kernels" / "benchmarks.json"


def read(path: Path) -> list[Timing]:
    """The timings in a file of pytest-benchmark; none where there is no file."""
    if not path.exists():
        return []
    try:
        groups = read_json(path)["benchmarks"]
        found = [_timing(group["group"], name, one) for group in groups for name, one in _candidates(group).items()]
        if not _about(path) and found:
            raise KeyError("limit_gops")
        return found
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not timings of bnnbench ({error!r}); delete it and run: snakemake kernels") from error


def _candidates(group: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = group["extra_info"].get("candidates", {})
    return found


def _timing(group: str, name: str, one: dict[str, Any]) -> Timing:
    numbers = [float(value) for value in (one["seconds"], one["gops"], *one["ratio"], one["of_limit"])]
    if not all(isfinite(value) for value in numbers) or min(numbers[:2]) <= 0:
        raise ValueError(f"{group}, {name}: {numbers}")
    return Timing(str(group), str(name), *numbers)


def about(path: Path) -> dict[str, Any]:
    """Machine, backend and measured limit of a file of timings that `read` takes."""
    return _about(path) if path.exists() else {}


def _about(path: Path) -> dict[str, Any]:
    content = read_json(path)
    infos = [group["extra_info"] for group in content["benchmarks"] if "limit_gops" in group["extra_info"]]
    cpu = str(content.get("machine_info", {}).get("cpu", {}).get("brand_raw", ""))
    limit = float(infos[0]["limit_gops"]) if infos else 0.0
    return {"cpu": cpu, "backend": str(infos[0]["backend"]), "limit_gops": limit, "threads": 1} if infos else {}


def judged(timings: list[Timing]) -> list[tuple[Target, str, Evidence]]:
    """Each target in each of its groups: reached, missed, or within the noise."""
    by_place = {(timing.group, timing.candidate): timing for timing in timings}
    found = []
    for target in TARGETS:
        for group in target.groups:
            timing = by_place.get((group, target.peer or target.candidate))
            if timing is not None:
                found.append((target, group, _evidence(target, timing)))
    return found


def _evidence(target: Target, timing: Timing) -> Evidence:
    if not target.peer:
        verdict = "reproduced" if timing.of_limit >= target.bound else "contradicted"
        return Evidence(verdict, f"{timing.of_limit:.0%} (at least {target.bound:.0%})")  # type: ignore[arg-type]
    low, high = timing.ratio_low, timing.ratio_high
    verdict = "reproduced" if low >= target.bound else "contradicted" if high < target.bound else "inconclusive"
    text = f"{timing.ratio:.1f}x [{low:.1f}, {high:.1f}] (at least {target.bound:g}x)"
    return Evidence(verdict, text)  # type: ignore[arg-type]


ANCHORS = (
    ("xnor over an equally naive float kernel", "23x", "naive 1024", "naive float", "naive xnor"),
    ("naive xnor over the library's float32 product", "3.4x", "naive 1024", "torch float32", "naive xnor"),
    ("ours over the library's float32 product", "3.4x", "gemm 4096", "torch float32", OURS),
    ("MNIST MLP over float32", "7x", "mlp, batch 1000", "torch float32", OURS),
)


def anchors(timings: list[Timing]) -> list[tuple[str, str, str]]:
    """The speed-ups that the paper prints (on a GTX 750 GPU) beside those of this processor: what, published, here."""
    seconds = {(timing.group, timing.candidate): timing.seconds for timing in timings}
    found = []
    for what, published, group, slow, fast in ANCHORS:
        if (group, slow) in seconds and (group, fast) in seconds:
            found.append((what, published, f"{seconds[group, slow] / seconds[group, fast]:.1f}x"))
    return found


def rows(plan: Plan) -> list[dict[str, Any]]:
    """The timings as rows of the tidy table: paper `kernels`, a group an experiment, a candidate a variant."""
    found = []
    for timing in read(path(plan)):
        numbers = {"seconds": ("s", False), "gops": ("Gops/s", True), "ratio": ("x ours", None), "of_limit": ("", True)}
        for metric, (unit, higher) in numbers.items():
            found.append(
                {
                    "paper": "kernels",
                    "experiment": timing.group,
                    "variant": timing.candidate,
                    "scale": plan.config.scale,
                    "job": f"kernels/{timing.group}/{timing.candidate}",
                    "key": "",
                    "seed": 0,
                    "metric": metric,
                    "value": getattr(timing, metric),
                    "unit": unit,
                    "higher_is_better": higher,
                    "provenance": "measured",
                }
            )
    return found
