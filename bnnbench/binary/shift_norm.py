"""Batch normalisation by shifts: every factor is rounded to a power of two (Hubara et al. 2016)."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from bnnbench.binary.shift import ap2, ap2_numbers

FACTOR = 0.125  # weight of a new batch in the running statistics


class ShiftBatchNorm(nn.Module):
    """Shift-based batch normalisation of dense [N, C] or, with `spatial`, image [N, C, H, W] activations.

    Training, with averages over all but the channels: c = x - mean(x), r = 1 / sqrt(mean(c * AP2(c)) + eps),
    y = AP2(gamma) * c * AP2(r) + beta. Evaluation: y = AP2(gamma) * (x - running_mean) * AP2(running_rstd) + beta.
    `running_rstd` averages r itself, before AP2; no variance is kept. The gradients are those of the published code,

        g_x = AP2(gamma) * AP2(r) * (g - mean(g) - AP2(c) * AP2(r)^2 * mean(AP2(c) * g)),
        g_gamma = sum(AP2(c * AP2(r)) * g),  g_beta = sum(g),

    not those of this function, whose AP2 has slope 0. In evaluation gamma gets no gradient.

    `running_rstd` starts at 1 if dense and at 0 if spatial, as in the authors' Torch7 files: before any training,
    evaluation gives AP2(gamma) * x + beta if dense, and beta if spatial.

    `variant`: "code" is the Torch7 code. "paper" is the algorithm as printed, which lacks beta (`bias` is None); it
    prints neither the gradient nor the running statistics, so those are the code's in both variants.
    """

    running_mean: Tensor
    running_rstd: Tensor

    def __init__(
        self,
        features: int,
        spatial: bool = False,
        eps: float = 1e-5,
        variant: Literal["code", "paper"] = "code",
    ) -> None:
        super().__init__()
        if variant not in ("code", "paper"):
            raise ValueError(f"ShiftBatchNorm: variant is {variant!r}; it must be 'code' or 'paper'")
        self.features, self.spatial, self.eps, self.variant = features, spatial, eps, variant
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features)) if variant == "code" else None
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_rstd", torch.zeros(features) if spatial else torch.ones(features))

    def extra_repr(self) -> str:
        """The settings, for `print`."""
        return f"{self.features}, spatial={self.spatial}, eps={self.eps}, variant={self.variant!r}"

    def forward(self, x: Tensor) -> Tensor:
        """[N, C] -> [N, C], or [N, C, H, W] -> [N, C, H, W]; training also moves the running statistics."""
        if x.ndim != (4 if self.spatial else 2) or x.shape[1] != self.features:
            form = f"[N, {self.features}{', H, W' if self.spatial else ''}]"
            raise ValueError(f"ShiftBatchNorm: x is {list(x.shape)}; it must be {form}")
        if self.training:
            y, mean, rstd = _ShiftNorm.apply(x, self.weight, self.bias, self.eps)  # type: ignore[no-untyped-call]
            with torch.no_grad():
                self.running_mean.mul_(1 - FACTOR).add_(mean, alpha=FACTOR)
                self.running_rstd.mul_(1 - FACTOR).add_(rstd, alpha=FACTOR)
            return y  # type: ignore[no-any-return]
        slope = ap2(self.weight) * ap2(self.running_rstd)
        y = (x - _along(self.running_mean, x)).mul_(_along(slope, x))
        return y if self.bias is None else y.add_(_along(self.bias, x))

    def evaluation_map(self) -> tuple[Tensor, Tensor, Tensor]:
        """slope, mean and beta [C] in float64 of what evaluation computes: y = slope * (x - mean) + beta."""
        slope = ap2(self.weight.detach()).double() * ap2(self.running_rstd).double()
        beta = torch.zeros_like(slope) if self.bias is None else self.bias.detach().double()
        return slope, self.running_mean.double(), beta


def _along(vector: Tensor, x: Tensor) -> Tensor:
    """[C] in the shape that broadcasts over the channels of `x`."""
    return vector.view(1, -1, *[1] * (x.ndim - 2))


class _ShiftNorm(Function):
    """Gives y, the mean [C] and the reciprocal standard deviation [C] of the batch."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gamma: Tensor, beta: Tensor | None, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        others = [d for d in range(x.ndim) if d != 1]
        mean = x.mean(others)
        centred = x - _along(mean, x)
        shifted = ap2_numbers(centred)  # a NaN goes on through the variance
        rstd = (shifted * centred).mean(others).add_(eps).rsqrt_()
        scale, slope = ap2(rstd), ap2(gamma)
        ctx.save_for_backward(shifted, scale, slope)
        ctx.mark_non_differentiable(mean, rstd)
        # Multiplying by a power of two is exact, so the two can go together, and in place.
        y = centred.mul_(_along(slope * scale, x))
        return (y if beta is None else y.add_(_along(beta, x))), mean, rstd

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        shifted, scale, slope = ctx.saved_tensors
        # The published rule is the usual one of batch normalisation for the input AP2(c) with mean 0, deviation
        # 1 / AP2(r) and weight AP2(gamma), since AP2(c * AP2(r)) = AP2(c) * AP2(r). Its kernel is one pass over memory.
        return (
            *torch.ops.aten.native_batch_norm_backward(
                gradient,
                shifted,
                slope,
                None,
                None,
                torch.zeros_like(scale),
                scale,
                True,  # the statistics are the batch's
                0.0,
                ctx.needs_input_grad[:3],
            ),
            None,
        )
