"""Outputs of a net for many parameter vectors at once, layer by layer, as batched matrix products.

This needs neither a loop over draws nor `vmap`, whose bookkeeping takes longer than the arithmetic of a small net.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from bnnbench.bayes.log_noise import LogNoise

ELEMENTWISE = (nn.Tanh, nn.ReLU, nn.ELU, nn.Sigmoid, nn.SiLU, nn.Softplus, nn.Identity)


def is_stackable(module: nn.Module) -> bool:
    """Whether `Stacked` knows all layers of a module; a subclass, which may compute something else, is unknown."""
    if type(module) is nn.Sequential:
        return all(map(is_stackable, module))
    plain = type(module) in (*ELEMENTWISE, nn.Linear, LogNoise)
    return plain or (type(module) is nn.Flatten and (module.start_dim, module.end_dim) == (1, -1))


class Stacked:
    """A module as a function of parameters [S, ...] by name; `is_stackable` must hold for it.

    Parameters that are not given, as frozen ones, are the module's own.
    """

    def __init__(self, module: nn.Module) -> None:
        first = {id(value): name for name, value in module.named_parameters()}  # a shared parameter is given once
        self.layers = [
            (layer, {name: first[id(value)] for name, value in layer.named_parameters()})
            for layer in layers_in_order(module)
        ]

    def __call__(self, parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Outputs [S, N, C] at x [N, ...]."""
        h = x[None]  # the draws share a first dimension of 1 until a layer's parameters differ between them
        for layer, names in self.layers:
            if isinstance(layer, nn.Flatten):
                h = h.flatten(2)
            elif names:
                own = dict(layer.named_parameters())
                given = [parameters[full] if full in parameters else own[name][None] for name, full in names.items()]
                h = _with_log_noise(h, *given) if isinstance(layer, LogNoise) else _linear(h, *given)
            else:
                h = layer(h)
        n_draws = len(next(iter(parameters.values())))
        return h.expand(n_draws, *h.shape[1:])


def layers_in_order(module: nn.Module) -> Iterator[nn.Module]:
    """The layers in the order in which they are applied."""
    if not isinstance(module, nn.Sequential):
        yield module
        return
    for part in module:
        yield from layers_in_order(part)


def _linear(h: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """h [S or 1, N, ..., d], weight [S or 1, C, d], bias [S or 1, C]: [S or 1, N, ..., C]."""
    places, h = h.shape[1:-1], h.flatten(1, -2)
    if len(h) == 1:  # inputs that all draws share: one product with the weights of all draws
        wide = (h[0] @ weight.flatten(0, 1).T).view(h.shape[1], *weight.shape[:2]).transpose(0, 1)
        out = wide if bias is None else wide + bias[:, None]
    else:
        weight = weight.expand(len(h), -1, -1).mT
        out = torch.bmm(h, weight) if bias is None else torch.baddbmm(bias[:, None], h, weight)
    return out.reshape(len(out), *places, -1)


def _with_log_noise(h: Tensor, log_noise: Tensor) -> Tensor:
    """h [S or 1, N, D] followed by the log noise [S or 1, D] of each draw: [S, N, 2 D]."""
    n_draws = max(len(h), len(log_noise))
    appended = log_noise[:, None].expand(n_draws, h.shape[1], -1)
    return torch.cat([h.expand(n_draws, -1, -1), appended], dim=-1)
