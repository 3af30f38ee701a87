"""Training of any module by stochastic gradients."""

import warnings
from collections.abc import Callable
from copy import deepcopy
from inspect import signature
from math import cos, pi
from typing import Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Generator, Tensor, nn

from bnnbench.bayes.journal import Journal
from bnnbench.bayes.method import MethodParams, Train
from bnnbench.bayes.noise import global_stream, permutation, seed
from bnnbench.errors import ResultWarning


class Training(MethodParams):
    """How parameters are optimised."""

    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: PositiveFloat = Field(1e-3, description="at the start")
    schedule: Literal["constant", "cosine"] = Field("cosine", description="cosine falls to 0, step by step")
    weight_decay: NonNegativeFloat = Field(
        0.0, description="added to the gradient of the mean loss: prior precision / number of points"
    )
    momentum: NonNegativeFloat = Field(0.9, description="of sgd", lt=1)
    nesterov: bool = Field(False, description="of sgd")
    epochs: PositiveInt = 100
    batch_size: PositiveInt = 128


Objective = Callable[[Tensor], Tensor]


def train_module(
    model: nn.Module, train: Train, training: Training, generator: Generator | None, journal: Journal
) -> nn.Module:
    """A trained copy of `model`: the minimum of the mean negative log-likelihood plus weight decay / 2 |theta|^2."""
    net = deepcopy(model)
    descend(net, lambda rows: batch_loss(net, train, rows, generator), len(train), training, generator, journal)
    return net.eval()


def batch_loss(net: nn.Module, train: Train, rows: Tensor, generator: Generator | None) -> Tensor:
    """Mean negative log-likelihood of the points `rows`, augmented where the data ask for it.

    Raises `ValueError` for an augmentation that gives no such batch, and for a loss that depends on no parameter.
    """
    x = train.x[rows]
    if train.augment is not None:
        x = train.augment(x, generator)
        if not isinstance(x, Tensor) or len(x) != len(rows):
            found = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(f"augment: of a batch of {len(rows)} points it made {found}; it must keep the points")
    loss = train.likelihood.nll(net(x), train.y[rows]).mean()
    if not loss.requires_grad:
        raise ValueError("model: its outputs have no gradient in any parameter that is not frozen, so it cannot learn")
    return loss


def batches(n_points: int, size: int, generator: Generator | None, device: torch.device) -> list[Tensor]:
    """Indices of all points in a new order, `size` at a time.

    One point that is left over joins the batch before it: batch norms have no variance of a single point.
    """
    parts = list(permutation(n_points, generator, device).split(size))
    if size > 1 and len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def descend(
    module: nn.Module,
    objective: Objective,
    n_points: int,
    training: Training,
    generator: Generator | None,
    journal: Journal,
    after_epoch: Callable[[int], None] | None = None,
) -> None:
    """Minimises `objective(rows)` over the module's parameters, epoch by epoch in a new order of the points.

    Each epoch is logged and may be checkpointed; `after_epoch(epoch)` is called in between. A `ResultWarning` where the
    parameters are not finite in the end.
    """
    device = next(module.parameters()).device
    optimizer = optimizer_of(module, training)
    first = 0
    if (restored := journal.restore()) is not None:
        first, state = restored
        module.load_state_dict(state["module"])
        optimizer.load_state_dict(state["optimizer"])
    for epoch in journal.steps(training.epochs, first):
        module.train()
        total = torch.zeros((), device=device)
        parts = batches(n_points, training.batch_size, generator, device)
        for k, rows in enumerate(parts):
            set_rate(optimizer, training, (epoch + k / len(parts)) / training.epochs)
            optimizer.zero_grad()
            loss = objective(rows)
            loss.backward()
            optimizer.step()
            total += loss.detach()
        journal.log(epoch + 1, loss=total.item() / len(parts))
        if after_epoch is not None:
            after_epoch(epoch)
        journal.checkpoint(epoch + 1, lambda: {"module": module.state_dict(), "optimizer": optimizer.state_dict()})
    warn_diverged(module)


def warn_diverged(module: nn.Module) -> None:
    """A `ResultWarning` where parameters of a trained module are not finite."""
    lost = sum(int((~parameter.isfinite()).sum()) for parameter in module.parameters())
    if lost:
        text = f"training: it diverged, and {lost} parameters are not finite; lower the learning rate, look at the data"
        warnings.warn(text, ResultWarning, stacklevel=2)


def optimizer_of(module: nn.Module, training: Training) -> torch.optim.Optimizer:
    """Adam (weight decay in the gradient) or SGD with momentum."""
    rate, decay = training.learning_rate, training.weight_decay
    if training.optimizer == "adam":
        return torch.optim.Adam(module.parameters(), lr=rate, weight_decay=decay, fused=True)
    nesterov = training.nesterov and training.momentum > 0
    return torch.optim.SGD(module.parameters(), rate, training.momentum, 0, decay, nesterov, fused=True)


def set_rate(optimizer: torch.optim.Optimizer, training: Training, progress: float) -> None:
    """Sets the learning rate at `progress` in [0, 1) of the training."""
    factor = 0.5 * (1 + cos(pi * progress)) if training.schedule == "cosine" else 1.0
    for group in optimizer.param_groups:
        group["lr"] = training.learning_rate * factor


def reinitialised(model: nn.Module, generator: Generator | None) -> nn.Module:
    """A copy of `model` with new initial parameters: its `reset_parameters`, or that of each of its parts.

    They are drawn on the CPU, so that devices agree. Frozen parameters are kept, and so are the buffers of a part whose
    own parameters are all frozen. `ValueError` for a parameter that nothing draws anew.
    """
    cpu, device = torch.device("cpu"), next(model.parameters()).device
    net = deepcopy(model).to(cpu)
    with global_stream(seed(generator), cpu):
        for part in [net] if hasattr(net, "reset_parameters") else net.modules():
            if (reset := getattr(part, "reset_parameters", None)) is not None:
                asks = "generator" in signature(reset).parameters
                reset(**{"generator": torch.default_generator} if asks else {})
    _keep_frozen(net, model)
    _check_new(net, model)
    return net.to(device)


@torch.no_grad()
def _keep_frozen(net: nn.Module, model: nn.Module) -> None:
    """Puts frozen parameters of `net`, and the buffers that belong to them, back to those of `model`."""
    for place, part in net.named_modules():
        own, kept = list(part.parameters(recurse=False)), model.get_submodule(place)
        for name, parameter in part.named_parameters(recurse=False):
            if not parameter.requires_grad:
                parameter.copy_(kept.get_parameter(name))
        if own and not any(parameter.requires_grad for parameter in own):
            for name, buffer in part.named_buffers(recurse=False):
                buffer.copy_(kept.get_buffer(name))


def _check_new(net: nn.Module, model: nn.Module) -> None:
    """Raises `ValueError` where a part that cannot reset itself kept a parameter; a constant is meant to be one."""
    for place, part in net.named_modules():
        for name, new in part.named_parameters(place, recurse=False):
            kept = new.requires_grad and torch.equal(new, model.get_parameter(name).to(new))
            if kept and not hasattr(part, "reset_parameters") and (new != new.reshape(-1)[:1]).any():
                raise ValueError(f"parameter {name!r} starts alike in all nets: give its module reset_parameters()")
