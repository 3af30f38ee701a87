"""Nets as functions of one flat parameter vector: a linear layer, a whole net, or a net with a free last layer."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from bnnbench.bayes.log_noise import has_log_noise
from bnnbench.bayes.stacked import Stacked, is_stackable
from bnnbench.bayes.targets import check_finite

Scope = Literal["last", "all"]
EVALUATION_BATCH = 1000
FEW_DRAWS = 2  # draws are computed at once from this number on
SMALL_WORK = 2**22  # draws are computed at once up to this number of points times parameters
ENTRIES = 2**24  # points times parameters times draws at once
LOG_NOISE = "noise.log_noise"  # the parameter that `with_log_noise` appends to a net


class Net(Protocol):
    """A function of parameters and inputs."""

    @property
    def n_params(self) -> int:
        """Length P of a parameter vector."""

    def outputs(self, theta: Tensor, x: Tensor) -> Tensor:
        """Outputs [S, N, C] of S parameter vectors theta [S, P] at inputs x [N, ...]."""


def call(module: nn.Module, tensors: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """The module's outputs at x with these parameters and buffers, by their names in `named_parameters`.

    Layers that share a parameter share the tensor given for it, and a layer with several names is changed once. With
    torch's own tying of weights, such a layer would keep the given tensors after the call, as if they had been trained.
    """
    own = (*module.named_parameters(), *module.named_buffers())
    given = {id(value): tensors[name] for name, value in own if name in tensors}
    slots = {name: given[id(value)] for name, value in _slots(module) if id(value) in given}
    outputs: Tensor = functional_call(module, slots, (x,), tie_weights=False)
    return outputs


def _slots(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The name of every place in a module that holds a parameter or a buffer, each once."""
    for name, part in module.named_modules():
        yield from part.named_parameters(name, recurse=False, remove_duplicate=False)
        yield from part.named_buffers(name, recurse=False, remove_duplicate=False)


@dataclass(frozen=True)
class LinearNet:
    """A linear layer on features [N, d]: theta is W [C, d] row by row, followed by the bias [C], where there is one."""

    n_features: int
    n_outputs: int
    bias: bool = True

    @property
    def n_params(self) -> int:
        """P = C d + C, or C d without a bias."""
        return self.n_outputs * (self.n_features + self.bias)

    def outputs(self, theta: Tensor, x: Tensor) -> Tensor:
        """x W^T + b for every draw, computed as one matrix product."""
        n_draws, n_weights = len(theta), self.n_outputs * self.n_features
        weight, bias = theta[:, :n_weights].reshape(-1, self.n_features), theta[:, n_weights:].reshape(-1)
        flat = functional.linear(x, weight, bias if self.bias else None)
        return flat.view(len(x), n_draws, self.n_outputs).transpose(0, 1)

    def augmented(self, features: Tensor) -> Tensor:
        """Features with a constant 1 for the bias [N, D]: D = d + 1, or d without a bias."""
        if not self.bias:
            return features
        return torch.cat([features, features.new_ones(len(features), 1)], dim=1)

    def joint_order(self, device: torch.device) -> Tensor:
        """Positions in theta of the entries of [W, b] [C, D], read row by row."""
        weights = torch.arange(self.n_outputs * self.n_features, device=device).view(self.n_outputs, self.n_features)
        if not self.bias:
            return weights.reshape(-1)
        biases = self.n_outputs * self.n_features + torch.arange(self.n_outputs, device=device)
        return torch.cat([weights, biases.unsqueeze(1)], dim=1).reshape(-1)


