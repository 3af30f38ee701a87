"""The nets that papers train."""

import torch
from torch import nn

from bnnbench.evaluation import networks


def test_the_nets_have_the_published_last_layers() -> None:
    for net, shape, features, parameters in (
        (networks.lenet(), (1, 28, 28), 84, 850),
        (networks.wide_resnet(10), (3, 32, 32), 256, 2570),
        (networks.wide_resnet(100), (3, 32, 32), 256, 25700),
    ):
        last = net[-1]
        assert isinstance(last, nn.Linear)
        assert last.in_features == features
        assert sum(p.numel() for p in last.parameters()) == parameters
        assert net(torch.zeros(2, *shape)).shape == (2, last.out_features)


def test_the_wide_net_has_the_size_that_its_name_says() -> None:
    """Convolutions by hand: 16 -> 64 -> 128 -> 256 maps, two blocks each, a 1 x 1 shortcut where the maps change."""
    convolutions = 3 * 16 * 9
    norms, maps_in = 0, 16
    for maps in (64, 128, 256):
        convolutions += 9 * maps_in * maps + 9 * maps * maps + maps_in * maps + 2 * 9 * maps * maps
        norms += 2 * (maps_in + maps) + 2 * (maps + maps)
        maps_in = maps
    expected = convolutions + norms + 2 * 256 + 256 * 10 + 10
    assert sum(p.numel() for p in networks.wide_resnet(10).parameters()) == expected
