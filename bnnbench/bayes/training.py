"""Training of any module by stochastic gradients."""

import warnings
from collections.abc import Callable, Mapping
from copy import deepcopy
from inspect import signature
from math import ceil, cos, pi
from typing import Any, Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Generator, Tensor, nn

from bnnbench.bayes.chosen_prior import penalty, weight_decay
from bnnbench.bayes.journal import Journal, is_logged
from bnnbench.bayes.method import MethodParams, Train
from bnnbench.bayes.network import LOG_NOISE
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
    amsgrad: bool = Field(False, description="of adam: steps by the largest second moment so far (Reddi et al. 2018)")
    epochs: PositiveInt = Field(100, description="passes over the data, unless steps are given")
    steps: PositiveInt | None = Field(None, description="of the gradient, in place of epochs; the last pass may be cut")
    batch_size: PositiveInt = 128
    clip: PositiveFloat | None = Field(
        None, description="largest Euclidean norm of the gradient; longer ones are scaled"
    )
    rates: dict[str, PositiveFloat] = Field(
        {}, description="factors of the learning rate, by the beginnings of parameters' names; the longest one counts"
    )


Terms = Tensor | Mapping[str, Tensor]
Objective = Callable[[Tensor, float], Terms]


def train_module(
    model: nn.Module, train: Train, training: Training, generator: Generator | None, journal: Journal
) -> nn.Module:
    """A trained copy of `model`: the minimum of the mean negative log-likelihood plus weight decay / 2 |theta|^2.

    A prior given with the data, and the prior of a learned noise, enter as -log p(theta) / N instead of weight decay.
    `ValueError` for such a prior together with weight decay, or for a prior without a density.
    """
    net = deepcopy(model)
    training = training.model_copy(update={"weight_decay": weight_decay(train, training)})
    objective = with_penalty(lambda rows, _: batch_loss(net, train, rows, generator), penalty(net, train, "training"))
    descend(net, objective, len(train), training, generator, journal)
    return net.eval()


def with_penalty(objective: Objective, penalty: Callable[[], Tensor] | None) -> Objective:
    """The objective, with the term "prior" added where there is a penalty; a single loss is then named "data"."""
    if penalty is None:
        return objective

    def both(rows: Tensor, progress: float) -> Terms:
        terms = objective(rows, progress)
        return {**(terms if isinstance(terms, Mapping) else {"data": terms}), "prior": penalty()}

    return both


def batch_loss(net: nn.Module, train: Train, rows: Tensor, generator: Generator | None) -> Tensor:
    """Mean negative log-likelihood of the points `rows`, augmented where the data have `augment`.

    Raises `ValueError` for an augmentation that does not return a tensor with as many points, and for a loss that
    depends on no parameter.
    """
    x = batch_inputs(train, rows, generator)
    loss = train.likelihood.nll(net(x), train.y[rows]).mean()
    if not loss.requires_grad:
        raise ValueError("model: its outputs have no gradient in any parameter that is not frozen, so it cannot learn")
    return loss


def batch_inputs(train: Train, rows: Tensor, generator: Generator | None) -> Tensor:
    """Inputs of the points `rows`, augmented where the data ask for it.

    Raises `ValueError` for an augmentation that does not return a batch of as many points.
    """
    x = train.x[rows]
    if train.augment is not None:
        x = train.augment(x, generator)
        if not isinstance(x, Tensor) or len(x) != len(rows):
            given = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(f"augment: of a batch of {len(rows)} points it made {given}; it must keep the points")
    return x


