"""Packed nets against the torch modules that they were made from."""

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
import torch.nn.utils.prune
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bnnbench.binary.batch_norm import BatchNorm
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
    counting = hidden.register_forward_hook(
        lambda module, _, output: zeros.append(int((output[:, module.weight != 0] == 0).sum()))
    )
    pixels = np.random.default_rng(0).integers(0, 256, (100, 40), np.uint8)
    expected = real_logits(net, pixels)
    counting.remove()
    assert zeros[0] > 50
    assert np.allclose(PackedNet.from_module(net).logits(pixels), expected, rtol=1e-9, atol=1e-9)


def test_a_saved_net_is_the_same_net(tmp_path: Path) -> None:
    packed = PackedNet.from_module(randomised(mlp([70, 130, 40, 10]), 0))
    packed.save(tmp_path / "net.safetensors")
    pixels = np.random.default_rng(0).integers(0, 256, (20, 70), np.uint8)
    loaded = PackedNet.load(tmp_path / "net.safetensors")
    assert np.array_equal(loaded.logits(pixels), packed.logits(pixels))
    with pytest.raises(ValueError, match=r"nowhere/net\.safetensors: cannot be written"):
        packed.save(tmp_path / "nowhere" / "net.safetensors")
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
        (nn.Sequential(BinaryLinear(4, 4)), "every layer needs BatchNorm.*; module '0' is wrong"),
        (nn.Sequential(), "the net has no binary layer"),
        (nn.Sequential(nn.Dropout(0.1), nn.Linear(4, 4)), r"begins with Linear \(module '1'\)"),
        (nn.Sequential(BinaryLinear(4, 4), nn.BatchNorm2d(4)), r"BatchNorm2d is out of place \(module '1'\)"),
        (nn.Sequential(BinaryConv2d(1, 4, 3), nn.BatchNorm1d(4)), r"BatchNorm1d is out of place \(module '1'\)"),
        (nn.Sequential(BinaryConv2d(1, 4, 3), nn.Flatten()), r"Flatten is out of place \(module '1'\)"),
        (nn.Sequential(nn.Flatten(0)), "module '0' flattens 0 to -1"),
        (nn.Sequential(BinaryLinear(4, 4), nn.BatchNorm1d(3)), "'0' and what follows it: BatchNorm has 3 features"),
        (nn.Sequential(nn.Sequential(BinaryLinear(4, 4))), "begins with Sequential"),
        (
            nn.Sequential(
                *(BinaryConv2d(1, 4, 3), nn.BatchNorm2d(4), BinaryActivation()), BinaryLinear(4, 3), nn.BatchNorm1d(3)
            ),
            "module '3' is dense and follows images: nn.Flatten is missing",
        ),
        (
            nn.Sequential(
                *(BinaryLinear(4, 4), nn.BatchNorm1d(4), BinaryActivation()),
                *(BinaryConv2d(4, 4, 1), nn.BatchNorm2d(4), BinaryActivation()),
                *(nn.Flatten(), BinaryLinear(4, 3), nn.BatchNorm1d(3)),
            ),
            "module '3' is a convolution, but its input is not an image",
        ),
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
    if "image=" in message:
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


def convnet(**geometry: Any) -> nn.Sequential:
    layers = [BinaryConv2d(1, 4, 3, **geometry), nn.MaxPool2d(2), nn.BatchNorm2d(4), BinaryActivation(), nn.Flatten()]
    return randomised(nn.Sequential(*layers, BinaryLinear(16, 3), nn.BatchNorm1d(3)), 0)


