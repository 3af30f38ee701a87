"""The layers of `metagp` written as they are defined, weight by weight: what `cost` and the timings compare with.

For each weight its code, psi(c) and the conditional's moments are made, and each point's weights enter as an array over
points, weights and inducing codes. Outputs have the same distribution as those of `bayes/gp_weights/layers.py`.
"""

import torch
from torch import Generator, Tensor

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
