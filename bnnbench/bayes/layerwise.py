"""The diagonal of the Gauss-Newton matrix of linear and convolution layers, without Jacobians of single points.

For one point, the gradient with respect to a linear layer's weight is the outer product of the gradient with respect to
its outputs and its inputs, so one matrix product sums the squares over all points; C backward passes give all of them.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.hooks import RemovableHandle

from bnnbench.bayes.likelihood import Likelihood
from bnnbench.bayes.network import WholeNet, call

BATCH = 256


def applies(net: WholeNet, theta: Tensor, x: Tensor) -> bool:
    """Whether all parameters but frozen ones belong to linear layers and plain 2-D convolutions, each called once."""
    holders = [module for module in net.module.modules() if _is_inferred(module)]
    if not all(_is_plain(module) for module in holders):
        return False
    _, calls = _run(net, theta, x[:1])
    flat_inputs = all(inputs.dim() == (4 if isinstance(layer, nn.Conv2d) else 2) for _, layer, inputs, _ in calls)
    # Compared with the names of the net: a tied weight has one name for two layers, a weight made of others has none.
    both = [(layer, _join(name, key), key) for name, layer, *_ in calls for key in ("weight", "bias")]
    known = [name for layer, name, key in both if (own := getattr(layer, key)) is not None and own.requires_grad]
    return flat_inputs and len(calls) == len(holders) and sorted(known) == sorted(net.shapes)


def diagonal(net: WholeNet, theta: Tensor, x: Tensor, likelihood: Likelihood) -> Tensor:
    """sum_n diag(J_n^T L_n J_n) [P] at theta [P], inputs x [N, ...], in float64; only where it `applies`."""
    total = {name: torch.zeros(shape, dtype=torch.float64, device=x.device) for name, shape in net.shapes.items()}
    for part in x.split(BATCH):
        outputs, calls = _run(net, theta, part)
        root = likelihood.root(outputs.detach())
        inputs = [_inputs(layer, before) for _, layer, before, _ in calls]
        for k in range(root.shape[-1]):
            ends = [after for *_, after in calls]
            gradients = torch.autograd.grad(outputs, ends, root[..., k], retain_graph=True)
            for (name, layer, *_), before, gradient in zip(calls, inputs, gradients, strict=True):
                for parameter, share in _shares(layer, before, gradient):
                    if (known := _join(name, parameter)) in total:
                        total[known] += share
    return torch.cat([values.reshape(-1) for values in total.values()])


Call = tuple[str, nn.Module, Tensor, Tensor]


def _run(net: WholeNet, theta: Tensor, x: Tensor) -> tuple[Tensor, list[Call]]:
    """The outputs, and for each call of a layer its name, the layer, its inputs and its outputs."""
    calls: list[Call] = []

    def record(name: str, layer: nn.Module) -> RemovableHandle:
        def hook(_: nn.Module, x: tuple[Tensor, ...], y: Tensor) -> Tensor:
            calls.append((name, layer, x[0].detach(), y))
            return y.clone()  # later layers may work in place

        return layer.register_forward_hook(hook)

    net.module.eval()
    hooks = [record(name, part) for name, part in net.module.named_modules() if _is_plain(part) and _is_inferred(part)]
    try:
        with torch.enable_grad():
            outputs = call(net.module, net.named(theta.detach().requires_grad_()), x)
    finally:
        for hook in hooks:
            hook.remove()
    return outputs, calls


def _inputs(layer: nn.Module, inputs: Tensor) -> Tensor:
    """The squared inputs [n, d] of a linear layer, or the patches [n, L, d] of a convolution."""
    if isinstance(layer, nn.Conv2d):
        size: tuple[int, ...] = layer.kernel_size
        patches = functional.unfold(inputs, size, layer.dilation, layer.padding, layer.stride)  # type: ignore[arg-type]
        return patches.transpose(1, 2)
    return inputs.square()


def _shares(layer: nn.Module, inputs: Tensor, gradient: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Sums over a batch of squared gradients with respect to weight and bias, from those of the layer's outputs."""
    if isinstance(layer, nn.Conv2d):
        yield "weight", (gradient.flatten(2) @ inputs).square().sum(0).view_as(layer.weight)
        gradient = gradient.flatten(2).sum(2)
    else:
        yield "weight", gradient.square().T @ inputs
    if layer.bias is not None:
        yield "bias", gradient.square().sum(0)


def _join(layer: str, parameter: str) -> str:
    return f"{layer}.{parameter}" if layer else parameter


def _is_inferred(module: nn.Module) -> bool:
    """Whether a module has a parameter of its own that is not frozen."""
    return any(parameter.requires_grad for parameter in module.parameters(recurse=False))


def _is_plain(module: nn.Module) -> bool:
    if type(module) is nn.Conv2d:
        return module.groups == 1 and module.padding_mode == "zeros" and not isinstance(module.padding, str)
    return type(module) is nn.Linear
