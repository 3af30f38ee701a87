"""The paper's nets."""

import torch
from torch import Tensor, nn
from torch.nn import functional

SHAPES = {"lenet": (1, 28, 28), "wrn-16-4": (3, 32, 32), "convnet": (3, 32, 32)}  # of the images that a net takes


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


def mlp(n_inputs: int, width: int, n_classes: int) -> nn.Sequential:
    """One hidden layer on images [N, ...] of `n_inputs` pixels."""
    return nn.Sequential(nn.Flatten(), nn.Linear(n_inputs, width), nn.ReLU(), nn.Linear(width, n_classes))


def convnet(n_classes: int) -> nn.Sequential:
    """A small stand-in for WRN-16-4 on [N, 3, 32, 32] with as many features, 256, before the last layer."""
    layers: list[nn.Module] = []
    for maps_in, maps in ((3, 32), (32, 64), (64, 64)):
        layers += [nn.Conv2d(maps_in, maps, 3, 2, 1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(1024, 256), nn.ReLU(), nn.Linear(256, n_classes))


class _Block(nn.Module):
    """Two convolutions before which come BatchNorm and ReLU, and a shortcut."""

    def __init__(self, maps_in: int, maps: int, stride: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(maps_in), nn.BatchNorm2d(maps)
        self.conv1 = nn.Conv2d(maps_in, maps, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(maps, maps, 3, 1, 1, bias=False)
        self.shortcut = nn.Conv2d(maps_in, maps, 1, stride, bias=False) if maps_in != maps else None

    def forward(self, x: Tensor) -> Tensor:
        """[N, maps_in, H, W] -> [N, maps, H / stride, W / stride]."""
        h = functional.relu(self.norm1(x))
        rest = x if self.shortcut is None else self.shortcut(h)
        y: Tensor = self.conv2(functional.relu(self.norm2(self.conv1(h))))
        return rest + y


def wide_resnet(n_classes: int, depth: int = 16, widen: int = 4) -> nn.Sequential:
    """WRN-16-4 (Zagoruyko and Komodakis 2016) on [N, 3, 32, 32]: 256 features before the last layer, no dropout."""
    blocks, maps_in = (depth - 4) // 6, 16
    layers: list[nn.Module] = [nn.Conv2d(3, maps_in, 3, 1, 1, bias=False)]
    for maps, stride in ((16 * widen, 1), (32 * widen, 2), (64 * widen, 2)):
        for index in range(blocks):
            layers.append(_Block(maps_in, maps, stride if index == 0 else 1))
            maps_in = maps
    last = [nn.BatchNorm2d(maps_in), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(maps_in, n_classes)]
    return nn.Sequential(*layers, *last)


def initialised(net: nn.Module, generator: torch.Generator) -> nn.Module:
    """`net` with PyTorch's own initialisation drawn from `generator`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        for part in net.modules():
            reset = getattr(part, "reset_parameters", None)
            if callable(reset):
                reset()
    return net