class WholeNet:
    """All parameters of a module but frozen ones, in the order of `named_parameters`.

    Frozen parameters and buffers stay as they are, and the module is in evaluation mode. With `batch_statistics` only
    the batch norms are in training mode: they normalise by the statistics of a call's inputs, which are not kept.
    """

    def __init__(self, module: nn.Module, batch_statistics: bool = False) -> None:
        self.module, self.batch_statistics = module, batch_statistics
        self.shapes = {
            name: parameter.shape for name, parameter in module.named_parameters() if parameter.requires_grad
        }
        self.n_params = sum(shape.numel() for shape in self.shapes.values())
        self.stacked = Stacked(module) if is_stackable(module) else None

    def named(self, theta: Tensor) -> dict[str, Tensor]:
        """The module's parameters by name, from vectors [..., P]."""
        sizes = [shape.numel() for shape in self.shapes.values()]
        parts = zip(self.shapes.items(), theta.split(sizes, dim=-1), strict=True)
        return {name: part.reshape((*theta.shape[:-1], *shape)) for (name, shape), part in parts}

    def outputs(self, theta: Tensor, x: Tensor) -> Tensor:
        """The module's outputs for each parameter vector; computed all at once where one call is little work."""
        self.module.eval()
        if self.batch_statistics:
            return torch.stack([self._by_batch(draw, x) for draw in theta])
        work = len(x) * self.n_params
        if len(theta) >= FEW_DRAWS and 0 < work <= SMALL_WORK and self.stacked is not None:
            parts = theta.split(max(1, ENTRIES // work))
            return torch.cat([self.stacked(self.named(part), x) for part in parts])
        return torch.stack([call(self.module, self.named(draw), x) for draw in theta])

    def _by_batch(self, draw: Tensor, x: Tensor) -> Tensor:
        norms = [part for part in self.module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
        buffers = {name: buffer.clone() for name, buffer in self.module.named_buffers()}
        try:
            for norm in norms:
                norm.train()
            return call(self.module, {**buffers, **self.named(draw)}, x)
        finally:
            self.module.eval()


def weight_shapes(net: Net) -> dict[str, torch.Size]:
    """Shapes of a net's parameters by name, in the order of theta; a learned noise is not among them.

    The parameters of a `LinearNet` are "weight" and "bias". `TypeError` for any net but `LinearNet` and `WholeNet`.
    """
    if isinstance(net, LinearNet):
        shapes = {"weight": torch.Size((net.n_outputs, net.n_features)), "bias": torch.Size((net.n_outputs,))}
        return shapes if net.bias else {"weight": shapes["weight"]}
    if not isinstance(net, WholeNet):
        raise TypeError(f"{type(net).__name__} has no parameters by name")
    prefix = "net." if has_log_noise(net.module) else ""
    return {name.removeprefix(prefix): shape for name, shape in net.shapes.items() if name != LOG_NOISE}


class Features:
    """The inputs of the last linear layer of a module; for an `nn.Linear` itself, its own inputs."""

    def __init__(self, module: nn.Module) -> None:
        linear = [part for part in module.modules() if isinstance(part, nn.Linear)]
        if not linear:
            raise ValueError(f"model: {type(module).__name__} has no linear layer; take scope 'all'")
        self.module, self.last = module, linear[-1]

    @torch.no_grad()
    def __call__(self, x: Tensor, batch: int = EVALUATION_BATCH) -> Tensor:
        """Features [N, d] of x [N, ...].

        Raises `ValueError` where outputs are not finite, or the net does not end with x W^T + b of the layer.
        """
        seen: list[Tensor] = []
        hook = self.last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        try:
            self.module.eval()
            outputs = [self.module(part) for part in x.split(batch)]
        finally:
            hook.remove()
        for part in outputs:
            check_finite(part, "model: outputs")
        weight, bias = self.last.weight, self.last.bias
        if len(seen) != len(outputs) or not _same(functional.linear(seen[-1], weight, bias), outputs[-1]):
            raise ValueError("model: the net's outputs are not those of its last linear layer; take scope 'all'")
        return torch.cat(seen)


def _same(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and torch.allclose(a, b)


@dataclass(frozen=True)
class LastLayerNet:
    """A last layer together with the net that computes its features."""

    features: Features
    linear: LinearNet

    @property
    def n_params(self) -> int:
        """The number of parameters of the last layer."""
        return self.linear.n_params

    def outputs(self, theta: Tensor, x: Tensor) -> Tensor:
        """The outputs of the last layer for every draw; features are computed once."""
        return self.linear.outputs(theta, self.features(x, len(x)))


@dataclass(frozen=True)
class InferredPart:
    """The part of a net whose parameters theta [P] are inferred.

    `net` is the net as a function of theta; `inner` gives the same outputs from the cached `inputs`.
    """

    net: Net
    inner: Net
    theta: Tensor
    inputs: Tensor

    def cached(self, x: Tensor) -> Tensor:
        """The inputs of `inner` that belong to inputs x of `net`: the features, or x itself."""
        return self.net.features(x) if isinstance(self.net, LastLayerNet) else x


def inferred_part(model: nn.Module, scope: Scope, x: Tensor) -> InferredPart:
    """The last layer of `model` (with features of x cached), or all of its parameters, at their current values.

    Frozen parameters are constants, so `ValueError` for a last layer that holds one; also for outputs at x that are not
    finite, as those of a net whose training diverged.
    """
    if scope == "all":
        net = WholeNet(model)
        theta = flat(trainable(model))
        check_finite(evaluate(net, theta[None], x), "model: outputs")
        return InferredPart(net, net, theta, x)
    features = Features(model)
    _check_thawed(features.last)
    last, inputs = features.last, features(x)
    linear = LinearNet(last.in_features, last.out_features, last.bias is not None)
    # Not `last.parameters()`: a layer may compute its weight from other parameters, in any order.
    theta = flat([last.weight] if last.bias is None else [last.weight, last.bias])
    return InferredPart(LastLayerNet(features, linear), linear, theta, inputs)


def check_noise(model: nn.Module, scope: Scope, name: str) -> None:
    """Raises `ValueError` where the method `name` is to infer only the last layer of a net whose noise is learned."""
    if scope == "last" and has_log_noise(model):
        raise ValueError(f"likelihood: {name} learns no noise with scope 'last'; take scope 'all', or a known noise")


def trainable(module: nn.Module) -> list[nn.Parameter]:
    """All parameters but frozen ones (`requires_grad=False`), which every method treats as constants."""
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def _check_thawed(last: nn.Module) -> None:
    frozen = [name for name, parameter in last.named_parameters() if not parameter.requires_grad]
    if frozen:
        raise ValueError(
            f"model: {' and '.join(frozen)} of the last linear layer is frozen (requires_grad=False), and scope 'last' "
            "infers that layer: thaw it, or take scope 'all'"
        )


def flat(parameters: Iterable[Tensor]) -> Tensor:
    """A copy of the parameters as one vector."""
    return torch.cat([parameter.detach().reshape(-1) for parameter in parameters])


@torch.no_grad()
def evaluate(net: Net, theta: Tensor, x: Tensor, batch: int = EVALUATION_BATCH) -> Tensor:
    """Outputs [S, N, C] without gradients, `batch` inputs at a time."""
    return torch.cat([net.outputs(theta, part) for part in x.split(batch)], dim=1)
