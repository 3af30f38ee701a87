"""The nets for photographs: sizes by arithmetic of their own, block order, and which layers are binary."""

import pytest
import torch
from torch import nn

from bnnbench.binary.batch_norm import BatchNorm
from bnnbench.binary.layers import BinaryActivation, BinaryLayer
from bnnbench.binary.models.alexnet import alexnet, larq_alexnet
from bnnbench.binary.models.googlenet import GoogLeNet
from bnnbench.binary.models.parts import Parts
from bnnbench.binary.optimize import binary_layers
from bnnbench.errors import UserError
from bnnbench.papers.binarized.imagenet.networks import KERAS_NORM, size


def parts(weights: str = "binary", activation: str = "sign", **options: object) -> Parts:
    return Parts(weights, activation, torch.Generator().manual_seed(0), **options)  # type: ignore[arg-type]


def weights(net: nn.Module) -> int:
    return sum(layer.weight.numel() for layer in binary_layers(net))


def outputs(net: nn.Module, crop: int) -> list[list[int]]:
    found = net(torch.randn(2, 3, crop, crop))
    return [list(head.shape) for head in (found if isinstance(found, tuple) else (found,))]


@pytest.mark.parametrize(("r", "channels"), [(1, (64, 192, 384, 256)), (3, (192, 576, 1152, 768))])
def test_alexnet_with_inflation(r: int, channels: tuple[int, int, int, int]) -> None:
    net = alexnet(parts(), 1000, inflation=r)
    a, b, c, d = channels
    convolutions = 11 * 11 * 3 * a + 5 * 5 * a * b + 9 * b * c + 9 * c * d + 9 * d * 256
    dense = 6 * 6 * 256 * 4096 + 4096 * 4096 + 4096 * 1000
    norms = a + b + c + d + 256 + 4096 + 4096 + 1000
    assert weights(net) == convolutions + dense
    assert size(net)[0] == convolutions + dense + 4 * norms
    assert outputs(net, 224) == [[2, 1000]]


def test_larq_alexnet_has_the_published_size() -> None:
    """Larq Zoo: 61.86 M weights, 7.49 MB (its table rounds to 7.45; mebibytes)."""
    net = larq_alexnet(parts(norm=KERAS_NORM), 1000)
    numbers, mebibytes = size(net)
    assert f"{numbers / 1e6:.2f}" == "61.86"
    assert f"{mebibytes:.2f}" == "7.49"
    assert outputs(net, 224) == [[2, 1000]]
    pad, first = net[0], net[1]
    assert pad(torch.zeros(1, 3, 224, 224)).shape == (1, 3, 231, 231)
    assert first(pad(torch.zeros(1, 3, 224, 224))).shape == (1, 64, 56, 56)


def test_googlenet_has_the_published_size() -> None:
    """Table 1 of Szegedy et al., module by module; with a bias for each output it would be Caffe's 6,998,552."""
    modules = [  # input, 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection
        (192, 64, 96, 128, 16, 32, 32), (256, 128, 128, 192, 32, 96, 64), (480, 192, 96, 208, 16, 48, 64),
        (512, 160, 112, 224, 24, 64, 64), (512, 128, 128, 256, 24, 64, 64), (512, 112, 144, 288, 32, 64, 64),
        (528, 256, 160, 320, 32, 128, 128), (832, 256, 160, 320, 32, 128, 128), (832, 384, 192, 384, 48, 128, 128),
    ]  # fmt: skip
    expected = 7 * 7 * 3 * 64 + 64 * 64 + 9 * 64 * 192 + 1024 * 1000
    for i, one, reduce3, three, reduce5, five, pool in modules:
        expected += i * (one + reduce3 + reduce5 + pool) + 9 * reduce3 * three + 25 * reduce5 * five
    biases = 64 + 64 + 192 + 1000 + sum(sum(module[1:]) for module in modules)
    net = GoogLeNet(parts(), 1000)
    assert weights(net) == expected
    assert expected + biases == 6_998_552
    assert size(net)[0] == expected + 4 * biases
    assert outputs(net, 224) == [[2, 1000]]


