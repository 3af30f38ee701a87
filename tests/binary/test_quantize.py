"""Quantizers against brute force over their values, and the layers and gradients made of them."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from bnnbench.binary.layers import BinaryConv2d, BinaryLinear
from bnnbench.binary.loss import squared_hinge
from bnnbench.binary.optimize import (
    binary_layers,
    clip_latent_weights,
    learning_rate_scale,
    parameter_groups,
    set_learning_rate,
)
from bnnbench.binary.packed import PackedNet
from bnnbench.binary.quantize import (
    QuantizedActivation,
    QuantizedConv2d,
    QuantizedGradient,
    QuantizedLinear,
    Scheme,
    linear_quant,
    log_quant,
    log_quant_bits,
    quantize_gradient,
)
from bnnbench.binary.sign import binarize

GRID = torch.linspace(-2, 2, 40_001, dtype=torch.float64)
Function = Callable[[Tensor], Tensor]
SCHEMES: list[Scheme] = ["linear", "log", "dorefa"]


def levels(bits: int, scheme: str) -> list[float]:
    """The values of a scheme, from its description."""
    if scheme == "dorefa":
        return [i / (2**bits - 1) for i in range(2**bits)]
    if scheme == "linear":
        return [-1 + 2 * i / (2**bits - 1) for i in range(2**bits)]
    powers = [2.0**-i for i in range(2 ** (bits - 1))]
    return sorted([*powers, *(-power for power in powers)])


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("bits", [1, 2, 3, 4, 6])
def test_activations_have_two_to_the_bits_values_in_order(scheme: Scheme, bits: int) -> None:
    quantize = QuantizedActivation(bits, scheme)
    y = quantize(GRID)
    close_to_0 = torch.tensor([s * 2.0**-i for i in range(40) for s in (-1, 1)], dtype=torch.float64)
    found = torch.cat([y, quantize(close_to_0)]).unique()
    assert len(found) == 2**bits
    assert np.allclose(found.numpy(), levels(bits, scheme), rtol=1e-12, atol=1e-12)
    assert (y.diff() >= 0).all()
    assert torch.equal(quantize(y), y)


@pytest.mark.parametrize("scheme", ["linear", "dorefa"])
@pytest.mark.parametrize("bits", [2, 3, 4])
def test_even_steps_are_the_nearest_ones(scheme: Scheme, bits: int) -> None:
    values = torch.tensor(levels(bits, scheme), dtype=torch.float64)
    nearest = (GRID[:, None] - values).abs().min(1).values
    found = (GRID - QuantizedActivation(bits, scheme)(GRID)).abs()
    assert torch.allclose(found, nearest, rtol=0, atol=1e-12)


def test_one_bit_is_the_sign_with_the_binarizers_gradient() -> None:
    x = torch.tensor([-1.5, -1.0, -0.2, -0.0, 0.0, 0.3, 1.0, 1.1])
    quantizers: list[Function] = [
        lambda x: linear_quant(x, 1),
        lambda x: log_quant_bits(x, 1),
        QuantizedActivation(1),
        QuantizedActivation(1, "log"),
    ]
    outcomes = []
    for quantizer in [binarize, *quantizers]:
        leaf = x.clone().requires_grad_()
        y = quantizer(leaf)
        y.backward(torch.arange(1.0, 9.0))
        assert leaf.grad is not None
        outcomes.append((y.tolist(), leaf.grad.tolist()))
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert outcomes[0][0] == [-1, -1, -1, 1, 1, 1, 1, 1]


@given(st.integers(2, 8), st.floats(-4, 3), st.floats(0.1, 5))
def test_linear_quant_over_any_range(bits: int, low: float, width: float) -> None:
    high = low + width
    x = torch.linspace(low - width, high + width, 5001, dtype=torch.float64)
    y = linear_quant(x, bits, low, high)
    step = (high - low) / (2**bits - 1)
    codes = (y - low) / step
    assert torch.allclose(codes, codes.round(), atol=1e-9)
    assert codes.round().unique().tolist() == list(range(2**bits))
    assert ((y - x.clamp(low, high)).abs() <= step / 2 * (1 + 1e-9)).all()


def test_the_printed_grid_has_too_many_values_over_a_symmetric_range() -> None:
    # why linear_quant begins its grid at `low`: clip(round(x / D) * D, -1, 1) with D = 2 / (2^k - 1)
    for bits in (2, 3, 4):
        step = 2 / (2**bits - 1)
        assert len(((GRID / step).round() * step).clamp(-1, 1).unique()) == 2**bits + 1
    # over [0, 1] the two are the same
    x = GRID + 3e-5  # no ties
    assert torch.allclose(((x * 7).round() / 7).clamp(0, 1), linear_quant(x, 3, 0.0, 1.0), rtol=0, atol=1e-12)


def test_log_quant_is_the_clipped_power_of_two() -> None:
    x = torch.tensor([0.0, 0.1, 0.7, 0.72, 1.4, 1.5, 5.0, 6.0, 100.0, -0.3, -3.0])
    assert log_quant(x, -0.5, 4.0).tolist() == [0, 0.125, 0.5, 1, 1, 2, 4, 4, 4, -0.25, -0.5]
    y = log_quant(GRID, -2.0, 2.0)
    ratio = (y / GRID)[GRID != 0]
    assert (ratio.min().item(), ratio.max().item()) == pytest.approx((0.5**0.5, 2**0.5), rel=1e-3)
    assert (y.diff() >= 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, 1.0), (-0.5, 4.0)])
def test_gradients_pass_within_the_range_and_only_there(low: float, high: float, dtype: torch.dtype) -> None:
    ends = torch.tensor([low, high], dtype=dtype)
    outside = torch.nextafter(ends, torch.tensor([-10.0, 10.0], dtype=dtype))
    x = torch.cat([ends, outside, torch.tensor([0.25, -9.0, 9.0], dtype=dtype)])
    functions: list[Function] = [lambda x: linear_quant(x, 3, low, high), lambda x: log_quant(x, low, high)]
    for function in functions:
        leaf = x.clone().requires_grad_()
        function(leaf).backward(torch.arange(1.0, 8.0, dtype=dtype))
        assert leaf.grad is not None
        assert leaf.grad.tolist() == [1, 2, 0, 0, 5, 0, 0]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_activation_masks_at_the_ends_of_its_range(scheme: Scheme) -> None:
    x = torch.tensor([-1.01, -1.0, -0.01, 0.0, 1.0, 1.01], requires_grad=True)
    QuantizedActivation(2, scheme)(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == ([0, 0, 0, 1, 1, 0] if scheme == "dorefa" else [0, 1, 1, 1, 1, 0])


def bit_planes(codes: Tensor, bits: int) -> list[Tensor]:
    return [(codes.long() >> m & 1).double() for m in range(bits)]


@given(st.integers(1, 5), st.integers(2, 5), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_a_product_of_few_bits_is_a_weighted_sum_over_bit_planes(x_bits: int, w_bits: int, n: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = QuantizedActivation(x_bits, "dorefa")(torch.rand(6, n, generator=generator, dtype=torch.float64))
    layer = QuantizedLinear(n, 4, w_bits).double()
    layer.reset_parameters(generator)
    x_codes, x_step = (x * (2**x_bits - 1)).round(), 1 / (2**x_bits - 1)
    w_step = 2 / (2**w_bits - 1)
    w_codes = ((layer.binary_weight().detach() + 1) / w_step).round()
    products = torch.zeros(6, 4, dtype=torch.float64)
    for i, x_plane in enumerate(bit_planes(x_codes, x_bits)):
        for j, w_plane in enumerate(bit_planes(w_codes, w_bits)):
            products += 2.0 ** (i + j) * (x_plane @ w_plane.T)  # the popcount of an AND
    expected = x_step * (w_step * products - x_codes.sum(1, keepdim=True))
    assert torch.allclose(layer(x), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("scheme", ["linear", "log"])
def test_layers_of_one_bit_are_the_binary_ones(scheme: Literal["linear", "log"]) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 4, 9, 9, generator=generator)
    pairs: list[tuple[Any, Any, Tensor]] = [
        (QuantizedLinear(9, 5, bits=1, scheme=scheme), BinaryLinear(9, 5), x),
        (QuantizedConv2d(4, 6, 3, 2, 1, bits=1, scheme=scheme), BinaryConv2d(4, 6, 3, 2, 1), x),
    ]
    for quantized, binary, inputs in pairs:
        quantized.reset_parameters(generator)
        binary.weight = nn.Parameter(quantized.weight.detach().clone())
        y, expected = quantized(inputs), binary(inputs)
        assert torch.equal(y, expected)
        y.square().sum().backward()
        expected.square().sum().backward()
        assert torch.equal(quantized.weight.grad, binary.weight.grad)


@pytest.mark.parametrize(("scheme", "bits"), [("linear", 2), ("linear", 4), ("log", 3)])
def test_layers_compute_with_quantized_weights_and_train_the_latent_ones(
    scheme: Literal["linear", "log"], bits: int
) -> None:
    layers = [QuantizedLinear(50, 40, bits, scheme), QuantizedConv2d(4, 40, 3, bits=bits, scheme=scheme)]
    for layer in layers:
        layer.reset_parameters(torch.Generator().manual_seed(0))
        weight = layer.binary_weight()
        assert np.allclose(weight.detach().unique().numpy(), levels(bits, scheme), atol=1e-6)
        weight.backward(torch.ones_like(weight))
        assert layer.weight.grad is not None
        assert layer.weight.grad.eq(1).all()
        layer.weight.data.mul_(3)
    net = nn.Sequential(*layers)
    assert list(binary_layers(net)) == layers
    assert [group["scale"] for group in parameter_groups(net, True)][:2] == [learning_rate_scale(la) for la in layers]
    clip_latent_weights(net)
    assert max(layer.weight.abs().max().item() for layer in layers) == 1


def test_packing_refuses_layers_of_more_than_one_bit() -> None:
    with pytest.raises(ValueError, match="begins with QuantizedLinear"):
        PackedNet.from_module(nn.Sequential(QuantizedLinear(4, 4, 2), nn.BatchNorm1d(4)))
    with pytest.raises(ValueError, match="QuantizedActivation is out of place"):
        PackedNet.from_module(nn.Sequential(BinaryLinear(4, 4), nn.BatchNorm1d(4), QuantizedActivation(2)))


def rounded(gradient: Tensor, bits: int, seed: int = 0) -> Tensor:
    x = torch.zeros_like(gradient, requires_grad=True)
    y = quantize_gradient(x, bits, torch.Generator().manual_seed(seed))
    assert torch.equal(y, x)
    y.backward(gradient)
    assert x.grad is not None
    return x.grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bits", [2, 3, 4, 6])
def test_rounded_gradients_have_their_values_around_the_gradient(bits: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    g = torch.randn(20_000, generator=generator, dtype=dtype)
    g *= 10.0 ** torch.randint(-9, 1, (20_000,), generator=generator)
    g[0], g[1] = 5.5, 0.0
    largest = 8.0
    powers = [largest * 2.0**-j for j in range(2 ** (bits - 1) - 1)]
    values = np.sort(np.array([0.0, *powers]))
    y = rounded(g, bits)
    assert set(y.abs().unique().tolist()) <= set(values.tolist())
    assert len(values) * 2 - 1 == 2**bits - 1
    size = g.abs().double().numpy()
    above = np.searchsorted(values, size)  # values[above - 1] < size <= values[above]
    index = np.searchsorted(values, y.abs().double().numpy())
    assert np.all((index == above) | (index == above - 1))
    assert ((y == 0) | (y.sign() == g.sign())).all()
    y[0] = largest  # now the values are its own
    assert torch.equal(rounded(y, bits, seed=5), y)


def test_rounded_gradients_are_unbiased() -> None:
    n = 40_000
    g = torch.tensor([1.0, -0.9, 0.75, 0.3, -0.26, 0.1, 0.02, 1e-3, -1e-5, 0.0], dtype=torch.float64)
    for bits in (2, 3, 4):
        draws = rounded(g.expand(n, -1).contiguous(), bits)
        values = np.sort([0.0, *(2.0**-j for j in range(2 ** (bits - 1) - 1))])
        size = g.abs().numpy()
        above = values[np.searchsorted(values, size)]
        below = np.where(size == above, above, values[np.maximum(np.searchsorted(values, size) - 1, 0)])
        # two values with the mean in between: the standard deviation is known; 4.5 standard errors
        deviation = np.sqrt((above - size) * (size - below))
        error = np.abs(draws.mean(0).numpy() - g.numpy())
        assert np.all(error <= 4.5 * deviation / np.sqrt(n) + 1e-12)
        assert (draws[:, 0] == 1).all()


def test_special_gradients() -> None:
    zeros = torch.zeros(5)
    assert torch.equal(rounded(zeros, 4), zeros)
    assert rounded(torch.zeros(0), 4).shape == (0,)
    assert rounded(torch.tensor([float("nan"), 1.0]), 4).isnan().tolist() == [True, False]
    y = rounded(torch.full((1000,), 1e-30).cumsum(0), 4)
    assert (y > 0).any()


@pytest.mark.parametrize(
    "make",
    [
        lambda: linear_quant(GRID, 0),
        lambda: linear_quant(GRID, 17),
        lambda: log_quant_bits(GRID, 8),
        lambda: quantize_gradient(GRID, 1, torch.Generator()),
        lambda: QuantizedActivation(2, "cubic"),  # type: ignore[arg-type]
        lambda: QuantizedLinear(2, 2, 2, "dorefa"),  # type: ignore[arg-type]
    ],
)
def test_impossible_settings_are_refused(make: Any) -> None:
    with pytest.raises(ValueError, match=r"bits; it must be|scheme is"):
        make()


def test_a_net_of_two_bits_with_six_bit_gradients_learns() -> None:
    generator = torch.Generator().manual_seed(2)
    first, second = QuantizedLinear(16, 64, bits=2), QuantizedLinear(64, 3, bits=2)
    norms = nn.BatchNorm1d(64), nn.BatchNorm1d(3)
    for layer in (first, second):
        layer.reset_parameters(generator)
    net = nn.Sequential(first, norms[0], QuantizedActivation(2), second, norms[1])
    optimizer = torch.optim.Adam(parameter_groups(net, True))
    x = 2 * torch.rand(300, 16, generator=generator) - 1
    labels = x[:, :3].argmax(1)
    losses = []
    for _ in range(60):
        set_learning_rate(optimizer, 0.003)
        optimizer.zero_grad()
        hidden = quantize_gradient(norms[0](quantize_gradient(first(x), 6, generator)), 6, generator)
        loss = squared_hinge(norms[1](second(net[2](hidden))), labels)
        loss.backward()
        optimizer.step()
        clip_latent_weights(net)
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_a_quantized_gradient_is_the_identity_forwards_and_few_values_backwards() -> None:
    x = torch.randn(200, 30, generator=torch.Generator().manual_seed(0), requires_grad=True)
    module = QuantizedGradient(4, torch.Generator().manual_seed(1))
    y = module(x)
    assert torch.equal(y, x)
    y.square().sum().backward()
    assert x.grad is not None
    assert len(x.grad.unique()) <= 2**4 - 1
    with pytest.raises(ValueError, match="bits"):
        QuantizedGradient(1, torch.Generator())
