"""Quantization to a few bits: quantizers, layers and gradients of Quantized Neural Networks (Hubara et al. 2018)."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional

from bnnbench.binary.layers import BinaryLayer
from bnnbench.binary.shift import ap2, mantissa
from bnnbench.binary.sign import sign, straight_through

Scheme = Literal["linear", "log", "dorefa"]
RANGES: dict[str, tuple[float, float]] = {"linear": (-1.0, 1.0), "log": (-1.0, 1.0), "dorefa": (0.0, 1.0)}
MOST_BITS = {"linear": 16, "log": 7, "dorefa": 16}  # with 7 bits the smallest power is 2^-63, well within float32


def linear_quant(x: Tensor, bits: int, low: float = -1.0, high: float = 1.0) -> Tensor:
    """The nearest of 2^bits evenly spaced values from `low` to `high`; any shape, gradient `g * 1{low <= x <= high}`.

    The step is D = (high - low) / (2^bits - 1). The printed clip(round(x / D) * D, low, high) has its grid at 0; here
    the grid begins at `low`, which is the same where `low` is a multiple of D. Over a symmetric range it is not one:
    there the printed form gives 2^bits + 1 values, too many for `bits` bits.

    One bit is the sign, whatever the range: the values are then -1 and +1.
    """
    _check(bits, MOST_BITS["linear"])
    with torch.no_grad():
        value = sign(x) if bits == 1 else _even(x, bits, low, high)
    return straight_through(x, value, (low, high))


def log_quant(x: Tensor, low: float, high: float) -> Tensor:
    """clip(AP2(x), low, high); any shape, gradient `g * 1{low <= x <= high}`.

    The printed form has no number of bits, since the powers of two within the range go on towards 0.
    """
    with torch.no_grad():
        value = ap2(x).clamp_(low, high)
    return straight_through(x, value, (low, high))


def log_quant_bits(x: Tensor, bits: int) -> Tensor:
    """`log_quant` of the size of x in `bits`: a sign, and one of 2^(bits - 1) powers of two of which 1 is the largest.

    sign(x) * clip(AP2(|x|), 2^(1 - 2^(bits - 1)), 1), with sign(0) = +1: there is no 0, and one bit is the sign. The
    paper does not say which powers are used. Any shape, gradient `g * 1{|x| <= 1}`.
    """
    _check(bits, MOST_BITS["log"])
    with torch.no_grad():
        value = _powers(x, bits)
    return straight_through(x, value, RANGES["log"])


def _even(x: Tensor, bits: int, low: float, high: float) -> Tensor:
    step = (high - low) / (2**bits - 1)
    return x.sub(low).div_(step).round_().mul_(step).add_(low).clamp_(low, high)


def _powers(x: Tensor, bits: int) -> Tensor:
    return ap2(x.abs()).clamp_(2.0 ** (1 - 2 ** (bits - 1)), 1.0).mul_(sign(x))


def _values(x: Tensor, bits: int, scheme: Scheme) -> Tensor:
    """The quantized values of x, over the range of the scheme."""
    if scheme == "dorefa":
        return _even(x, bits, *RANGES[scheme])
    if bits == 1:
        return sign(x)
    return _even(x, bits, *RANGES[scheme]) if scheme == "linear" else _powers(x, bits)


def _check(bits: int, most: int, least: int = 1) -> None:
    if not least <= bits <= most:
        raise ValueError(f"quantization to {bits} bits; it must be {least} to {most}")


class QuantizedActivation(nn.Module):
    """Activations in `bits`, with the straight-through gradient within the range.

    "linear": `linear_quant` over [-1, 1]. "log": `log_quant_bits`. Both are the sign with one bit. "dorefa": 2^bits
    even steps over [0, 1], with one bit 0 and 1 (Zhou et al. 2016).
    """

    def __init__(self, bits: int, scheme: Scheme = "linear") -> None:
        super().__init__()
        if scheme not in RANGES:
            raise ValueError(f"QuantizedActivation: scheme is {scheme!r}; it must be one of {', '.join(RANGES)}")
        _check(bits, MOST_BITS[scheme])
        self.bits = bits
        self.scheme: Scheme = scheme

    def extra_repr(self) -> str:
        """The settings, for `print`."""
        return f"bits={self.bits}, scheme={self.scheme!r}"

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        with torch.no_grad():
            value = _values(x, self.bits, self.scheme)
        return straight_through(x, value, RANGES[self.scheme])


class QuantizedLayer(BinaryLayer):
    """A layer with weights of `bits` in [-1, 1] where `BinaryLayer` has signs; one bit is the sign.

    Latent weights, their gradient, clipping and learning-rate scale are those of `BinaryLayer`.
    """

    def __init__(self, shape: tuple[int, ...], bits: int, scheme: Literal["linear", "log"] = "linear") -> None:
        super().__init__(shape)
        if scheme not in ("linear", "log"):
            raise ValueError(f"QuantizedLayer: scheme is {scheme!r}; it must be linear or log")
        _check(bits, MOST_BITS[scheme])
        self.bits = bits
        self.scheme: Literal["linear", "log"] = scheme

    def extra_repr(self) -> str:
        """The settings, for `print`."""
        return f"{list(self.weight.shape)}, bits={self.bits}, scheme={self.scheme!r}"

    def binary_weight(self) -> Tensor:
        """The weights of the forward pass, in the shape of `weight`."""
        with torch.no_grad():
            value = _values(self.weight, self.bits, self.scheme)
        return straight_through(self.weight, value, None)


class QuantizedLinear(QuantizedLayer):
    """Dense layer with k-bit weights [fan_out, fan_in]."""

    def __init__(self, fan_in: int, fan_out: int, bits: int, scheme: Literal["linear", "log"] = "linear") -> None:
        super().__init__((fan_out, fan_in), bits, scheme)

    def forward(self, x: Tensor) -> Tensor:
        """[N, fan_in] -> [N, fan_out]."""
        return functional.linear(x, self.binary_weight())


class QuantizedConv2d(QuantizedLayer):
    """Convolution with k-bit weights [out, in, kernel, kernel]; padding is with zeros."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        *,
        bits: int,
        scheme: Literal["linear", "log"] = "linear",
    ) -> None:
        super().__init__((channels_out, channels_in, kernel, kernel), bits, scheme)
        self.stride, self.padding = stride, padding

    def forward(self, x: Tensor) -> Tensor:
        """[N, in, H, W] -> [N, out, H', W']."""
        return functional.conv2d(x, self.binary_weight(), stride=self.stride, padding=self.padding)


