"""Generalised Gauss-Newton curvature of all parameters of a net: sum_n J_n^T L_n J_n, full or its diagonal."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.func import jacrev, vmap

from bnnbench.bayes import layerwise
from bnnbench.bayes.curvature import Curvature, Diagonal, Full
from bnnbench.bayes.likelihood import Likelihood
from bnnbench.bayes.network import WholeNet, call

ENTRIES = 2**22  # entries of the Jacobians that are held at once


def jacobians(net: WholeNet, theta: Tensor) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """A function of inputs [n, ...] that gives outputs [n, C] and their derivatives in theta [n, C, P]."""
    net.module.eval()

    def one(theta: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        outputs = call(net.module, net.named(theta), x.unsqueeze(0))[0]
        return outputs, outputs

    derivative = vmap(jacrev(one, has_aux=True), in_dims=(None, 0))

    def both(x: Tensor) -> tuple[Tensor, Tensor]:
        jacobian, outputs = derivative(theta, x)
        return outputs, jacobian

    return both


@torch.no_grad()
def curvature(
    net: WholeNet, theta: Tensor, x: Tensor, likelihood: Likelihood, structure: Literal["full", "diagonal"]
) -> Curvature:
    """The Gauss-Newton matrix of the summed negative log-likelihood at theta [P], inputs x [N, ...].

    The statistics of batch norms are treated as constants. Memory: P^2 numbers for the full form.
    """
    full = structure == "full"
    if not full and layerwise.applies(net, theta, x):
        return Diagonal(layerwise.diagonal(net, theta, x, likelihood).to(theta.dtype))
    jacobian_of = jacobians(net, theta)
    total = torch.zeros((net.n_params,) * (1 + full), dtype=torch.float64, device=x.device)
    for part in x.split(points_at_once(net, theta, x)):
        outputs, jacobian = jacobian_of(part)
        rooted = torch.einsum("nck,ncp->nkp", likelihood.root(outputs), jacobian).flatten(0, 1)
        total += rooted.T @ rooted if full else rooted.square().sum(0)
    return Full.of(total).to(theta.dtype) if full else Diagonal(total.to(theta.dtype))


def points_at_once(net: WholeNet, theta: Tensor, x: Tensor) -> int:
    """How many points' Jacobians fit into `ENTRIES`."""
    n_outputs = net.outputs(theta[None], x[:1]).shape[-1]
    return max(1, ENTRIES // (n_outputs * net.n_params))
