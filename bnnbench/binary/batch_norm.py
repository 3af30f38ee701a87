"""Batch normalisation over a batch that several processes share."""

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable


class BatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation of [N, C] or [N, C, H, W] with the statistics of the whole batch.

    In a process group the mean and variance are those over the parts of all processes, which must be of equal size
    (PyTorch's SyncBatchNorm does so on GPUs only). `scale` is the factor gamma, which a net of signs can do without.

    A value that equals the mean becomes exactly beta. This is common in a binarized net: sums of signs are integers,
    and their mean over a batch may be an integer too. PyTorch's own BatchNorm leaves a rounding error there, whose sign
    differs between machines and numbers of processes, and the sign that follows would make it +1 or -1.
    """

    def __init__(self, features: int, eps: float = 1e-5, momentum: float = 0.1, scale: bool = True) -> None:
        super().__init__(features, eps, momentum)
        if not scale:
            self.register_parameter("weight", None)

    def reset_parameters(self) -> None:
        """Mean 0, variance 1, gamma 1 and beta 0."""
        self.reset_running_stats()
        for parameter, value in ((self.weight, 1.0), (self.bias, 0.0)):
            if parameter is not None:
                nn.init.constant_(parameter, value)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() not in (2, 4):
            raise ValueError(f"expected [N, C] or [N, C, H, W], got {list(input.shape)}")

    def forward(self, x: Tensor) -> Tensor:
        """[N, C] -> [N, C], or [N, C, H, W] -> [N, C, H, W]."""
        if not self.training:
            return super().forward(x)
        self._check_input_dim(x)
        count = _processes() * x.numel() // x.shape[1]
        if count < 2:
            raise ValueError(f"a batch of shape {list(x.shape)} has one value a channel, which has no variance")
        y, mean, variance = _Normalise.apply(x, self.eps)  # type: ignore[no-untyped-call]
        self._follow(mean, variance, count)
        beta = _channels(self.bias, x)
        shifted: Tensor = beta + y if self.weight is None else torch.addcmul(beta, y, _channels(self.weight, x))
        return shifted.to(x.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Moves the running statistics as PyTorch does: by `momentum`, or where it is None to the mean of all batches.

        The variance is the unbiased one of `count` values.
        """
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        weight = 1 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, weight)
        self.running_var.lerp_(variance * (count / (count - 1)), weight)


class _Normalise(Function):
    """(x - mean) / sqrt(variance + eps); its gradient includes the effect of x on the other processes' outputs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        wide = x if x.dtype == torch.float64 else x.float()
        count, others = x.numel() // x.shape[1], _others(x)
        # The mean is a sum, since sums of integers are exact in any order. The variance avoids a difference of large
        # numbers, and torch.var, which takes ten times as long on a CPU.
        total = wide.sum(dim=others)
        spread = (wide - _channels(total / count, x)).square_().mean(dim=others)
        totals, spreads = _gather(torch.stack([total, spread])).unbind(dim=1)
        mean = totals.sum(dim=0) / (count * len(totals))
        variance = (spreads + (totals / count - mean).square()).mean(dim=0)
        inverse = torch.rsqrt(variance + eps)
        y = (wide - _channels(mean, x)).mul_(_channels(inverse, x))
        ctx.save_for_backward(y, inverse)
        ctx.mark_non_differentiable(mean, variance)
        return y, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor, None]:
        y, inverse = ctx.saved_tensors
        local = torch.stack([gradient.mean(dim=_others(y)), (gradient * y).mean(dim=_others(y))])
        mean, slope = _gather(local).mean(dim=0).unbind()
        centred = gradient - _channels(mean, y)
        return centred.addcmul_(y, _channels(slope, y), value=-1).mul_(_channels(inverse, y)), None


def _processes() -> int:
    return distributed.get_world_size() if distributed.is_initialized() else 1


def _gather(values: Tensor) -> Tensor:
    """The values [...] of all processes, [processes, ...], in each of them."""
    if _processes() == 1:
        return values[None]
    parts = [torch.empty_like(values) for _ in range(_processes())]
    distributed.all_gather(parts, values.contiguous())
    return torch.stack(parts)


def _others(x: Tensor) -> list[int]:
    """The dimensions of `x` except that of the channels."""
    return [dim for dim in range(x.dim()) if dim != 1]


def _channels(values: Tensor, x: Tensor) -> Tensor:
    """Values [C] in the shape that broadcasts against `x`."""
    return values.view(1, -1, *[1] * (x.dim() - 2))
