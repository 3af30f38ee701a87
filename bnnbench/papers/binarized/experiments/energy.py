"""Memory and energy of a net in float32 and in bits (Section 3.1, Tables 2 and 3): computed and not measured."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from bnnbench.harness.experiment import Metric, Outcome, Params, experiment
from bnnbench.harness.run import Run

METRICS = (
    Metric("weights", "", description="weights of the net"),
    Metric("macs", "", description="multiply-accumulates of one image"),
    Metric("memory_float32", "MB", False, "weights in float32"),
    Metric("memory_binary", "MB", False, "weights in bits"),
    Metric("arithmetic_float32", "uJ", False, "energy of the arithmetic of one image in float32"),
    Metric("arithmetic_binary", "uJ", False, "the same in words of bits"),
    Metric("dram_float32_low", "uJ", False, "energy of reading all weights once from DRAM, lower price"),
    Metric("dram_float32_high", "uJ", False, "the same, higher price"),
    Metric("dram_binary_low", "uJ", False, "energy of reading all weights once from DRAM as bits, lower price"),
    Metric("dram_binary_high", "uJ", False, "the same, higher price"),
    Metric("energy_ratio", "x", True, "energy of one image in float32 over that in bits, at the lower price of DRAM"),
)


class Energy(Params):
    """Parameters of `binarized/energy`: the paper's prices (Tables 2 and 3, after Horowitz 2014) and one assumption."""

    net: Literal["mlp", "convnet"] = "mlp"
    width: PositiveInt = Field(4096, description="units of a hidden dense layer")
    maps: PositiveInt = Field(128, description="maps of the first convolutions")
    multiply_pj: PositiveFloat = Field(3.7, description="32-bit float multiplication")
    add_pj: PositiveFloat = Field(0.9, description="32-bit float addition")
    word_pj: PositiveFloat = Field(
        0.1,
        description="xnor, popcount or addition of a 32-bit word, each as a 32-bit integer addition: an assumption, "
        "since the paper gives no energy for the first two",
    )
    access_low_pj: PositiveFloat = Field(1300, description="64 bits from DRAM, lower price")
    access_high_pj: PositiveFloat = Field(2600, description="64 bits from DRAM, higher price")


@experiment("binarized/energy", params=Energy, metrics=METRICS)
def energy(params: Energy, run: Run) -> Outcome:
    """One image; every weight is read once; activations are not counted, as in the paper's argument."""
    layers = list(_mlp(params.width) if params.net == "mlp" else _convnet(params.maps, params.width))
    weights, macs = sum(w for w, _ in layers), sum(m for _, m in layers)
    micro = 1e-6
    arithmetic = macs * (params.multiply_pj + params.add_pj) * micro
    bits = macs / 32 * 3 * params.word_pj * micro  # 32 connections: xnor, popcount, add
    low, high = (weights * 32 / 64 * price * micro for price in (params.access_low_pj, params.access_high_pj))
    return Outcome(
        {
            "weights": weights,
            "macs": macs,
            "memory_float32": weights * 4 / 1e6,
            "memory_binary": weights / 8 / 1e6,
            "arithmetic_float32": arithmetic,
            "arithmetic_binary": bits,
            "dram_float32_low": low,
            "dram_float32_high": high,
            "dram_binary_low": low / 32,
            "dram_binary_high": high / 32,
            "energy_ratio": (arithmetic + low) / (bits + low / 32),
        }
    )


def _mlp(width: int) -> Iterator[tuple[int, int]]:
    """Weights and multiply-accumulates of each layer."""
    for fan_in, fan_out in ((784, width), (width, width), (width, width), (width, 10)):
        yield fan_in * fan_out, fan_in * fan_out


def _convnet(maps: int, width: int) -> Iterator[tuple[int, int]]:
    maps_in, side = 3, 32
    for out in (maps, 2 * maps, 4 * maps):
        for fan_in in (maps_in, out):
            yield 9 * fan_in * out, 9 * fan_in * out * side**2
        maps_in, side = out, side // 2
    for fan_in, fan_out in ((maps_in * side**2, width), (width, width), (width, 10)):
        yield fan_in * fan_out, fan_in * fan_out
