"""Training, validation and test tensors of an image data set, as the authors' code splits and scales it."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from bnnbench.harness.run import Run


@dataclass(frozen=True)
class Splits:
    """Inputs float32 [N, D] in [-1, 1] and labels int64 [N], on the device of the run."""

    x_train: Tensor
    y_train: Tensor
    x_validation: Tensor
    y_validation: Tensor
    x_test: Tensor
    y_test: Tensor
    n_classes: int
    warnings: list[str] = field(default_factory=list)

    @property
    def n_features(self) -> int:
        """Inputs of one example."""
        return self.x_train.shape[1]


def classification_splits(images: Any, n_train: int, n_validation: int, run: Run) -> Splits:
    """The first `n_train` images train, the last `n_validation` of the training set validate, as in the paper.

    A data set too small for both (a bundled stand-in) gives its last quarter to validation and the rest to training,
    with a warning. Seeds share the split, so intervals over seeds do not cover the choice of images.
    """
    train, test = images.splits["train"], images.splits["test"]
    warnings: list[str] = []
    if len(train) < n_train + n_validation:
        wanted, total = f"{n_train} + {n_validation}", len(train)
        n_validation = total // 4
        n_train = total - n_validation
        warnings = [f"the data set has {total} training images, not {wanted}: {n_train} train, {n_validation} validate"]
    return Splits(
        *_tensors(train.x[:n_train], train.y[:n_train], run),
        *_tensors(train.x[-n_validation:], train.y[-n_validation:], run),
        *_tensors(test.x, test.y, run),
        n_classes=len(images.classes),
        warnings=warnings,
    )


def _tensors(x: Any, y: Any, run: Run) -> tuple[Tensor, Tensor]:
    pixels = torch.as_tensor(x).flatten(1).to(run.device, torch.float32)
    return pixels.mul_(2 / 255).sub_(1), torch.as_tensor(y).to(run.device, torch.int64)
