"""How many first-layer weights of a tanh net the data determine, by a linearisation at each draw.

With Phi = tanh(X W^T + b) [N, H], its slopes D = 1 - Phi^2 and the output weights v, the net is linearised in W and b,
and b, v and the output's bias are integrated out: Sigma_y = s^2 Phi Phi^T + J_b J_b^T + 1 1^T + sigma^2 I. With S =
J_W^T Sigma_y^-1 J_W and prior standard deviations d of the weights, the eigenvalues of G = diag(d) S diag(d) are mu,
and rho = mu / (1 + mu) is the share to which the data determine a direction. The effective number of weights is m_eff =
sum rho = tr((P + S)^-1 S) with P = diag(d)^-2 (Arnstad, Rønneberg, Storvik 2026).
"""

import torch
from torch import Tensor


def retained_shares(x: Tensor, weight: Tensor, bias: Tensor, output: Tensor, noise: Tensor, scale: Tensor) -> Tensor:
    """rho [S, H p] in descending order, for draws of the weights [S, H, p], biases [S, H], output weights [S, H],
    noise [S].

    `scale` [S, H, p] holds the prior standard deviations given the scales of the draw; x [N, p] are training inputs.
    At most N shares of a draw are not 0. Memory: N (N + H p) numbers, as draws are handled one after the other.
    """
    return torch.stack([_shares(x, *draw) for draw in zip(weight, bias, output, noise, scale, strict=True)])


def _shares(x: Tensor, weight: Tensor, bias: Tensor, output: Tensor, noise: Tensor, scale: Tensor) -> Tensor:
    phi = torch.tanh(x @ weight.T + bias)
    in_bias = (1 - phi.square()) * output
    in_weight = (in_bias[:, :, None] * x[:, None, :] * scale).flatten(1)
    covariance = phi @ phi.T + in_bias @ in_bias.T + 1.0 + noise.square() * torch.eye(len(x), dtype=x.dtype)
    root = torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), in_weight, upper=False)
    # The nonzero eigenvalues of root^T root [H p, H p] are those of root root^T [N, N].
    small = root @ root.T if len(x) < root.shape[1] else root.T @ root
    found = torch.linalg.eigvalsh(small).clamp_min(0).flip(0)
    shares = torch.zeros(root.shape[1], dtype=x.dtype)
    shares[: len(found)] = (found / (1 + found))[: len(shares)]
    return shares
