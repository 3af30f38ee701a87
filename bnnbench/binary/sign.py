"""Binarization with sign(0) = +1, and its straight-through gradients (Hubara et al. 2016, equations 1 to 5)."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


def sign(x: Tensor) -> Tensor:
    """+1 where x >= 0, else -1, in the dtype of `x` (equation 1; `torch.sign` would give 0 at 0)."""
    # -1, 0, 1 become -0.5, 0.5, 1.5 and then signs; on a CPU 15 times faster than torch.where(x >= 0, 1, -1).
    return torch.sign(x).add_(0.5).sign_()


def hard_sigmoid(x: Tensor) -> Tensor:
    """clip((x + 1) / 2, 0, 1) (equation 3)."""
    return ((x + 1) / 2).clamp(0, 1)


def stochastic_sign(x: Tensor, generator: torch.Generator) -> Tensor:
    """+1 with probability `hard_sigmoid(x)`, else -1, with fresh noise at each call (equation 2)."""
    noise = torch.rand(x.shape, generator=generator, device=generator.device, dtype=x.dtype).to(x.device)
    return sign(noise - hard_sigmoid(x)).neg_()


class _Straight(Function):
    """Hands over `binary` in the forward pass and the gradient of the clipped identity in the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, binary: Tensor, mask: bool) -> Tensor:
        ctx.save_for_backward(x if mask else None)
        return binary

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        return (gradient if x is None else _inside(gradient, x)), None, None


def _inside(gradient: Tensor, x: Tensor) -> Tensor:
    """The gradient where |x| <= 1, else 0."""
    # The derivative of hardtanh is open at its limits, so they are the next numbers after 1; the fused kernel is 25
    # times faster on a CPU than torch.where.
    limit = 1.0 + torch.finfo(x.dtype).eps
    return torch.ops.aten.hardtanh_backward(gradient, x, -limit, limit)  # type: ignore[no-any-return]


def binarize(x: Tensor, generator: torch.Generator | None = None, mask: bool = True) -> Tensor:
    """The sign of `x` with a straight-through gradient: `g * 1{|x| <= 1}` (equation 4), or `g` without `mask`.

    With a `generator` the forward pass is stochastic; the gradient is the same.
    """
    with torch.no_grad():
        binary = sign(x) if generator is None else stochastic_sign(x, generator)
    return _Straight.apply(x, binary, mask)  # type: ignore[no-any-return, no-untyped-call]
