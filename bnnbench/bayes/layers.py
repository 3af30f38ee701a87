"""The layers of a net by name and width, for priors whose scales depend on them."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from bnnbench.bayes.log_noise import has_log_noise


@dataclass(frozen=True)
class Layer:
    """A layer with a weight [fan_out or channels, ...], by its name in `named_modules`.

    `fan_in` is the number of inputs that an output is a weighted sum of, and `fan_out` the number of outputs that an
    input goes into. For a linear layer they are its widths; for a convolution, channels (of a group) times the size of
    its kernel.
    """

    name: str
    fan_in: int
    fan_out: int


def layers_of(model: nn.Module) -> list[Layer]:
    """Layers with a weight of two dimensions or more that is not frozen, in the order of the net's parameters.

    For a net with a learned noise they are the layers of the original net, under the names that a prior uses.

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
