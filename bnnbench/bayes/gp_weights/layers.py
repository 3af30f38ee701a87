"""A layer of a net whose weights are drawn from a process: its outputs given inputs, by three forms of the conditional.

full     the joint normal of all weights given the inducing variables, for small nets;
diag     the same without its correlations: outputs are then normal, and are drawn instead of weights;
det      the expected weights, without the conditional's variance.
"""

from typing import Literal

import torch
from torch import Generator, Tensor

from bnnbench.bayes.gp_weights.kernels import rbf
from bnnbench.bayes.gp_weights.process import TINY, At, Grid, LayerKernel
from bnnbench.bayes.noise import normal

Conditional = Literal["full", "diag", "det"]
EPSILON = 1e-8  # added to the diagonal of a covariance, as codes may lie very near to each other


def outputs(h: Tensor, kernel: LayerKernel, at: At, grid: Grid, noisy: bool, stream: Generator | None) -> Tensor:
    """Outputs [S, N, V_out], over s, of a layer at inputs h [S or 1, N, V_in], with the constant unit among them.

    Given the inducing variables they are normal with mean ((h A) * beta) B^T and, where `noisy`, variance
    sum_j h_j^2 (1 - |phi|^2 |psi_ij|^2). Noise is drawn for each output of each point.
    """
    mean = ((h @ kernel.a) * at.beta) @ kernel.b.mT
    if not noisy:
        return mean
    squares = h.square()
    left = squares.sum(-1, keepdim=True) - at.squares * (squares @ kernel.explained(grid.root).mT)
    return mean + left.clamp_min(TINY).sqrt() * normal(mean.shape, stream, mean.detach())


def expected(kernel: LayerKernel, at: At) -> Tensor:
    """Expected weights [S, V_out, V_in], over s, where they do not depend on the input."""
    return (kernel.b * at.beta) @ kernel.a.mT


def deviations(kernel: LayerKernel, at: At, grid: Grid) -> Tensor:
    """Standard deviations [S, V_out, V_in], over s, of weights that do not depend on the input."""
    return (1 - at.squares * kernel.explained(grid.root)).clamp_min(TINY).sqrt()


def joint(codes: Tensor, at: At, grid: Grid, stream: Generator | None) -> Tensor:
    """Weights [S, N or 1, W], over s, with codes [S, W, 2 D], from their joint normal given the inducing variables.

    Points are independent, as only their own weights enter the bound.
    """
    psi = grid.psi(codes)
    mean = at.beta @ rbf(codes, grid.codes, grid.length).mT
    covariance = rbf(codes, codes, grid.length)[:, None] - at.squares[..., None] * (psi @ psi.mT)[:, None]
    eye = torch.eye(codes.shape[1], dtype=mean.dtype, device=mean.device)
    root = torch.linalg.cholesky(covariance + EPSILON * eye)
    drawn: Tensor = mean + (root @ normal((*mean.shape, 1), stream, mean.detach())).squeeze(-1)
    return drawn
