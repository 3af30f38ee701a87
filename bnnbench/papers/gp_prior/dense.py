"""The layers of `metagp` written as they are defined, weight by weight: what `cost` and the timings compare with.

Both forms have the outputs of `bayes/gp_weights/layers.py`. In `dense_outputs` psi(c) of each weight is made, and each
point's weights enter as an array over points, weights and inducing codes. `pairs_outputs` knows nothing of the grid:
inducing points are a list of pairs of codes and contexts, and each weight of each point has its own row of the kernel.
"""

import torch
from torch import Generator, Tensor

from bnnbench.bayes.gp_weights.kernels import JITTER, rbf
from bnnbench.bayes.gp_weights.net import Draw, GPNet
from bnnbench.bayes.gp_weights.process import TINY
from bnnbench.bayes.noise import normal


def dense_outputs(net: GPNet, x: Tensor, draw: Draw, stream: Generator | None) -> Tensor:
    """Outputs [S, N, C] with the conditional "diag" or "det", where all layers are local or none is."""
    x = net.wiring.flat(x)
    psi = draw.grid.psi(net.wiring.codes(draw.latents))  # [S, W, M]
    shapes = list(zip(net.wiring.widths[1:], net.wiring.n_senders, strict=True))
    parts = psi.split([out * senders for out, senders in shapes], dim=1)
    local = any(net.local)
    phi = net.process.phi(net.process.auxiliary.contexts(x)) if local and net.process.auxiliary else x.new_ones(1, 1)
    seen = phi @ draw.values  # [S, N or 1, M]
    squares = phi.square().sum(1)[:, None]
    h = net.first(x)
    for k, (part, shape, factor) in enumerate(zip(parts, shapes, net.wiring.factors, strict=True)):
        h = torch.cat([h, torch.ones_like(h[..., :1])], dim=-1) if net.wiring.biases[k] else h
        of_layer = part.unflatten(1, shape)
        by_code = torch.einsum("snj,sijm->snim", h.expand(len(draw.values), -1, -1), of_layer)
        mean = torch.einsum("snim,snm->sni", by_code, seen.expand(-1, len(x), -1))
        h2 = h.square()
        left = h2.sum(-1, keepdim=True) - squares * (h2 @ of_layer.square().sum(-1).mT)
        noise = left.clamp_min(TINY).sqrt() * normal(mean.shape, stream, mean.detach())
        h = factor * draw.grid.scale * (mean + noise if net.conditional == "diag" else mean)
        for module in net.wiring.between[k + 1]:
            h = module(h)
    return h


def pairs_outputs(net: GPNet, x: Tensor, draw: Draw, stream: Generator | None) -> Tensor:
    """Outputs [S, N, C] with the conditional "diag" where all layers are local, by pairs of inducing points."""
    x, process, wiring = net.wiring.flat(x), net.process, net.wiring
    assert process.auxiliary is not None
    places, codes = process.auxiliary.inducing, process.codes
    eyes = [torch.eye(len(part), dtype=x.dtype, device=x.device) for part in (places, codes)]
    of_contexts = process.auxiliary(places, places) + JITTER * eyes[0]
    whole = torch.kron(of_contexts, rbf(codes, codes, draw.grid.length) + JITTER * eyes[1])
    root = torch.linalg.cholesky(whole)  # [R M, R M]
    at_contexts = process.auxiliary(process.auxiliary.contexts(x), places)  # [N, R]
    at_codes = rbf(wiring.codes(draw.latents), codes, draw.grid.length)  # [S, W, M]
    rows = torch.einsum("nr,swm->snwrm", at_contexts, at_codes).flatten(-2)
    psi = torch.linalg.solve_triangular(root, rows.flatten(0, -2).mT, upper=False).mT.view(rows.shape)
    mean = (psi @ draw.values.flatten(1)[:, None, :, None])[..., 0]  # [S, N, W]
    variance = (1 - psi.square().sum(-1)).clamp_min(TINY)
    moments = zip(wiring.matrices(mean), wiring.matrices(variance), wiring.factors, strict=True)
    h = net.first(x)
    for k, (means, variances, factor) in enumerate(moments):
        h = torch.cat([h, torch.ones_like(h[..., :1])], dim=-1) if wiring.biases[k] else h
        centre = (means @ h.expand(len(means), -1, -1)[..., None])[..., 0]
        spread = (variances @ h.expand(len(means), -1, -1).square()[..., None])[..., 0].sqrt()
        h = factor * draw.grid.scale * (centre + spread * normal(centre.shape, stream, centre.detach()))
        for module in wiring.between[k + 1]:
            h = module(h)
    return h