def batches(n_points: int, size: int, generator: Generator | None, device: torch.device) -> list[Tensor]:
    """Indices of all points in a new random order, `size` at a time.

    A single point that is left over is added to the last batch, as batch norms need at least two points for a variance.
    """
    parts = list(permutation(n_points, generator, device).split(size))
    if size > 1 and len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def n_batches(n_points: int, size: int) -> int:
    """The number of batches that `batches` returns."""
    return max(1, n_points // size) if size > 1 and n_points % size == 1 else ceil(n_points / size)


def descend(
    module: nn.Module,
    objective: Objective,
    n_points: int,
    training: Training,
    generator: Generator | None,
    journal: Journal,
    after_epoch: Callable[[int], None] | None = None,
) -> None:
    """Minimises `objective(rows, progress)` over the module's parameters; each epoch has a new order of the points.

    `progress` in [0, 1) is the share of all steps that are done. The objective is a loss, or terms by name whose sum is
    the loss. The means over an epoch of the loss and of each term are logged, then `after_epoch(epoch)` is called, and
    a checkpoint may be saved. A `ResultWarning` where the parameters are not finite in the end.
    """
    optimizer, device = optimizer_of(module, training), next(module.parameters()).device
    per_epoch = n_batches(n_points, training.batch_size)
    n_steps = training.epochs * per_epoch if training.steps is None else training.steps
    n_epochs, first = ceil(n_steps / per_epoch), 0
    if (restored := journal.restore()) is not None:
        first, state = restored
        module.load_state_dict(state["module"])
        optimizer.load_state_dict(state["optimizer"])
    for epoch in journal.steps(n_epochs, first):
        module.train()
        totals: dict[str, Tensor] = {}
        parts = batches(n_points, training.batch_size, generator, device)[: n_steps - epoch * per_epoch]
        for k, rows in enumerate(parts):
            progress = (epoch + k / per_epoch) / (n_steps / per_epoch)
            set_rate(optimizer, training, progress)
            step(module, optimizer, objective(rows, progress), training.clip, totals)
        if is_logged(epoch, n_epochs):
            journal.log(epoch + 1, **{name: total.item() / len(parts) for name, total in totals.items()})
        if after_epoch is not None:
            after_epoch(epoch)
        journal.checkpoint(epoch + 1, lambda: {"module": module.state_dict(), "optimizer": optimizer.state_dict()})
    warn_diverged(module)


def step(
    module: nn.Module, optimizer: torch.optim.Optimizer, terms: Terms, clip: float | None, totals: dict[str, Tensor]
) -> None:
    """One optimizer step on the sum of `terms`; the terms and their sum, "loss", are added to `totals`."""
    named = terms if isinstance(terms, Mapping) else {}
    loss = torch.stack(list(terms.values())).sum() if isinstance(terms, Mapping) else terms
    optimizer.zero_grad()
    loss.backward()
    if clip is not None:
        nn.utils.clip_grad_norm_(module.parameters(), clip)
    optimizer.step()
    for name, value in {"loss": loss, **named}.items():
        totals[name] = totals.get(name, 0.0) + value.detach()


def warn_diverged(module: nn.Module) -> None:
    """Emits a `ResultWarning` where parameters of a trained module are not finite."""
    lost = sum(int((~parameter.isfinite()).sum()) for parameter in module.parameters())
    if lost:
        text = f"training: it diverged, and {lost} parameters are not finite; lower the learning rate, look at the data"
        warnings.warn(text, ResultWarning, stacklevel=2)


def optimizer_of(module: nn.Module, training: Training) -> torch.optim.Optimizer:
    """Adam (weight decay in the gradient) or SGD with momentum; a learned noise has a prior and so no weight decay."""
    rate, decay, groups = training.learning_rate, training.weight_decay, _groups(module, training)
    if training.optimizer == "adam":
        return torch.optim.Adam(groups, lr=rate, weight_decay=decay, amsgrad=training.amsgrad, fused=True)
    nesterov = training.nesterov and training.momentum > 0
    return torch.optim.SGD(groups, rate, training.momentum, 0, decay, nesterov, fused=True)


def _groups(module: nn.Module, training: Training) -> list[dict[str, Any]]:
    """Parameters grouped by the factor of their learning rate and by whether they have weight decay.

    `ValueError` for a prefix in `rates` with which no parameter's name begins.
    """
    names = [name for name, _ in module.named_parameters()]
    if unused := [start for start in training.rates if not any(name.startswith(start) for name in names)]:
        raise ValueError(f"rates: no parameter's name begins with {unused[0]!r}; the net has {', '.join(names)}")
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        start = max((start for start in training.rates if name.startswith(start)), key=len, default=None)
        key = 1.0 if start is None else training.rates[start], name.endswith(LOG_NOISE)
        groups.setdefault(key, []).append(parameter)
    return [
        {"params": parameters, "factor": factor, **({"weight_decay": 0.0} if is_noise else {})}
        for (factor, is_noise), parameters in groups.items()
    ]


def set_rate(optimizer: torch.optim.Optimizer, training: Training, progress: float) -> None:
    """Sets the learning rate at `progress` in [0, 1) of the training."""
    factor = 0.5 * (1 + cos(pi * progress)) if training.schedule == "cosine" else 1.0
    for group in optimizer.param_groups:
        group["lr"] = training.learning_rate * factor * group["factor"]


def reinitialised(model: nn.Module, generator: Generator | None) -> nn.Module:
    """A copy of `model` with new initial parameters, from its `reset_parameters` or from those of its parts.

    They are drawn on the CPU, so they are the same for all devices. Frozen parameters are kept, and so are the buffers
    of a part whose own parameters are all frozen. `ValueError` for a parameter that is not drawn anew.
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
    """Raises `ValueError` where a part without `reset_parameters` kept a parameter whose entries are not all equal."""
    for place, part in net.named_modules():
        for name, new in part.named_parameters(place, recurse=False):
            kept = new.requires_grad and torch.equal(new, model.get_parameter(name).to(new))
            if kept and not hasattr(part, "reset_parameters") and (new != new.reshape(-1)[:1]).any():
                raise ValueError(f"parameter {name!r} starts alike in all nets: give its module reset_parameters()")
