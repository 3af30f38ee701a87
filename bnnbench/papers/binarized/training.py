"""The authors' training loop: Adam with scaled rates, clipping, exponential decay, choice by validation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from bnnbench.binary.loss import squared_hinge
from bnnbench.binary.optimize import binary_layers, clip_latent_weights, parameter_groups, set_learning_rate
from bnnbench.harness.run import Run
from bnnbench.metrics.classification import confusion, error_rate
from bnnbench.papers.binarized.splits import Splits

EVALUATION_BATCH = 2000
CONVERGED = 1.0  # points of validation error above the lowest that count as converged


class TrainingParams(Protocol):
    """What training reads of an experiment's parameters."""

    @property
    def epochs(self) -> int: ...  # noqa: D102
    @property
    def batch_size(self) -> int: ...  # noqa: D102
    @property
    def learning_rate(self) -> float: ...  # noqa: D102
    @property
    def learning_rate_ratio(self) -> float: ...  # noqa: D102
    @property
    def scale_learning_rate(self) -> bool: ...  # noqa: D102
    @property
    def clip(self) -> bool: ...  # noqa: D102


@dataclass
class Progress:
    """What training has found so far; it goes into checkpoints."""

    validation_error: float = 100.0
    best_epoch: int = 0
    test_error: float = 100.0
    confusion: list[list[int]] = field(default_factory=list)
    curve: list[float] = field(default_factory=list)
    train_loss: float = 0.0


@dataclass(frozen=True)
class Trained:
    """Metrics and tables of a trained net."""

    metrics: Mapping[str, float]
    tables: Mapping[str, Mapping[str, Sequence[Any]]]


def train(net: nn.Module, splits: Splits, params: TrainingParams, run: Run) -> Trained:
    """Trains `net` in place for `params.epochs`; the test error is that of the best validation epoch.

    The learning rate of epoch e is `learning_rate * ratio^(e / epochs)`, set once an epoch. As in the authors' code the
    last incomplete batch of an epoch is dropped, and ties in validation go to the later epoch.
    """
    optimizer = torch.optim.Adam(
        parameter_groups(net, params.scale_learning_rate), lr=params.learning_rate, betas=(0.9, 0.999), fused=True
    )
    progress, first = Progress(), 0
    if (restored := run.restore()) is not None:
        last, state = restored
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        progress, first = Progress(**state["progress"]), last
    for epoch in run.steps(params.epochs, start=first):
        set_learning_rate(optimizer, params.learning_rate * params.learning_rate_ratio ** (epoch / params.epochs))
        progress.train_loss = _epoch(net, optimizer, splits, params, run)
        _choose(net, splits, progress, epoch + 1, params, run)
        run.checkpoint(
            epoch + 1,
            lambda: {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "progress": vars(progress).copy()},
        )
    return _summary(net, progress)


def _epoch(net: nn.Module, optimizer: torch.optim.Adam, splits: Splits, params: TrainingParams, run: Run) -> float:
    net.train()
    batch = min(params.batch_size, len(splits.x_train))
    order = torch.randperm(len(splits.x_train), generator=run.generator("batches")).to(splits.x_train.device)
    total = torch.zeros((), device=splits.x_train.device)
    n_batches = len(order) // batch
    for indices in torch.split(order[: n_batches * batch], batch):
        optimizer.zero_grad(set_to_none=True)
        loss = squared_hinge(net(splits.x_train[indices]), splits.y_train[indices])
        loss.backward()
        optimizer.step()
        if params.clip:
            clip_latent_weights(net)
        total += loss.detach()
    return total.item() / n_batches


def _choose(net: nn.Module, splits: Splits, progress: Progress, epoch: int, params: TrainingParams, run: Run) -> None:
    outputs = predict(net, splits.x_validation)
    error = error_rate(outputs, splits.y_validation)
    loss = squared_hinge(outputs, splits.y_validation).item()
    run.log(epoch, train_loss=progress.train_loss, validation_error=error, validation_loss=loss)
    progress.curve.append(error)
    if error <= progress.validation_error:
        outputs = predict(net, splits.x_test)
        progress.validation_error, progress.best_epoch = error, epoch
        progress.test_error = error_rate(outputs, splits.y_test)
        progress.confusion = confusion(outputs, splits.y_test).tolist()


@torch.no_grad()
def predict(net: nn.Module, x: Tensor) -> Tensor:
    """Outputs [N, C] in evaluation mode, in batches."""
    net.eval()
    return torch.cat([net(part) for part in torch.split(x, EVALUATION_BATCH)])


def _summary(net: nn.Module, progress: Progress) -> Trained:
    metrics = {
        "test_error": progress.test_error,
        "validation_error": progress.validation_error,
        "best_epoch": float(progress.best_epoch),
        "train_loss": progress.train_loss,
        "epochs_to_converge": float(_first_within(progress.curve, progress.validation_error + CONVERGED + 1e-9)),
    }
    latent = [layer.weight.detach().abs().flatten() for layer in binary_layers(net)]
    if latent:
        metrics["saturated"] = 100.0 * (torch.cat(latent) > 0.99).double().mean().item()
    classes = range(len(progress.confusion))
    tables = {
        "confusion": {
            "label": [label for label in classes for _ in classes],
            "predicted": [guess for _ in classes for guess in classes],
            "count": [progress.confusion[label][guess] for label in classes for guess in classes],
        }
    }
    return Trained(metrics, tables)


def _first_within(curve: Sequence[float], bound: float) -> int:
    return next(epoch for epoch, error in enumerate(curve, start=1) if error <= bound)
