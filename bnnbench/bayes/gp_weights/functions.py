"""Whole functions drawn from the prior or from the fitted posterior of a net with a process over its weights.

The process is drawn jointly at all codes and all contexts. As its covariance is a Kronecker product, a draw is
L_c E L_t^T with standard normal E. A draw of the posterior is one of the prior, moved so that it has the drawn values
at the inducing points (Matheron's rule; Wilson et al. 2020), where the conditional is the full one:

    g(c, t) = g_prior(c, t) + psi(c)^T (V - V_prior)^T phi(t).
"""

import torch
from torch import Generator, Tensor

from bnnbench.bayes.gp_weights.kernels import JITTER, inverse_root, rbf
from bnnbench.bayes.gp_weights.net import Draw, GPNet
from bnnbench.bayes.noise import normal

MOST = 3000  # weights, and points, of the joint draw
AT_ONCE = 64  # weights whose covariances over contexts are factorised at a time
EPSILON = 1e-8  # added to the diagonal of a kernel matrix, as points may lie very near to each other


@torch.no_grad()
def prior_functions(net: GPNet, x: Tensor, n_draws: int, generator: Generator | None) -> Tensor:
    """Functions [S, N, C] of the prior at inputs x [N, ...]: latents are standard normal, and nothing is known of w."""
    mean = torch.cat(list(net.units.means))
    contexts, grid = _contexts(net, x), net.process.grid()
    latents = normal((n_draws, *mean.shape), generator, mean)
    codes = net.wiring.codes(latents)
    values = torch.stack([_prior(one, contexts, net, generator) for one in codes])
    return _applied(net, x, values, Draw(latents, latents, grid))


@torch.no_grad()
def functions(net: GPNet, x: Tensor, n_draws: int, generator: Generator | None) -> Tensor:
    """Functions [S, N, C] of the fitted posterior at inputs x [N, ...], one draw of latents and weights each.

    The process has the same conditional as in the fit: weights are their expectations for "det", independent of each
    other for "diag", and with all correlations for "full"; each is a function of the input. `ValueError` for more than
    3,000 weights or points.
    """
    draw, contexts = net.draw(n_draws, generator), _contexts(net, x)
    phi = contexts.new_ones(1, 1) if net.process.auxiliary is None else net.process.phi(contexts)
    codes = net.wiring.codes(draw.latents)
    psi = draw.grid.psi(codes)
    values = psi @ (phi @ draw.values).mT
    if net.conditional == "full":
        values = values + torch.stack([_residual(one, contexts, phi, net, generator) for one in codes])
    if net.conditional == "diag":
        values = values + torch.stack([_apart(one, contexts, phi, net, generator) for one in psi])
    return _applied(net, x, values, draw)


def _apart(psi: Tensor, contexts: Tensor, phi: Tensor, net: GPNet, generator: Generator | None) -> Tensor:
    """What the inducing variables leave open [W, N], drawn for each weight by itself, given its psi [W, M].

    Its covariance over contexts is k_aux - |psi|^2 phi phi^T.
    """
    auxiliary = net.process.auxiliary
    kernel = contexts.new_ones(1, 1) if auxiliary is None else auxiliary(contexts, contexts)
    eye = EPSILON * torch.eye(len(kernel), dtype=kernel.dtype, device=kernel.device)
    noise = normal((len(psi), len(kernel), 1), generator, kernel)
    drawn = []
    for own, part in zip(psi.split(AT_ONCE), noise.split(AT_ONCE), strict=True):
        covariance = kernel - own.square().sum(1)[:, None, None] * (phi @ phi.mT) + eye
        drawn.append((torch.linalg.cholesky(covariance) @ part)[..., 0])
    return torch.cat(drawn)


def _contexts(net: GPNet, x: Tensor) -> Tensor:
    """Contexts [N + 1, d] of inputs, the last one being the centre, from which layers see that are not local.

    Where no weight depends on the input there is one, which all share.
    """
    auxiliary = net.process.auxiliary
    if max(len(x), net.wiring.n_weights) > MOST:
        raise ValueError(f"functions: {len(x)} points and {net.wiring.n_weights} weights; at most {MOST} of each")
    if auxiliary is None:
        return net.process.codes.new_zeros(1, 1)
    return torch.cat([auxiliary.contexts(net.wiring.flat(x)), auxiliary.centre])


def _prior(codes: Tensor, contexts: Tensor, net: GPNet, generator: Generator | None) -> Tensor:
    """The process g [W, N] at codes [W, 2 D] and contexts [N, d], drawn from its prior."""
    auxiliary = net.process.auxiliary
    left = _joint_root(len(codes), rbf(codes, codes, net.process.log_length.exp()))
    kernel = contexts.new_ones(1, 1) if auxiliary is None else auxiliary(contexts, contexts)
    right = _joint_root(len(contexts), kernel)
    drawn: Tensor = left @ normal((len(codes), len(contexts)), generator, codes) @ right.mT
    return drawn


def _residual(codes: Tensor, contexts: Tensor, phi: Tensor, net: GPNet, generator: Generator | None) -> Tensor:
    """g_prior - psi^T V_prior^T phi [W, N]: what the inducing variables leave open, from a joint draw with them."""
    process, grid = net.process, net.process.grid()
    both = torch.cat([codes, grid.codes])
    left = _joint_root(len(codes), rbf(both, both, grid.length))
    if process.auxiliary is None:
        right, context_root = contexts.new_ones(2, 1), contexts.new_ones(1, 1)
    else:
        inducing = process.auxiliary.inducing
        places = torch.cat([contexts, inducing])
        right = _joint_root(len(contexts), process.auxiliary(places, places))
        context_root = inverse_root(process.auxiliary(inducing, inducing))
    drawn = left @ normal((len(left), right.shape[1]), generator, codes) @ right.mT
    values = context_root @ drawn[len(codes) :, len(contexts) :].mT @ grid.root.mT  # V_prior [R, M]
    left_open: Tensor = drawn[: len(codes), : len(contexts)] - grid.psi(codes) @ (phi @ values).mT
    return left_open


def _joint_root(n_points: int, kernel: Tensor) -> Tensor:
    """The Cholesky factor of the kernel of `n_points` points followed by inducing points.

    Inducing points have `JITTER` on the diagonal, as in the fit, so that V_prior has exactly the covariance I.
    """
    extra = torch.full((len(kernel),), EPSILON, dtype=kernel.dtype, device=kernel.device)
    extra[n_points:] = JITTER
    root: Tensor = torch.linalg.cholesky(kernel + extra.diag())
    return root


def _applied(net: GPNet, x: Tensor, values: Tensor, draw: Draw) -> Tensor:
    """Outputs [S, N, C] of the net whose weights are s times `values` [S, W, N + 1]."""
    weights = net.wiring.matrices(values.mT)  # [S, N + 1, V_out, V_in] of each layer

    def layer(k: int, h: Tensor) -> Tensor:
        own = weights[k][:, :-1] if net.local[k] else weights[k][:, -1:].expand(-1, h.shape[1], -1, -1)
        return (own @ h[..., None])[..., 0]

    return net.applied(net.first(net.wiring.flat(x)), layer, draw)
