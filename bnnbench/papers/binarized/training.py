"""The authors' training loop: scaled rates, clipping, decay once per epoch, choice of an epoch by validation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, nan
from typing import Any

import torch
from torch import Tensor, nn

from bnnbench.binary.adamax import ShiftAdaMax
from bnnbench.binary.loss import squared_hinge
from bnnbench.binary.optimize import binary_layers, parameter_groups, set_learning_rate
from bnnbench.harness.run import Run
from bnnbench.metrics.classification import confusion, error_rate
from bnnbench.papers.binarized.settings import Training
from bnnbench.papers.binarized.splits import Splits
from bnnbench.papers.binarized.steps import Step, step_of

EVALUATION_BATCH = 1000
CONVERGED = 1.0  # points of validation error above the lowest that count as converged


@dataclass
class Progress:
    """Errors and losses of training so far, which go into checkpoints."""

    validation_error: float = 100.0
    best_epoch: int = 0
    curve: list[float] = field(default_factory=list)
    train_loss: float = 0.0


@dataclass(frozen=True)
class Trained:
    """Metrics and tables of a trained net; `outputs` [N, C] are those of the test images."""

    metrics: Mapping[str, float]
    tables: Mapping[str, Mapping[str, Sequence[Any]]]
    outputs: Tensor


def train(net: nn.Module, splits: Splits, params: Training, run: Run) -> Trained:
    """Trains `net` for `params.epochs` and leaves it as it was at the best validation epoch, which is then tested.

    The learning rate is set once per epoch. As in the authors' code, the last incomplete batch of an epoch is dropped,
    and of epochs with equal validation error the later one is taken.
    """
    optimizer = optimizer_of(net, params, run.device)
    progress, first = Progress(), 0
    best = _copy(net)
    if (restored := run.restore()) is not None:
        first, state = restored
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        _place_rates(optimizer, run.device)
        progress, best = Progress(**state["progress"]), dict(state["best"])
    step = step_of(net, optimizer, params, splits.to_input, run.device)
    for epoch in run.steps(params.epochs, start=first):
        set_learning_rate(optimizer, params.rate(epoch))
        net.train()
        progress.train_loss = _epoch(step, splits, params, run)
        if _validate(net, splits, progress, epoch + 1, run):
            best = _copy(net)
        state = {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "best": best}
        run.checkpoint(epoch + 1, lambda state=state: {**state, "progress": vars(progress).copy()})  # type: ignore[misc]
    metrics = _metrics(net, progress)
    net.load_state_dict(best)
    outputs = predict(net, splits, splits.x_test)
    return Trained(
        {**metrics, "test_error": error_rate(outputs, splits.y_test)},
        {"confusion": _confusion(outputs, splits.y_test)},
        outputs,
    )


def optimizer_of(net: nn.Module, params: Training, device: str = "cpu") -> torch.optim.Optimizer:
    """Adam as in the Theano code, or the shift-based AdaMax of the Torch7 code; rates are set once per epoch."""
    groups = parameter_groups(net, params.scale_learning_rate, params.round_scale, params.scale_gammas)
    if params.optimizer == "adam":
        graphs = {"capturable": True} if device == "cuda" else {}
        adam = torch.optim.Adam(groups, lr=params.learning_rate, betas=(0.9, 0.999), fused=True, **graphs)
        _place_rates(adam, device)
        return adam
    variant = "paper" if params.optimizer == "shift-adamax-paper" else "code"
    return ShiftAdaMax(groups, lr=params.learning_rate, variant=variant)  # type: ignore[arg-type]


def _place_rates(optimizer: torch.optim.Optimizer, device: str) -> None:
    """Puts the rates on the GPU, where a replayed step reads them."""
    if device == "cuda" and isinstance(optimizer, torch.optim.Adam):
        for group in optimizer.param_groups:
            group["lr"] = torch.tensor(float(group["lr"]), device=device)


def _copy(net: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def _epoch(step: Step, splits: Splits, params: Training, run: Run) -> float:
    batch = min(params.batch_size, len(splits.x_train))
    order = torch.randperm(len(splits.x_train), generator=run.generator("batches")).to(splits.x_train.device)
    total = torch.zeros((), device=splits.x_train.device)
    n_batches = len(order) // batch
    for indices in torch.split(order[: n_batches * batch], batch):
        total += step(splits.x_train[indices], splits.y_train[indices])
    return total.item() / n_batches


def _validate(net: nn.Module, splits: Splits, progress: Progress, epoch: int, run: Run) -> bool:
    """Logs an epoch and returns whether it is the best so far."""
    outputs = predict(net, splits, splits.x_validation)
    loss = squared_hinge(outputs, splits.y_validation).item()
    error = error_rate(outputs, splits.y_validation) if isfinite(loss) else nan  # the log then reports divergence
    run.log(epoch, train_loss=progress.train_loss, validation_error=error, validation_loss=loss)
    progress.curve.append(error)
    if error > progress.validation_error:
        return False
    progress.validation_error, progress.best_epoch = error, epoch
    return True


@torch.no_grad()
def predict(net: nn.Module, splits: Splits, x: Tensor) -> Tensor:
    """Outputs [N, C] for images in evaluation mode, in batches."""
    net.eval()
    return torch.cat([net(splits.to_input(part)) for part in torch.split(x, EVALUATION_BATCH)])


def _metrics(net: nn.Module, progress: Progress) -> dict[str, float]:
    metrics = {
        "validation_error": progress.validation_error,
        "best_epoch": float(progress.best_epoch),
        "train_loss": progress.train_loss,
        "epochs_to_converge": float(_first_within(progress.curve, progress.validation_error + CONVERGED + 1e-9)),
    }
    latent = [layer.weight.detach().abs().flatten() for layer in binary_layers(net)]
    if latent:
        metrics["saturated"] = 100.0 * (torch.cat(latent) > 0.99).double().mean().item()
    return metrics


def _confusion(outputs: Tensor, labels: Tensor) -> dict[str, list[int]]:
    counts = confusion(outputs, labels).tolist()
    classes = range(len(counts))
    return {
        "label": [label for label in classes for _ in classes],
        "predicted": [guess for _ in classes for guess in classes],
        "count": [counts[label][guess] for label in classes for guess in classes],
    }


def _first_within(curve: Sequence[float], bound: float) -> int:
    return next(epoch for epoch, error in enumerate(curve, start=1) if error <= bound)
