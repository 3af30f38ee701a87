"""Packed nets against the torch modules that they were made from."""

from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bnnbench.binary.layers import BinaryActivation, BinaryConv2d, BinaryLayer, BinaryLinear
from bnnbench.binary.packed import PackedNet
from bnnbench.binary.shift_norm import ShiftBatchNorm


def randomised(net: nn.Sequential, seed: int) -> nn.Sequential:
    """Weights, and BatchNorm with gammas of both signs and zero, as if trained; in evaluation mode and float64."""
    generator = torch.Generator().manual_seed(seed)
    for module in net:
        if isinstance(module, BinaryLayer):
            module.reset_parameters(generator)
            module.weight.data.flatten()[::7] = 0.0  # sign(0) = +1
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.weight.data.normal_(generator=generator)
            module.weight.data[0] = 0.0
            module.bias.data.normal_(generator=generator)
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 3, generator=generator)
            module.running_var.uniform_(0.5, 20, generator=generator)
        if isinstance(module, ShiftBatchNorm):
            module.weight.data.normal_(generator=generator)
            module.weight.data[0] = 0.0
            if module.bias is not None:
                module.bias.data.normal_(generator=generator)
            module.running_mean.normal_(0, 3, generator=generator)
            module.running_rstd.uniform_(0.05, 1.5, generator=generator)
    return net.eval().double()


def mlp(sizes: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Dropout(0.2)]
    for fan_in, fan_out in pairwise(sizes):
        layers += [
            BinaryLinear(fan_in, fan_out),
            nn.BatchNorm1d(fan_out, eps=1e-4),
            BinaryActivation(),
            nn.Dropout(0.5),
        ]
    return nn.Sequential(*layers[:-2])


