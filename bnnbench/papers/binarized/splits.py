"""Training, validation and test images of a data set, as the authors' code splits and scales them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bnnbench.data import kinds
from bnnbench.harness.run import Run
from bnnbench.papers.binarized import preprocess
from bnnbench.papers.binarized.settings import Training

SVHN_VALIDATION = {"train": 400, "extra": 200}  # images of each class


def _identity(x: Tensor) -> Tensor:
    return x


@dataclass(frozen=True)
class Splits:
    """Images [N, ...] and labels int64 [N] on the device of the run; `to_input` turns images into inputs of a net.

    pixels: its scale and shift where `to_input` is an affine map of unsigned 8-bit pixels. shape: that of one image,
    (C, H, W).
    """

    x_train: Tensor
    y_train: Tensor
    x_validation: Tensor
    y_validation: Tensor
    x_test: Tensor
    y_test: Tensor
    n_classes: int
    to_input: Callable[[Tensor], Tensor] = _identity
    pixels: tuple[float, float] | None = None
    shape: tuple[int, int, int] = (1, 1, 1)
    warnings: list[str] = field(default_factory=list)


def classification_splits(params: Training, run: Run, *, images: bool) -> Splits:
    """The splits of `params.dataset`; inputs are [N, C, H, W] with `images`, else [N, D].

    The first `n_train` images of the training set are for training and the last `n_validation` for validation, as in
    the paper. SVHN with its `extra` images has 400 images of each class from `train` and 200 from `extra` for
    validation, and the rest of both, or `n_train` of them, for training. Seeds share the split, so intervals over seeds
    do not cover the choice of images.

    A data set too small for both (a bundled stand-in) gives its last quarter to validation and the rest to training,
    with a warning.
    """
    data = kinds.images(params.dataset, run.data(params.dataset), "train", "test")
    (train, validation), warnings = _divided(data, params)
    test = (data.splits["test"].x[: params.n_test], data.splits["test"].y[: params.n_test])
    x_train = _images(train[0], run)
    splits = Splits(
        x_train,
        _labels(train[1], run),
        _images(validation[0], run),
        _labels(validation[1], run),
        _images(test[0], run),
        _labels(test[1], run),
        n_classes=len(data.classes),
        shape=(x_train.shape[3], x_train.shape[1], x_train.shape[2]),
        warnings=warnings,
    )
    return _prepared(splits, params.preprocessing, images)


Part = tuple[NDArray[np.uint8], NDArray[np.int64]]


def _divided(data: Any, params: Training) -> tuple[tuple[Part, Part], list[str]]:
    if "extra" in data.splits:
        return _divided_svhn(data, params.n_train), []
    train, n_train, n_validation = data.splits["train"], params.n_train, params.n_validation
    warnings = []
    if len(train) < n_train + n_validation:
        wanted, total = f"{n_train} + {n_validation}", len(train)
        n_validation = total // 4
        n_train = total - n_validation
        warnings = [f"the data set has {total} training images, not {wanted}: {n_train} train, {n_validation} validate"]
    validation = train.x[-n_validation:], train.y[-n_validation:]
    return ((train.x[:n_train], train.y[:n_train]), validation), warnings


def _divided_svhn(data: Any, n_train: int) -> tuple[Part, Part]:
    chosen: list[Part] = []
    rest: list[Part] = []
    for name, count in SVHN_VALIDATION.items():
        split = data.splits[name]
        validates = np.zeros(len(split), bool)
        for label in range(len(data.classes)):
            validates[np.flatnonzero(split.y == label)[:count]] = True
        chosen.append((split.x[validates], split.y[validates]))
        rest.append((split.x[~validates], split.y[~validates]))
    x, y = _joined(rest)
    return (x[:n_train], y[:n_train]), _joined(chosen)


def _joined(parts: Sequence[Part]) -> Part:
    return np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])


def _images(x: Any, run: Run) -> Tensor:
    """Pixels uint8 [N, H, W, C] on the device."""
    pixels = torch.as_tensor(x).to(run.device)
    return pixels if pixels.ndim == 4 else pixels[..., None]


def _labels(y: Any, run: Run) -> Tensor:
    return torch.as_tensor(y).to(run.device, torch.int64)


def _prepared(splits: Splits, preprocessing: str, images: bool) -> Splits:
    """The splits with their `to_input`. Where it is affine, pixels stay in 8 bits, a quarter of the memory."""

    def arranged(x: Tensor) -> Tensor:
        return x.permute(0, 3, 1, 2) if images else x.flatten(1)

    if preprocessing in ("scale", "standardize"):
        scale, shift = (2 / 255, -1.0) if preprocessing == "scale" else _standard(splits.x_train)
        return replace(
            splits, pixels=(scale, shift), to_input=lambda x: arranged(x).to(torch.float32).mul_(scale).add_(shift)
        )
    maps = _transform(splits.x_train, preprocessing)
    return replace(
        splits,
        x_train=maps(splits.x_train),
        x_validation=maps(splits.x_validation),
        x_test=maps(splits.x_test),
        to_input=arranged,
    )


def _standard(x: Tensor) -> tuple[float, float]:
    """Scale and shift of (pixel / 255 - mean) / deviation, over all pixels of the training images."""
    counts = torch.bincount(x.flatten().long(), minlength=256).double()
    values = torch.arange(256, dtype=torch.float64, device=x.device) / 255
    mean = ((counts * values).sum() / counts.sum()).item()
    deviation = ((counts * (values - mean) ** 2).sum() / counts.sum()).sqrt().item()
    return 1 / 255 / deviation, -mean / deviation


def _transform(x_train: Tensor, preprocessing: str) -> Callable[[Tensor], Tensor]:
    """The transform of pixels [N, H, W, C] as in the Torch7 code; statistics are those of the training images."""

    def unit(x: Tensor) -> Tensor:
        return x.to(torch.float32) / 255

    if preprocessing == "gcn-lcn":
        return lambda x: _own_scale(_channels_last(preprocess.local_contrast, preprocess.contrast(unit(x))))
    first = preprocess.contrast if preprocessing == "gcn-zca" else _identity
    seen = first(unit(x_train))
    whiten = preprocess.whitening(seen)
    if preprocessing != "zca-twice":
        return lambda x: whiten(first(unit(x)))
    again = preprocess.whitening(whiten(seen), bias=1e-5)
    return lambda x: again(whiten(unit(x)))


def _channels_last(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    parts = [function(part.permute(0, 3, 1, 2)).permute(0, 2, 3, 1) for part in x.split(preprocess.CHUNK)]
    return torch.cat(parts).contiguous()


def _own_scale(x: Tensor) -> Tensor:
    """x divided by the largest value of its split, then standardized: the effect of an undefined name in Torch7."""
    x = x / x.max()
    return (x - x.mean()) / x.std(correction=0)
