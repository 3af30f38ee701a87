"""How often the 3 x 3 kernels of a binarized net repeat (filter repetitions, Figure 2)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bnnbench.binary.layers import BinaryConv2d
from bnnbench.binary.sign import sign

Table = Mapping[str, Sequence[Any]]
COLUMNS = ("layer", "maps_in", "maps_out", "inverses", "unique", "chance")
INVERSE = 2  # a kernel and its inverse count as one: the result is multiplied by -1


def patterns(weight: Tensor) -> Tensor:
    """int64 [maps_out, maps_in]: the signs of each kernel as the bits of a number, row by row, first tap first."""
    bits = (sign(weight.detach()) > 0).flatten(2).long()
    return (bits << torch.arange(bits.shape[2], device=bits.device)).sum(2)


def unique_fraction(patterns: Tensor, taps: int, inverses: bool) -> float:
    """Mean over input maps of the distinct patterns among the kernels applied to a map, over the number of kernels.

    With `inverses` a kernel and its inverse count as one. The paper does not say how it counts. Over a whole layer of
    128 x 128 kernels no more than 3.1 % could be distinct, so its 42 % must be a share of the kernels of an input map.
    """
    if inverses:
        patterns = torch.minimum(patterns, (1 << taps) - 1 - patterns)
    counts = [len(column.unique()) for column in patterns.unbind(1)]
    return sum(counts) / len(counts) / len(patterns)


def unique_by_chance(kernels: int, taps: int, inverses: bool) -> float:
    """Expected fraction for kernels of random signs: K (1 - (1 - 1/K)^n) / n for n kernels of K possible ones."""
    possible = 2**taps // (INVERSE if inverses else 1)
    return float(possible * (1 - (1 - 1 / possible) ** kernels) / kernels)


def repetition(net: nn.Module) -> tuple[dict[str, float], dict[str, Table]]:
    """Metrics in %, averaged over layers, and tables: one of layers and ways of counting, one of the first kernels."""
    layers = [module for module in net.modules() if isinstance(module, BinaryConv2d)]
    if not layers:
        return {}, {}
    rows: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for index, layer in enumerate(layers, start=1):
        codes, taps = patterns(layer.weight), layer.weight[0, 0].numel()
        for inverses in (True, False):
            unique = 100 * unique_fraction(codes, taps, inverses)
            chance = 100 * unique_by_chance(len(codes), taps, inverses)
            values = (index, codes.shape[1], codes.shape[0], inverses, unique, chance)
            for column, value in zip(rows.values(), values, strict=True):
                column.append(value)
    counted = [i for i, inverses in enumerate(rows["inverses"]) if inverses]
    metrics = {
        "unique_filters": sum(rows["unique"][i] for i in counted) / len(counted),
        "unique_filters_chance": sum(rows["chance"][i] for i in counted) / len(counted),
    }
    first = patterns(layers[0].weight)
    kernels: Table = {"pattern": first.flatten().tolist()}
    return metrics, {"filters": dict(rows), "first_layer_kernels": kernels}