def quantize_gradient(x: Tensor, bits: int, generator: torch.Generator) -> Tensor:
    """`x`; its gradient is rounded stochastically to `bits`, and keeps its expectation. Any shape.

    The gradient takes the values 0 and +-2^(e - j), j = 0 .. 2^(bits - 1) - 2, where 2^e is the smallest power of two
    not below the largest gradient of the tensor: 2^bits - 1 values. A gradient goes to one of the two values around it,
    the nearer the likelier, so that its mean is itself (below the smallest power within 2^-23 of that).

    The paper quantizes gradients to 6 bits. That it does so with the logarithmic quantizer and stochastic rounding is
    *unverified*, and that the range follows the tensor's largest gradient is a choice made here.
    """
    _check(bits, MOST_BITS["log"], least=2)
    return _RoundedGradient.apply(x, bits, generator)  # type: ignore[no-any-return, no-untyped-call]


class QuantizedGradient(nn.Module):
    """The identity, with `quantize_gradient` in the backward pass."""

    def __init__(self, bits: int, generator: torch.Generator) -> None:
        super().__init__()
        _check(bits, MOST_BITS["log"], least=2)
        self.bits, self.generator = bits, generator

    def extra_repr(self) -> str:
        """The settings, for `print`."""
        return f"bits={self.bits}"

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return quantize_gradient(x, self.bits, self.generator)


class _RoundedGradient(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, bits: int, generator: torch.Generator) -> Tensor:
        ctx.bits, ctx.generator = bits, generator
        return x.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return (_stochastic_powers(gradient, ctx.bits, ctx.generator) if gradient.numel() else gradient), None, None


def _stochastic_powers(g: Tensor, bits: int, generator: torch.Generator) -> Tensor:
    stored, integers = mantissa(g.dtype)
    fraction = (1 << stored) - 1
    size = g.abs()
    # Adding all ones below the exponent and cutting them off rounds up to a power of two.
    largest = (size.max().view(integers) + fraction).bitwise_and_(~fraction).view(g.dtype)
    smallest = largest * 2.0 ** (2 - 2 ** (bits - 1))
    noise = torch.randint(fraction + 1, g.shape, generator=generator, device=generator.device, dtype=integers)
    noise = noise.to(g.device)
    # The mantissa of 2^k * (1 + f) is f, so uniform noise of its width carries into the exponent with probability f.
    power = (size.view(integers) + noise).bitwise_and_(~fraction).view(g.dtype)
    power = torch.clamp(size, power, power)  # power, or NaN where the gradient is
    below = smallest * (noise.to(g.dtype) * 2.0**-stored < size / smallest)
    return torch.where(size < smallest, below, power).copysign_(g)
