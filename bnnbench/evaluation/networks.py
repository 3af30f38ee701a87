"""The nets for images and tables that several papers train, with initial parameters drawn from a stream."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from bnnbench.errors import UserError

SIZES = {"wrn-10-1": (10, 1), "wrn-16-4": (16, 4), "wrn-28-10": (28, 10)}  # depth and factor of the widths
SHAPES = {"lenet": (1, 28, 28), "convnet": (3, 32, 32), **dict.fromkeys(SIZES, (3, 32, 32))}  # of images that fit


def image_net(
    name: str, shape: Sequence[int], n_classes: int, width: int, depth: int = 1, affine: bool = True
) -> nn.Sequential:
    """The net `name` for images of `shape` (C, H, W).

    `width` and `depth` are those of the hidden layers of an mlp; `affine` is of a wide resnet's batch norms.
    `UserError` where the net does not take images of this shape.
    """
    if name == "mlp":
        pixels = shape[0] * shape[1] * shape[2]
        return nn.Sequential(nn.Flatten(), *perceptron((pixels, *[width] * depth, n_classes), nn.ReLU))
    if tuple(shape) != (needed := SHAPES[name]):
        given, takes = (" x ".join(map(str, sizes)) for sizes in (shape, needed))
        raise UserError(f"net {name!r} takes images of {takes}, and these have {given}; choose another")
    if name in SIZES:
        return wide_resnet(n_classes, *SIZES[name], affine)
    return lenet(n_classes) if name == "lenet" else convnet(n_classes)


def perceptron(sizes: Sequence[int], activation: Callable[[], nn.Module]) -> nn.Sequential:
    """Linear layers from `sizes[0]` inputs to `sizes[-1]` outputs with `activation` in between."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), activation()]
    return nn.Sequential(*layers[:-1])


def lenet(n_classes: int = 10) -> nn.Sequential:
    """LeNet-5 on [N, 1, 28, 28] with ReLU and max-pooling, 84 features before the last layer."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(256, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, n_classes),
    )


def convnet(n_classes: int) -> nn.Sequential:
    """A small stand-in for WRN-16-4 on [N, 3, 32, 32] with as many features, 256, before the last layer."""
    layers: list[nn.Module] = []
    for maps_in, maps in ((3, 32), (32, 64), (64, 64)):
        layers += [nn.Conv2d(maps_in, maps, 3, 2, 1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(1024, 256), nn.ReLU(), nn.Linear(256, n_classes))


class _Block(nn.Module):
    """Two convolutions, each preceded by BatchNorm and ReLU, with a shortcut."""

    def __init__(self, maps_in: int, maps: int, stride: int, affine: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(maps_in, affine=affine), nn.BatchNorm2d(maps, affine=affine)
        self.conv1 = nn.Conv2d(maps_in, maps, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(maps, maps, 3, 1, 1, bias=False)
        self.shortcut = nn.Conv2d(maps_in, maps, 1, stride, bias=False) if maps_in != maps else None

    def forward(self, x: Tensor) -> Tensor:
        """[N, maps_in, H, W] -> [N, maps, H / stride, W / stride]."""
        h = functional.relu(self.norm1(x))
        rest = x if self.shortcut is None else self.shortcut(h)
        y: Tensor = self.conv2(functional.relu(self.norm2(self.conv1(h))))
        return rest + y


def wide_resnet(n_classes: int, depth: int = 16, widen: int = 4, affine: bool = True) -> nn.Sequential:
    """WRN-16-4 (Zagoruyko and Komodakis 2016) on [N, 3, 32, 32]: 256 features before the last layer, no dropout.

    Without `affine`, batch norms only normalise and have no parameters.
    """
    blocks, maps_in = (depth - 4) // 6, 16
    layers: list[nn.Module] = [nn.Conv2d(3, maps_in, 3, 1, 1, bias=False)]
    for maps, stride in ((16 * widen, 1), (32 * widen, 2), (64 * widen, 2)):
        for index in range(blocks):
            layers.append(_Block(maps_in, maps, stride if index == 0 else 1, affine))
            maps_in = maps
    last = [
        nn.BatchNorm2d(maps_in, affine=affine),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(maps_in, n_classes),
    ]
    return nn.Sequential(*layers, *last)


def initialised(net: nn.Module, generator: Generator) -> nn.Module:
    """`net` with PyTorch's own initialisation drawn from `generator`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        for part in net.modules():
            reset = getattr(part, "reset_parameters", None)
            if callable(reset):
                reset()
    return net
