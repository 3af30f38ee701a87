"""Curvature of the last linear layer in closed form (Kristiadi et al. 2020).

Given features, outputs are linear in the parameters, so the generalised Gauss-Newton matrix is the exact Hessian. With
L_n the second derivative of point n's loss in its outputs (diag(p) - p p^T for classes) and f_n its features with a 1
for the bias, the block of outputs c and k is sum_n L_n[c, k] f_n f_n^T.
"""

from typing import Literal

import torch
from torch import Tensor

from bnnbench.bayes.curvature import Curvature, Diagonal, Full, Kronecker
from bnnbench.bayes.likelihood import Likelihood
from bnnbench.bayes.network import LinearNet

Structure = Literal["full", "kronecker", "diagonal"]
CHUNK = 1024  # points at once: the arrays of a chunk fit into the processor's cache


def curvature(
    net: LinearNet, theta: Tensor, features: Tensor, likelihood: Likelihood, structure: Structure
) -> Curvature:
    """The Hessian of the summed negative log-likelihood at theta [P], features [N, d].

    Eigenvalues of the full form are computed in float64: otherwise the small ones are lost in the rounding error of the
    largest.
    """
    if structure == "full":
        return Full.of(hessian(net, theta, features, likelihood)).to(features.dtype)
    if structure == "kronecker":
        return kronecker(net, theta, features, likelihood)
    return Diagonal(diagonal(net, theta, features, likelihood))


def hessian(net: LinearNet, theta: Tensor, features: Tensor, likelihood: Likelihood, chunk: int = CHUNK) -> Tensor:
    """All P x P entries in float64 (sums within a chunk of points have the precision of `features`).

    Only blocks on and above the diagonal are computed: one product [D, n] x [n, (C - c) D] for each output c and chunk
    of n points.
    """
    n_outputs, width = net.n_outputs, net.augmented(features[:1]).shape[1]
    upper = torch.zeros(n_outputs, width, n_outputs, width, dtype=torch.float64, device=features.device)
    for part in features.split(chunk):
        inputs = net.augmented(part)
        second = likelihood.hessian(net.outputs(theta[None], part)[0])
        for c in range(n_outputs):
            weighted = second[:, c, c:, None] * inputs[:, None, :]
            upper[c, :, c:] += (inputs.T @ weighted.flatten(1)).view(width, n_outputs - c, width)
    for c in range(n_outputs):
        upper[c + 1 :, :, c] = upper[c, :, c + 1 :].permute(1, 2, 0)
    joint = upper.view(n_outputs * width, n_outputs * width)
    order = net.joint_order(features.device)
    matrix = joint.new_zeros(net.n_params, net.n_params)
    matrix[order[:, None], order] = joint
    return matrix


def diagonal(net: LinearNet, theta: Tensor, features: Tensor, likelihood: Likelihood, chunk: int = CHUNK) -> Tensor:
    """The diagonal [P]."""
    width = net.augmented(features[:1]).shape[1]
    total = torch.zeros(net.n_outputs, width, dtype=torch.float64, device=features.device)
    for part in features.split(chunk):
        second = likelihood.hessian(net.outputs(theta[None], part)[0]).diagonal(dim1=-2, dim2=-1)
        total += second.T @ net.augmented(part).square()
    values = total.new_zeros(net.n_params).index_copy(0, net.joint_order(features.device), total.reshape(-1))
    return values.to(features.dtype)


def kronecker(net: LinearNet, theta: Tensor, features: Tensor, likelihood: Likelihood, chunk: int = CHUNK) -> Kronecker:
    """mean_n L_n x sum_n f_n f_n^T: exact where L_n is the same for all points."""
    width = net.augmented(features[:1]).shape[1]
    over_outputs = torch.zeros(net.n_outputs, net.n_outputs, dtype=torch.float64, device=features.device)
    over_features = over_outputs.new_zeros(width, width)
    for part in features.split(chunk):
        inputs = net.augmented(part)
        over_outputs += likelihood.hessian(net.outputs(theta[None], part)[0]).sum(0)
        over_features += inputs.T @ inputs
    over_outputs /= len(features)
    exact = Kronecker.of(over_outputs, over_features, net.joint_order(features.device), net.n_params)
    vectors = exact.output_vectors.to(features.dtype), exact.feature_vectors.to(features.dtype)
    return Kronecker(exact.eigenvalues.to(features.dtype), *vectors, exact.order)
