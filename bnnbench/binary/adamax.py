"""AdaMax by shifts: the step and the divisor are powers of two (Hubara et al. 2016)."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from bnnbench.binary.shift import ap2_numbers, power_of_two

EPSILON = 2.0**-27
BETAS = {"code": (0.9, 0.999), "paper": (1 - 2.0**-3, 1 - 2.0**-10)}


class ShiftAdaMax(Optimizer):
    """Shift-based AdaMax over groups with a `scale` each, as `optimize.parameter_groups` builds them.

    With the learning rate a = lr / scale, as `optimize.set_learning_rate` was given it, and the t-th gradient g,

        m <- beta1 * m + (1 - beta1) * g,  v <- max(beta2 * v, |g|),

    "code" is the Torch7 code (betas 0.9 and 0.999): v <- AP2(v) + 2^-27, which stays in the state, and
    theta <- theta - scale * AP2(a / (1 - beta1^t)) * m / v. Since beta2 * 2^k rounds back to 2^k, v never falls.

    "paper" is the algorithm as printed (1 - beta1 = 2^-3, 1 - beta2 = 2^-10): v is not rounded in the state, and
    theta <- theta - scale * a * AP2(1 / (1 - beta1^t)) * m * AP2(1 / v), with no step where v = 0. The printed text has
    1 - beta1 in place of 1 / (1 - beta1^t), which we take to mean the bias correction of Adam.

    Clipping is left to `optimize.clip_latent_weights`. t counts the steps of a group, as for one flat vector: a
    parameter without gradient misses the step but not the count. Gradients are dense.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 2.0**-10,
        betas: tuple[float, float] | None = None,
        variant: Literal["code", "paper"] = "code",
    ) -> None:
        if variant not in BETAS:
            raise ValueError(f"ShiftAdaMax: variant is {variant!r}; it must be 'code' or 'paper'")
        betas = betas or BETAS[variant]
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"ShiftAdaMax: betas are {betas}; they must be in [0, 1)")
        super().__init__(params, {"lr": lr, "scale": 1.0, "betas": betas, "variant": variant, "steps": 0})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates every parameter that has a gradient; returns what `closure` returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            group["steps"] += 1
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if parameters:
                self._update(parameters, group)
        return loss

    def _update(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter] = {"m": torch.zeros_like(parameter), "v": torch.zeros_like(parameter)}
        m = [self.state[parameter]["m"] for parameter in parameters]
        v = [self.state[parameter]["v"] for parameter in parameters]
        beta1, beta2 = group["betas"]
        torch._foreach_lerp_(m, gradients, 1 - beta1)
        torch._foreach_mul_(v, beta2)
        torch._foreach_maximum_(v, torch._foreach_abs(gradients))
        rate, correction = group["lr"] / group["scale"], 1 - beta1 ** group["steps"]
        if group["variant"] == "code":
            # This rounding turns a NaN into a number, but m still holds it.
            for bound in v:
                ap2_numbers(bound, out=bound)
            torch._foreach_add_(v, EPSILON)
            divisors, step = v, power_of_two(rate / correction)
        else:
            # AP2(1 / v) is 1 / AP2(v). Where v = 0, m is 0, and any divisor but 0 leaves the parameter alone.
            divisors = [ap2_numbers(bound).clamp_(min=torch.finfo(bound.dtype).smallest_normal) for bound in v]
            step = rate * power_of_two(1 / correction)
        torch._foreach_addcdiv_(parameters, m, divisors, value=-step * group["scale"])
