"""The fast gradient sign method against single draws of a classifier (Goodfellow et al. 2015)."""

import torch
from torch import Tensor
from torch.nn import functional

from bnnbench.bayes.network import Net


def input_gradients(net: Net, theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Gradients [S, N, p] with respect to x [N, p] of the cross-entropy at labels y [N], for each draw theta [S, P]."""
    copies = x.expand(len(theta), *x.shape).clone().requires_grad_()
    logits = torch.cat([net.outputs(draw[None], part) for draw, part in zip(theta, copies, strict=True)])
    loss = functional.cross_entropy(logits.flatten(0, 1), y.repeat(len(theta)), reduction="sum")
    return torch.autograd.grad(loss, copies)[0]


def attacked(net: Net, theta: Tensor, x: Tensor, y: Tensor, size: float, gradients: Tensor) -> tuple[Tensor, Tensor]:
    """Probabilities of each draw at x and at x + size sign(gradient), both [S, N, C], with the draw's own gradient."""
    moved = x + size * gradients.sign()
    with torch.no_grad():
        before = net.outputs(theta, x).softmax(-1)
        after = torch.cat([net.outputs(draw[None], part) for draw, part in zip(theta, moved, strict=True)]).softmax(-1)
    return before, after


def robustness(before: Tensor, after: Tensor, tolerances: dict[str, float]) -> dict[str, float]:
    """Shares of all pairs of a draw and a point, by name.

    `flipped` is the share whose class changes; each tolerance gives the share whose probabilities change by no more
    than it in the 2-norm.
    """
    moved = (before - after).norm(dim=-1)
    within = {name: (moved <= delta).double().mean().item() for name, delta in tolerances.items()}
    return {"flipped": (before.argmax(-1) != after.argmax(-1)).double().mean().item(), **within}
