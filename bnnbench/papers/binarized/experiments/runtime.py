"""Trained nets at run time (Section 3.2, Figure 3): on packed bits beside the same net in float32."""

from typing import TYPE_CHECKING, Any

from pydantic import Field, NonNegativeInt, PositiveInt

from bnnbench.harness.experiment import Metric, Outcome, experiment
from bnnbench.harness.run import Run
from bnnbench.papers.binarized.settings import METRICS, MLP, ConvNet, Training

if TYPE_CHECKING:
    from torch import nn

    from bnnbench.papers.binarized.splits import Splits

TIMES = (
    Metric("seconds_baseline", "s", False, "all test images with naive float32 kernels, in proportion to those timed"),
    Metric(
        "seconds_naive_xnor",
        "s",
        False,
        "all test images with equally naive kernels on bits, in proportion to those timed",
    ),
    Metric("seconds_library", "s", False, "all test images with torch in float32, in proportion to those timed"),
    Metric("seconds_xnor", "s", False, "all test images on packed bits, in proportion to those timed"),
    Metric("naive_over_baseline", "x", True, "naive kernels on bits over the equally naive ones on float32"),
    Metric("xnor_over_baseline", "x", True, "packed net over naive float32 kernels"),
    Metric("xnor_over_library", "x", True, "packed net over torch in float32"),
    Metric(
        "joules_library", "J", False, "energy of the processor for all test images in float32, where it can be read"
    ),
    Metric("joules_xnor", "J", False, "energy of the processor for all test images on packed bits"),
)
RUNTIME = (*(metric for metric in METRICS if metric.name != "saturated"), *TIMES, Metric("saturated", "%"))


class MLPRuntime(MLP):
    """Parameters of `binarized/mlp-runtime`."""

    n_images: PositiveInt = Field(10_000, description="test images that are timed, in one batch")
    n_naive: NonNegativeInt = Field(1_000, description="of these, images that the naive kernels are timed on")
    rounds: PositiveInt = 3


class ConvNetRuntime(ConvNet):
    """Parameters of `binarized/convnet-runtime`."""

    n_images: PositiveInt = Field(1_000, description="test images that are timed, in one batch")
    rounds: PositiveInt = 3


@experiment("binarized/mlp-runtime", params=MLPRuntime, metrics=RUNTIME)
def mlp_runtime(params: MLPRuntime, run: Run) -> Outcome:
    """Trains the MLP, then classifies test images in one batch by naive float kernels, by torch and on packed bits."""
    import torch

    from bnnbench.papers.binarized.networks import mlp
    from bnnbench.papers.binarized.splits import classification_splits

    splits = classification_splits(params, run, images=False)
    channels, height, width = splits.shape
    net = mlp(channels * height * width, splits.n_classes, params, run.generator).to(torch.device(run.device))
    return _timed(net, splits, params, run, params.n_images, params.n_naive, params.rounds)


@experiment("binarized/convnet-runtime", params=ConvNetRuntime, metrics=RUNTIME)
def convnet_runtime(params: ConvNetRuntime, run: Run) -> Outcome:
    """Trains the ConvNet, then classifies test images in one batch by torch and on packed bits."""
    import torch

    from bnnbench.papers.binarized.networks import convnet
    from bnnbench.papers.binarized.splits import classification_splits

    splits = classification_splits(params, run, images=True)
    net = convnet(splits.shape, splits.n_classes, params, run.generator)
    net = net.to(torch.device(run.device), memory_format=torch.channels_last)  # type: ignore[call-overload]
    return _timed(net, splits, params, run, params.n_images, 0, params.rounds)


def _timed(
    net: "nn.Sequential", splits: "Splits", params: Training, run: Run, n_images: int, n_naive: int, rounds: int
) -> Outcome:
    """Trains and times the net; seconds are for all test images, in proportion to those that were timed."""
    from bnnbench.harness.energy import Meter
    from bnnbench.harness.stopwatch import device_clock, interleaved
    from bnnbench.papers.binarized import packing
    from bnnbench.papers.binarized.training import train

    trained = train(net, splits, params, run)
    metrics = {**trained.metrics, **packing.agreement(net, splits, trained.outputs)}
    total, images = len(splits.x_test), splits.x_test[:n_images]
    candidates: dict[str, Any] = {
        "library": packing.library(net, splits, images),
        "xnor": packing.on_bits(net, splits, images),
    }
    counts = {"library": len(images), "xnor": len(images)}
    if n_naive and run.device == "cpu":
        few = images[:n_naive]
        counts |= {"baseline": len(few), "naive_xnor": len(few)}
        candidates["baseline"] = packing.naive(net, splits, few)
        candidates["naive_xnor"] = packing.naive(net, splits, few, on_bits=True)
    spent = interleaved(candidates, rounds, device_clock(run.device))
    for name, times in spent.items():
        metrics[f"seconds_{name}"] = sorted(times)[len(times) // 2] * total / counts[name]
    for name in candidates.keys() & {"library", "baseline"}:
        metrics[f"xnor_over_{name}"] = metrics[f"seconds_{name}"] / metrics["seconds_xnor"]
    if "baseline" in candidates:
        metrics["naive_over_baseline"] = metrics["seconds_baseline"] / metrics["seconds_naive_xnor"]
    for name in ("library", "xnor"):
        meter = Meter()
        candidates[name]()
        if (joules := meter.joules()) is not None:
            metrics[f"joules_{name}"] = joules * total / counts[name]
    return Outcome(metrics, trained.tables, splits.warnings)
