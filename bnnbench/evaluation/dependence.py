"""Dependence between weights of different layers, from draws of all weights."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from bnnbench.bayes.network import Net, weight_shapes
from bnnbench.bayes.noise import permutation, seed

PAIRS = 20_000  # of weights


def layer_sizes(net: Net) -> list[int]:
    """The number of parameters of each layer of a net, in the order of theta; a learned noise is left out.

    A layer is what holds parameters of its own: a linear layer with its bias, or a batch norm.
    """
    sizes: dict[str, int] = {}
    for name, shape in weight_shapes(net).items():
        layer = name.rpartition(".")[0]
        sizes[layer] = sizes.get(layer, 0) + shape.numel()
    return list(sizes.values())


def across_layers(draws: Tensor, sizes: Sequence[int], generator: Generator | None = None) -> tuple[float, float]:
    """Mean absolute correlation of pairs of weights in different layers, and its floor, from draws [S, P].

    `sizes` are the numbers of weights of the layers, one after the other. Of each pair the layers are drawn first, so
    that large layers do not hide small ones. The floor is what the same pairs have when the draws of one weight are
    put into another order, which leaves nothing but chance. Weights that do not vary have a correlation of 0.
    """
    starts = torch.tensor([0, *sizes]).cumsum(0)
    stream = Generator().manual_seed(seed(generator))
    layers = torch.tensor([(a, b) for a in range(len(sizes)) for b in range(len(sizes)) if a != b])
    pairs = layers[torch.randint(len(layers), (PAIRS,), generator=stream)]
    within = torch.rand(PAIRS, 2, generator=stream, dtype=torch.float64) * torch.tensor(sizes)[pairs]
    chosen = (starts[pairs] + within.long()).to(draws.device)
    used, places = chosen.unique(return_inverse=True)
    values = draws[:, used].double()
    spread = values.std(0, correction=0)
    values = (values - values.mean(0)) / torch.where(spread > 0, spread, torch.ones_like(spread))
    first, second = values[:, places[:, 0]], values[:, places[:, 1]]
    mixed = second[permutation(len(draws), stream, draws.device)]
    together, apart = ((first * other).mean(0).abs().mean().item() for other in (second, mixed))
    return together, apart
