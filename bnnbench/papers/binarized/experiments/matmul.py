"""Binary and real matrix products (Section 3.2, Figure 3): the paper's naive pair, the library's product, and ours."""

from collections.abc import Callable
from typing import Any

from pydantic import PositiveInt

from bnnbench.harness.experiment import Metric, Outcome, Params, experiment
from bnnbench.harness.run import Run

METRICS = (
    Metric("seconds_baseline", "s", False, "equally naive kernel on float32"),
    Metric("seconds_library", "s", False, "torch's product in float32 (BLAS)"),
    Metric("seconds_naive_xnor", "s", False, "naive kernel on bits, packing of both operands included"),
    Metric("seconds_xnor", "s", False, "bnnbench's kernel on bits, packing of both operands included"),
    Metric("naive_over_baseline", "x", True, "naive kernel on bits over the equally naive one on float32"),
    Metric("naive_over_library", "x", True, "naive kernel on bits over the library"),
    Metric("xnor_over_library", "x", True, "bnnbench's kernel over the library"),
    Metric("mismatches", "", False, "elements in which any product differs from the library's"),
)


class Matmul(Params):
    """Parameters of `binarized/matmul`."""

    size: PositiveInt = 8192
    rounds: PositiveInt = 3


@experiment("binarized/matmul", params=Matmul, metrics=METRICS)
def matmul(params: Matmul, run: Run) -> Outcome:
    """Multiplies two [size, size] matrices of random signs on one thread or the GPU; medians of interleaved rounds."""
    import torch

    from bnnbench.harness.stopwatch import device_clock, interleaved

    generator = run.generator("operands")
    shape = (params.size, params.size)
    a, b = (torch.randint(0, 2, shape, generator=generator).float().mul_(2).sub_(1).to(run.device) for _ in range(2))
    candidates = _candidates(a, b, run.device)
    expected = candidates["library"]()
    wrong = sum(int((torch.as_tensor(call()).to(expected) != expected).sum()) for call in candidates.values())
    spent = interleaved(candidates, params.rounds, device_clock(run.device))
    seconds = {name: sorted(times)[len(times) // 2] for name, times in spent.items()}
    return Outcome(
        {
            **{f"seconds_{name}": value for name, value in seconds.items()},
            "naive_over_baseline": seconds["baseline"] / seconds["naive_xnor"],
            "naive_over_library": seconds["library"] / seconds["naive_xnor"],
            "xnor_over_library": seconds["library"] / seconds["xnor"],
            "mismatches": float(wrong),
        },
        {"rounds": dict(spent)},
    )


def _candidates(a: Any, b: Any, device: str) -> dict[str, Callable[[], Any]]:
    """The products by name. The naive pair gets its right operand in the order that it reads, at no cost."""
    from bnnbench import kernels

    k = a.shape[1]
    right = b.T.contiguous()
    candidates: dict[str, Callable[[], Any]] = {
        "library": lambda: a @ right,
        "xnor": lambda: kernels.matmul(kernels.pack(a), kernels.prepare(b)),
    }
    if device == "cuda":
        import cupy

        from bnnbench.kernels.cuda import naive

        left, columns = cupy.from_dlpack(a), cupy.from_dlpack(right)

        def naive_xnor() -> Any:
            x, w = (cupy.from_dlpack(kernels.pack(operand).words).view("uint32") for operand in (a, b))
            return naive.xnor_matmul(x, cupy.ascontiguousarray(w.T), k)

        return {**candidates, "baseline": lambda: naive.float_matmul(left, columns), "naive_xnor": naive_xnor}
    from bnnbench.kernels.cpu import naive as cpu

    x, w = a.numpy(), b.numpy()
    return {
        **candidates,
        "baseline": lambda: cpu.float_matmul(x, w),
        "naive_xnor": lambda: cpu.xnor_matmul(kernels.pack(x).words, kernels.pack(w).words, k),
    }