def test_googlenets_auxiliary_classifiers_are_there_in_training_only() -> None:
    net = GoogLeNet(parts(), 1000, auxiliary=True)
    assert outputs(net, 224) == [[2, 1000]] * 3
    heads = (512 * 128 + 128 * 16 * 1024 + 1024 * 1000) + (528 * 128 + 128 * 16 * 1024 + 1024 * 1000)
    assert weights(net) == weights(GoogLeNet(parts(), 1000)) + heads
    net.eval()
    assert outputs(net, 224) == [[2, 1000]]


def test_alexnets_blocks_pool_before_they_normalise() -> None:
    net = alexnet(parts(), 10, 64, inflation=1, width=0.1, stride=2)
    pooled = ["BinaryConv2d", "MaxPool2d", "BatchNorm", "BinaryActivation"]
    plain, dense = ["BinaryConv2d", "BatchNorm", "BinaryActivation"], ["BinaryLinear", "BatchNorm", "BinaryActivation"]
    names = [*pooled, *pooled, *plain, *plain, *pooled, "Flatten", *dense, *dense, "BinaryLinear", "BatchNorm"]
    assert [type(module).__name__ for module in net] == names


def test_googlenet_normalises_and_activates_after_every_convolution() -> None:
    net = GoogLeNet(parts(), 10, 64, width=0.1)
    layers = [m for m in net.modules() if isinstance(m, BinaryLayer | BatchNorm | BinaryActivation)]
    kinds = [type(layer).__name__ for layer in layers]
    assert kinds == ["BinaryConv2d", "BatchNorm", "BinaryActivation"] * 57 + ["BinaryLinear", "BatchNorm"]


@pytest.mark.parametrize("build", [alexnet, larq_alexnet, GoogLeNet])
def test_weights_and_activations_are_what_was_asked_for(build: type[GoogLeNet]) -> None:
    binaryconnect = build(parts(activation="relu"), 3, 64)
    assert not [m for m in binaryconnect.modules() if isinstance(m, nn.Conv2d | nn.Linear | BinaryActivation)]
    real = build(parts("float", "hardtanh"), 3, 64)
    assert not [m for m in real.modules() if isinstance(m, BinaryLayer | BinaryActivation | nn.ReLU)]
    assert [m for m in real.modules() if isinstance(m, nn.Hardtanh)]
    binary = build(parts(), 3, 64)
    assert weights(binary) == sum(m.weight.numel() for m in real.modules() if isinstance(m, nn.Conv2d | nn.Linear))


def test_latent_weights_start_as_asked_for() -> None:
    uniform, glorot = (next(binary_layers(larq_alexnet(parts(glorot=g), 3, 64))).weight.abs().max() for g in (0, 1))
    assert 0.99 < uniform <= 1
    assert glorot <= (6 / (363 + 64 * 121)) ** 0.5


@pytest.mark.parametrize(
    ("build", "smallest"),
    [
        (lambda crop: alexnet(parts(), 3, crop, width=0.1), 63),
        (lambda crop: alexnet(parts(), 3, crop, width=0.1, stride=2), 35),
        (lambda crop: larq_alexnet(parts(), 3, crop), 57),
        (lambda crop: GoogLeNet(parts(), 3, crop, width=0.1), 31),
        (lambda crop: GoogLeNet(parts(), 3, crop, width=0.1, auxiliary=True), 79),
    ],
    ids=["alexnet", "alexnet-stride-2", "larq", "googlenet", "auxiliary"],
)
def test_the_smallest_crop(build, smallest: int) -> None:  # type: ignore[no-untyped-def]
    assert {tuple(shape) for shape in outputs(build(smallest), smallest)} == {(2, 3)}
    with pytest.raises(UserError, match=f"crop {smallest - 1} is too small"):
        build(smallest - 1)
