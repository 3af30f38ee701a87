"""The layers of a net by name and width, for priors whose scales depend on them."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from bnnbench.bayes.log_noise import has_log_noise


@dataclass(frozen=True)
class Layer:
    """A layer with a weight [fan_out or channels, ...], by its name in `named_modules`.

    `fan_in` is how many numbers an output is a weighted sum of, and `fan_out` how many outputs an input goes into: of a
    linear layer its widths, of a convolution channels (of a group) times the size of its kernel.
    """

    name: str
    fan_in: int
    fan_out: int


def layers_of(model: nn.Module) -> list[Layer]:
    """Layers with a weight of two dimensions or more that is not frozen, in the order of the net's parameters.

    Of a net with a learned noise they are those of the net that was given, by the names that a prior knows.

    scales = {layer.name: layer.fan_in**-0.5 for layer in layers_of(model)}
    train = Train(x, y, prior=IndependentNormal({"": 1.0, **scales}))
    """
    return list(_layers(model.get_submodule("net") if has_log_noise(model) else model))


def _layers(model: nn.Module) -> Iterator[Layer]:
    for name, module in model.named_modules():
        weight = dict(module.named_parameters(recurse=False)).get("weight")
        if weight is not None and weight.dim() >= 2 and weight.requires_grad:
            kernel = weight[0, 0].numel()
            yield Layer(name, weight.shape[1] * kernel, weight.shape[0] * kernel)