class Biased(BinaryLinear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + 50.0


class Silent(BinaryActivation):
    pass


class Residual(nn.Sequential):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return y + 1


class Doubled(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


def hooked(net: nn.Sequential, path: str) -> None:
    net.get_submodule(path).register_forward_hook(lambda module, given, output: output + 1)


def prehooked(net: nn.Sequential, path: str) -> None:
    net.get_submodule(path).register_forward_pre_hook(lambda module, given: (given[0] + 1,))


def patched(net: nn.Sequential, path: str) -> None:
    module = net.get_submodule(path)
    forward = module.forward
    module.forward = lambda x: forward(x) + 1


def reweighted(net: nn.Sequential, path: str) -> None:
    layer = net.get_submodule(path)
    assert isinstance(layer, BinaryLinear)
    layer.binary_weight = lambda: layer.weight  # type: ignore[method-assign]


def parametrised(net: nn.Sequential, path: str) -> None:
    nn.utils.parametrize.register_parametrization(net.get_submodule(path), "weight", Doubled())


def pruned(net: nn.Sequential, path: str) -> None:
    nn.utils.prune.random_unstructured(net.get_submodule(path), "weight", 0.5)


@pytest.mark.parametrize(
    ("change", "path", "message"),
    [
        (hooked, "", "the net (Sequential) has forward hooks"),
        (hooked, "1", "module '1' (BinaryLinear) has forward hooks"),
        (prehooked, "2", "module '2' (BatchNorm1d) has forward hooks"),
        (hooked, "3", "module '3' (BinaryActivation) has forward hooks"),
        (hooked, "4", "module '4' (Dropout) has forward hooks"),
        (patched, "5", "module '5' (BinaryLinear) has another forward than its class"),
        (patched, "6", "module '6' (BatchNorm1d) has another forward than its class"),
        (reweighted, "5", "module '5' (BinaryLinear) has another binary_weight than its class"),
        (parametrised, "5", "module '5' is a ParametrizedBinaryLinear, which changes BinaryLinear"),
        (pruned, "1", "module '1' (BinaryLinear) has forward hooks"),
    ],
)
def test_what_packing_would_lose_is_refused(
    change: Callable[[nn.Sequential, str], None], path: str, message: str
) -> None:
    net = randomised(mlp([20, 33, 5]), 0)
    PackedNet.from_module(net)
    change(net, path)
    with pytest.raises(ValueError, match=f"^PackedNet: {re.escape(message)}; packed bits would lose that"):
        PackedNet.from_module(net)


@pytest.mark.parametrize(
    ("path", "other", "message"),
    [
        (1, Biased(20, 33), "module '1' is a Biased, which changes BinaryLinear"),
        (3, Silent(), "module '3' is a Silent, which changes BinaryActivation"),
    ],
)
def test_subclasses_are_refused(path: int, other: nn.Module, message: str) -> None:
    net = randomised(mlp([20, 33, 5]), 0)
    net[path] = other
    with pytest.raises(ValueError, match=message):
        PackedNet.from_module(randomised(net, 0))
    with pytest.raises(ValueError, match="the net is a Residual, which changes Sequential"):
        PackedNet.from_module(Residual(*mlp([20, 33, 5])))


@pytest.mark.parametrize("net", [nn.Linear(3, 3), nn.ModuleList(), None, [BinaryLinear(3, 3)]])
def test_what_is_no_sequential_is_refused(net: Any) -> None:
    with pytest.raises(TypeError, match=f"the net is a {type(net).__name__}; it must be an nn.Sequential"):
        PackedNet.from_module(net)


def test_an_activation_that_comes_twice_is_seen_twice() -> None:
    sign = BinaryActivation()
    layers = [BinaryLinear(20, 33), nn.BatchNorm1d(33), sign, BinaryLinear(33, 12), nn.BatchNorm1d(12), sign]
    net = randomised(nn.Sequential(*layers, BinaryLinear(12, 3), nn.BatchNorm1d(3)), 0)
    pixels = np.random.default_rng(0).integers(0, 256, (50, 20), np.uint8)
    assert np.allclose(PackedNet.from_module(net).logits(pixels), real_logits(net, pixels), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("scale", [True, False])
def test_batch_norm_of_shared_batches_is_packed(scale: bool) -> None:
    layers: list[nn.Module] = [BinaryConv2d(2, 9, 3, padding=1), BatchNorm(9, scale=scale), BinaryActivation()]
    net = nn.Sequential(*layers, nn.Flatten(), BinaryLinear(9 * 36, 3), BatchNorm(3, scale=scale))
    generator = torch.Generator().manual_seed(0)
    for module in net:
        if isinstance(module, BinaryLayer):
            module.reset_parameters(generator)
        if isinstance(module, BatchNorm):
            assert module.running_mean is not None
            assert module.bias is not None
            module.running_mean.normal_(0, 3, generator=generator)
            module.bias.data.normal_(generator=generator)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 6, 2), np.uint8)
    packed = PackedNet.from_module(net.eval().double(), image=(6, 6))
    assert np.allclose(packed.logits(pixels), real_logits(net, pixels), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("geometry", "image", "message"),
    [
        ({"padding": "same"}, (4, 4), "module '0' and what follows it: BinaryConv2d: padding is 'same'"),
        ({"stride": (1, 2), "padding": 1}, (4, 4), "stride is (1, 2); it must be the same for rows and columns"),
        ({"padding": 0}, (2, 4), "a window of 3 x 3 does not fit into the image, 2 x 4 with its padding"),
        ({"padding": 0}, (3, 3), "MaxPool2d: a window of 2 x 2 does not fit into the image, 1 x 1 with its padding"),
        ({"padding": 1}, 4, "image is 4; it must be a pair of ints (height, width), at least 1"),
        ({"padding": 1}, None, "a convolutional net needs image=(height, width)"),
    ],
)
def test_geometry_that_cannot_be_packed_is_named(geometry: dict[str, Any], image: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        PackedNet.from_module(convnet(**geometry), image=image)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(
    ("statistic", "value"), [("running_mean", np.nan), ("running_var", np.inf), ("running_var", -3.0), ("bias", np.nan)]
)
def test_statistics_that_are_no_numbers_are_refused(last: bool, statistic: str, value: float) -> None:
    net = randomised(mlp([20, 33, 5]), 0)
    getattr(net[6 if last else 2], statistic).data[0] = value
    with pytest.raises(ValueError, match=f"module '{5 if last else 1}' and what follows it: BatchNorm holds NaN"):
        PackedNet.from_module(net)


def test_layers_that_do_not_fit_each_other_are_refused() -> None:
    wrong = mlp([20, 33, 5])
    wrong[5] = BinaryLinear(30, 5)
    with pytest.raises(ValueError, match=r"module '5' and what follows it: the layer takes 30 inputs, .* gives 33$"):
        PackedNet.from_module(randomised(wrong, 0))
    with pytest.raises(ValueError, match=r"module '5' and what follows it: the layer takes 16 inputs, .* gives 36$"):
        PackedNet.from_module(convnet(padding=1), image=(6, 6))
    with pytest.raises(ValueError, match=r"module '1' and what follows it: Cannot copy out of meta tensor"):
        PackedNet.from_module(mlp([20, 33, 5]).to("meta"))


def test_tuples_of_equal_numbers_are_one_number() -> None:
    geometry: dict[str, Any] = {"stride": (1, 1), "padding": (1, 1)}
    net = convnet(**geometry)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 1), np.uint8)
    packed = PackedNet.from_module(net, image=(4, 4))
    assert np.allclose(packed.logits(pixels), real_logits(net, pixels), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("pixels", [(0.0, 1.0), (-1.0, 1.0), (np.nan, 0.0), (1.0, np.inf), (1.0,), 1.0, None, "ab"])
def test_pixels_must_be_an_increasing_affine_map(pixels: Any) -> None:
    with pytest.raises(ValueError, match=r"pixels is .*; it must be \(scale, shift\), with scale > 0"):
        PackedNet.from_module(randomised(mlp([4, 4, 3]), 0), pixels=pixels)


def test_a_dense_net_takes_no_image() -> None:
    with pytest.raises(ValueError, match="a dense net takes no image"):
        PackedNet.from_module(randomised(mlp([4, 4, 3]), 0), image=(2, 2))


@pytest.mark.parametrize(
    "x",
    [
        np.zeros((1, 5, 5, 1), np.uint8),
        np.zeros((1, 1, 4, 4), np.uint8),
        np.zeros((1, 4, 4, 2), np.uint8),
        np.zeros((4, 4, 1), np.uint8),
        np.zeros((1, 16), np.uint8),
        np.zeros((1, 4, 4, 1), np.float32),
        np.zeros((1, 4, 4, 1), bool),
        torch.zeros((1, 4, 4, 1), dtype=torch.uint8),
        [[1]],
    ],
)
def test_inputs_of_another_form_are_refused(x: Any) -> None:
    packed = PackedNet.from_module(convnet(padding=1), image=(4, 4))
    for call in (packed.logits, packed.predict):
        with pytest.raises((TypeError, ValueError), match=r"packed for images of \(4, 4\), uint8 \[N, 4, 4, 1\]$"):
            call(x)


def test_rows_of_another_form_are_refused() -> None:
    packed = PackedNet.from_module(randomised(mlp([20, 33, 5]), 0))
    wrong: list[Any] = [np.zeros((2, 21), np.uint8), np.zeros((2, 20), np.int64), np.zeros(20, np.uint8)]
    for x in wrong:
        with pytest.raises(ValueError, match=r"x is .*; this net was packed for rows, uint8 \[N, 20\]$"):
            packed.logits(x)
    for batch in (0, -1):
        with pytest.raises(ValueError, match=f"batch is {batch}; it must be at least 1"):
            packed.predict(np.zeros((2, 20), np.uint8), batch)


def test_stages_must_end_in_logits() -> None:
    stages = PackedNet.from_module(randomised(mlp([20, 33, 5]), 0)).stages
    for wrong in ([], stages[:1], stages[::-1], [stages[1], stages[1]]):
        with pytest.raises(ValueError, match="the last one gives the logits"):
            PackedNet(wrong)