def shifted(net: nn.Sequential, variant: Literal["code", "paper"], all_norms: bool) -> nn.Sequential:
    """The same net with shift-based BatchNorm; before the logits only with `all_norms` (in the code it is not)."""
    norms = [index for index, module in enumerate(net) if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    for index in norms if all_norms else norms[:-1]:
        norm = net[index]
        assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
        net[index] = ShiftBatchNorm(norm.num_features, isinstance(norm, nn.BatchNorm2d), variant=variant)
    return net


def real_logits(net: nn.Sequential, pixels: np.ndarray) -> np.ndarray:
    x = torch.from_numpy(pixels).double() * (2 / 255) - 1
    with torch.no_grad():
        return np.asarray(net(x.permute(0, 3, 1, 2) if x.ndim == 4 else x).numpy())


@given(st.lists(st.integers(1, 150), min_size=2, max_size=5), st.integers(0, 9), st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_a_packed_mlp_has_the_nets_logits(sizes: list[int], batch: int, seed: int) -> None:
    net = randomised(mlp(sizes), seed)
    pixels = np.random.default_rng(seed).integers(0, 256, (batch, sizes[0]), np.uint8)
    packed = PackedNet.from_module(net)
    expected = real_logits(net, pixels)
    assert np.allclose(packed.logits(pixels), expected, rtol=1e-9, atol=1e-9)
    assert np.array_equal(packed.predict(pixels, batch=4), expected.argmax(1))


@given(
    st.tuples(st.integers(4, 11), st.integers(4, 11)),
    st.integers(1, 4),
    st.sampled_from([(8, 12), (33, 65), (5, 64)]),
    st.sampled_from([(3, 1, 1), (3, 1, 0), (3, 2, 1), (2, 1, 1), (1, 1, 0)]),
    st.sampled_from([1, 2]),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=40)
def test_a_packed_convnet_has_the_nets_logits(
    size: tuple[int, int],
    c: int,
    maps: tuple[int, int],
    geometry: tuple[int, int, int],
    pool: int,
    seed: int,
) -> None:
    kernel, stride, padding = geometry
    first, second = maps
    layers: list[nn.Module] = [BinaryConv2d(c, first, 3, padding=1)]
    layers += [nn.BatchNorm2d(first), BinaryActivation(), BinaryConv2d(first, second, kernel, stride, padding)]
    layers += [nn.MaxPool2d(pool)] if pool > 1 else []
    layers += [nn.BatchNorm2d(second), BinaryActivation(), nn.Flatten()]
    height, width = (((s + 2 * padding - kernel) // stride + 1) // pool for s in size)
    if height * width == 0:
        return
    layers += [BinaryLinear(second * height * width, 10), nn.BatchNorm1d(10), BinaryActivation()]
    net = randomised(nn.Sequential(*layers, BinaryLinear(10, 3), nn.BatchNorm1d(3)), seed)
    pixels = np.random.default_rng(seed).integers(0, 256, (3, *size, c), np.uint8)
    packed = PackedNet.from_module(net, image=size)
    assert np.allclose(packed.logits(pixels), real_logits(net, pixels), rtol=1e-9, atol=1e-9)


@given(
    st.lists(st.integers(1, 150), min_size=2, max_size=5),
    st.sampled_from(["code", "paper"]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=40)
def test_a_packed_shift_mlp_has_the_nets_logits(
    sizes: list[int], variant: Literal["code", "paper"], all_norms: bool, seed: int
) -> None:
    net = randomised(shifted(mlp(sizes), variant, all_norms), seed)
    pixels = np.random.default_rng(seed).integers(0, 256, (9, sizes[0]), np.uint8)
    packed = PackedNet.from_module(net)
    expected = real_logits(net, pixels)
    assert np.allclose(packed.logits(pixels), expected, rtol=1e-9, atol=1e-9)
    assert np.array_equal(packed.predict(pixels), expected.argmax(1))


@given(st.integers(1, 3), st.sampled_from([1, 2]), st.sampled_from(["code", "paper"]), st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_a_packed_shift_convnet_has_the_nets_logits(
    c: int, pool: int, variant: Literal["code", "paper"], seed: int
) -> None:
    layers: list[nn.Module] = [BinaryConv2d(c, 9, 3, padding=1), nn.BatchNorm2d(9), BinaryActivation()]
    layers += [BinaryConv2d(9, 33, 3, padding=1), *([nn.MaxPool2d(pool)] if pool > 1 else [])]
    layers += [nn.BatchNorm2d(33), BinaryActivation(), nn.Flatten()]
    layers += [BinaryLinear(33 * (6 // pool) ** 2, 10), nn.BatchNorm1d(10), BinaryActivation()]
    layers += [BinaryLinear(10, 3), nn.BatchNorm1d(3)]
    net = randomised(shifted(nn.Sequential(*layers), variant, all_norms=False), seed)
    assert sum(isinstance(module, ShiftBatchNorm) for module in net) == 3
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 6, 6, c), np.uint8)
    packed = PackedNet.from_module(net, image=(6, 6))
    expected = real_logits(net, pixels)
    assert np.allclose(packed.logits(pixels), expected, rtol=1e-9, atol=1e-9)
    assert np.array_equal(packed.predict(pixels), expected.argmax(1))


def test_sums_on_the_mean_of_a_shift_norm_are_plus_one() -> None:
    # Shifts are exact, so a hidden sum equal to the mean gives exactly 0, whose sign is +1 also for a negative gamma.
    net = randomised(shifted(mlp([40, 64, 50, 3]), "code", all_norms=False), 0)
    hidden = [module for module in net if isinstance(module, ShiftBatchNorm)][1]
    assert hidden.bias is not None
    hidden.bias.data.zero_()
    hidden.running_mean.mul_(2).round_().mul_(2)  # sums of 64 signs are even
    zeros: list[int] = []
    hidden.register_forward_hook(
        lambda module, _, output: zeros.append(int((output[:, module.weight != 0] == 0).sum()))
    )
    pixels = np.random.default_rng(0).integers(0, 256, (100, 40), np.uint8)
    expected = real_logits(net, pixels)
    assert zeros[0] > 50
    assert np.allclose(PackedNet.from_module(net).logits(pixels), expected, rtol=1e-9, atol=1e-9)


def test_a_saved_net_is_the_same_net(tmp_path: Path) -> None:
    packed = PackedNet.from_module(randomised(mlp([70, 130, 40, 10]), 0))
    packed.save(tmp_path / "net.safetensors")
    pixels = np.random.default_rng(0).integers(0, 256, (20, 70), np.uint8)
    loaded = PackedNet.load(tmp_path / "net.safetensors")
    assert np.array_equal(loaded.logits(pixels), packed.logits(pixels))
    (tmp_path / "broken").write_bytes((tmp_path / "net.safetensors").read_bytes()[:100])
    for name in ("broken", "missing"):
        with pytest.raises(ValueError, match="not a packed net of bnnbench"):
            PackedNet.load(tmp_path / name)


def test_weights_take_a_32nd_of_the_memory() -> None:
    packed = PackedNet.from_module(randomised(mlp([784, 512, 512, 512, 512]), 0))
    assert packed.float_weight_bytes / packed.weight_bytes == pytest.approx(32, rel=0.06)  # 784 is padded to 896
    whole = PackedNet.from_module(randomised(mlp([1024, 512, 256]), 0))
    assert whole.float_weight_bytes == 32 * whole.weight_bytes


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (nn.Sequential(nn.ReLU()), "begins with ReLU"),
        (nn.Sequential(BinaryLinear(4, 4), nn.ReLU()), "ReLU is out of place"),
        (nn.Sequential(BinaryLinear(4, 4), BinaryActivation()), "BinaryActivation is out of place"),
        (nn.Sequential(BinaryLinear(4, 4)), "every layer needs BatchNorm"),
        (nn.Sequential(BinaryConv2d(1, 4, 3), nn.MaxPool2d(2, 3)), "stride equal to its window"),
        (nn.Sequential(BinaryConv2d(1, 4, 3), nn.MaxPool2d(2, padding=1)), "stride equal to its window"),
        (nn.Sequential(BinaryConv2d(1, 4, 3), nn.MaxPool2d((2, 3))), "stride equal to its window"),
        (nn.Sequential(BinaryConv2d(1, 4, 3), nn.MaxPool2d(2), nn.MaxPool2d(2)), "MaxPool2d is out of place"),
        (nn.Sequential(BinaryLinear(4, 4), nn.MaxPool2d(2)), "MaxPool2d is out of place"),
        (nn.Sequential(BinaryLinear(4, 4), nn.BatchNorm1d(4, track_running_stats=False)), "no running statistics"),
        (nn.Sequential(BinaryConv2d(1, 4, 3), nn.BatchNorm2d(4), BinaryActivation()), r"image=\(height, width\)"),
    ],
)
def test_nets_of_another_form_are_refused(net: nn.Sequential, message: str) -> None:
    for module in net:
        if isinstance(module, BinaryLayer):
            module.reset_parameters(torch.Generator())
    if "image" in message:
        last = BinaryLinear(4, 2)
        last.reset_parameters(torch.Generator())
        net = nn.Sequential(*net, nn.Flatten(), last, nn.BatchNorm1d(2))
    with pytest.raises(ValueError, match=message):
        PackedNet.from_module(net)


def test_batch_norm_without_affine_part_has_ones_and_zeros() -> None:
    first, second = BinaryLinear(20, 16), BinaryLinear(16, 3)
    norms = nn.BatchNorm1d(16, affine=False), nn.BatchNorm1d(3, affine=False)
    net = nn.Sequential(first, norms[0], BinaryActivation(), second, norms[1])
    for layer in (first, second):
        layer.reset_parameters(torch.Generator().manual_seed(1))
    for norm in norms:
        assert norm.running_mean is not None
        norm.running_mean.normal_(0, 3, generator=torch.Generator().manual_seed(2))
    pixels = np.random.default_rng(0).integers(0, 256, (9, 20), np.uint8)
    net = net.eval().double()
    assert np.allclose(PackedNet.from_module(net).logits(pixels), real_logits(net, pixels), rtol=1e-9, atol=1e-9)


def test_images_of_another_size_are_refused() -> None:
    layers = [BinaryConv2d(1, 4, 3, padding=1), nn.MaxPool2d(2), nn.BatchNorm2d(4), BinaryActivation(), nn.Flatten()]
    net = randomised(nn.Sequential(*layers, BinaryLinear(16, 3), nn.BatchNorm1d(3)), 0)
    packed = PackedNet.from_module(net, image=(4, 4))
    with pytest.raises(ValueError, match=r"packed for images of \(4, 4\)"):
        packed.logits(np.zeros((1, 5, 5, 1), np.uint8))
