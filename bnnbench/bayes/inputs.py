"""Checks, before a fit starts, of the net, its inputs and outputs, and their targets."""

from copy import deepcopy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from bnnbench.bayes.noise import global_stream
from bnnbench.bayes.targets import check_finite

if TYPE_CHECKING:
    from bnnbench.bayes.method import Train


def check_inputs(model: nn.Module, train: "Train") -> None:
    """Raises `ValueError` with one line that names the argument, for a net and data from which nothing can be inferred.

    These are inputs, targets, parameters or outputs that are not finite, outputs that are not real numbers [N, C],
    targets that the likelihood does not accept, and a net whose parameters are all frozen. `TypeError` for a model that
    is not a torch module. The net, its buffers and all random streams stay as they are.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: a torch module is needed, and {model!r} was given")
    check_finite(train.x, "x")
    _check_parameters(model)
    n_outputs = _first_outputs(model, train.x, "x").shape[1]
    train.likelihood.check(train.y, len(train), n_outputs, "y")
    if train.validation is not None:
        x, y = train.validation
        check_finite(x, "validation x")
        _first_outputs(model, x, "validation x")
        train.likelihood.check(y, len(x), n_outputs, "validation y")


def _check_parameters(model: nn.Module) -> None:
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError("model: all parameters are frozen (requires_grad=False), so there is nothing to infer")
    for name, parameter in model.named_parameters():
        if isinstance(parameter, nn.UninitializedParameter):
            raise ValueError(f"model: parameter {name!r} has no shape yet; call the net once before it is fitted")
        check_finite(parameter.detach(), f"model: parameter {name!r}")


def _first_outputs(model: nn.Module, x: Tensor, name: str) -> Tensor:
    """Outputs [n, C] of a copy of the net in evaluation mode at the first n <= 2 points of x; errors call x `name`."""
    first = x[:2]
    try:
        with torch.no_grad(), global_stream(0, x.device):
            outputs = deepcopy(model).eval()(first)
    except Exception as error:  # a net may raise anything
        text = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise ValueError(f"{name}: the net does not take {x.dtype} of shape {tuple(first.shape)}: {text}") from error
    if not isinstance(outputs, Tensor) or outputs.dim() != 2 or len(outputs) != len(first) or outputs.shape[1] == 0:
        given = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise ValueError(f"model: its outputs for {len(first)} points are {given}; they must be [{len(first)}, C]")
    check_finite(outputs, f"model: outputs at the first points of {name}")
    if not outputs.is_floating_point():
        raise ValueError(f"model: its outputs are {outputs.dtype}; they must be real numbers, of a floating type")
    return outputs
