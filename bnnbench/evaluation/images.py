"""Images for training and testing nets: splits, augmentation, other data, rotations and corruptions."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import rotate
from torch import Generator, Tensor
from torch.nn import functional

from bnnbench.data.corruptions import corrupt
from bnnbench.data.kinds import images, pictures
from bnnbench.errors import DataUnavailable
from bnnbench.evaluation.image_params import ImageNet, ImagePosterior
from bnnbench.harness.run import Run

SPLIT_SEED = 42  # of the division into validation and test images, the same for all seeds
PAD = 4


@dataclass(frozen=True)
class Splits:
    """Images float32 [N, C, H, W] in [0, 1], not normalised, and labels int64 [N], on the device of the run."""

    x_train: Tensor
    y_train: Tensor
    x_validation: Tensor
    y_validation: Tensor
    x_test: Tensor
    y_test: Tensor
    n_classes: int
    test_rows: NDArray[np.int64]
    """Which of the official test images `x_test` holds."""


def splits(params: ImageNet, run: Run) -> Splits:
    """The splits of a run; official test images are divided, always in the same way, into validation and test images.

    Validation has `n_validation` of them, and a fifth at most.
    """
    data = images(params.dataset, run.data(params.dataset), "train", "test")
    train, test = data.splits["train"], data.splits["test"]
    order = torch.randperm(len(test), generator=torch.Generator().manual_seed(SPLIT_SEED)).numpy()
    n_validation = min(params.n_validation, len(test) // 5)
    validates, tests = order[:n_validation], order[n_validation:][: params.n_test]
    parts: list[Tensor] = []
    for part, rows in ((train, slice(params.n_train)), (test, validates), (test, tests)):
        parts += [_images(part.x[rows], params, run), torch.as_tensor(part.y[rows]).to(run.device)]
    return Splits(parts[0], parts[1], parts[2], parts[3], parts[4], parts[5], len(data.classes), tests)


def _images(x: Any, params: ImageNet, run: Run) -> Tensor:
    pixels = torch.as_tensor(np.ascontiguousarray(x)).to(run.device)
    pixels = pixels[:, None] if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
    unit = pixels.to(torch.float32) / 255
    return unit if params.side is None else functional.adaptive_avg_pool2d(unit, params.side)


def others(params: ImagePosterior, run: Run) -> tuple[dict[str, Tensor], list[str]]:
    """Test images of other data sets, resized to those that the net is trained on, and why some sets are left out."""
    others_by_name: dict[str, Tensor] = {}
    absent: list[str] = []
    if not params.others:
        return others_by_name, absent
    own = run.data(params.dataset).splits["test"].x
    for name in params.others:
        try:
            split = pictures(name, run.data(name), "test")
        except DataUnavailable as error:
            absent.append(f"{name} is left out: {str(error).partition(';')[0]}")
            continue
        if hasattr(split, "x") and np.array_equal(split.x, own):
            absent.append(f"{name} is left out: on this machine the net was trained on the same data set")
            continue
        others_by_name[name] = _resized(split, params, own.shape[1:3], run)
    return others_by_name, absent


def _resized(split: Any, params: ImagePosterior, shape: tuple[int, int], run: Run) -> Tensor:
    """The first images of a split, resized; the images of a split that is read one by one may differ in size."""
    if hasattr(split, "x"):
        parts = [_images(split.x[: params.n_others], params, run)]
    else:
        parts = [_images(split.read(i)[None], params, run) for i in range(len(split))[: params.n_others]]
    if params.side is not None or parts[0].shape[2:] == shape:
        return torch.cat(parts)
    return torch.cat([functional.interpolate(part, shape, mode="bilinear", antialias=True) for part in parts])


def rotated(x: Tensor, angle: int) -> Tensor:
    """Images [N, C, H, W] rotated by `angle` degrees about their centre: nearest pixel, with zeros from outside."""
    turned = rotate(x.cpu().numpy(), angle, axes=(3, 2), reshape=False, order=0)
    return torch.from_numpy(turned).to(x)


def corrupted(x: Tensor, kind: str, severity: int, run: Run) -> Tensor:
    """Images [N, C, H, W] in [0, 1] corrupted, with the same noise for all methods of a seed."""
    pixels = (255 * x).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    rng = np.random.default_rng([run.seed, severity, *kind.encode()])
    spoilt = torch.from_numpy(corrupt(pixels, kind, severity, rng)).permute(0, 3, 1, 2)
    return spoilt.to(x) / 255


def officially_corrupted(data: Any, rows: NDArray[np.int64], kind: str, severity: int, like: Tensor) -> Tensor:
    """Images [N, C, H, W] of CIFAR-10-C for the test images `rows`, with the dtype and device of `like`."""
    pixels = torch.from_numpy(np.ascontiguousarray(data.at(kind, severity)[rows]))
    return pixels.permute(0, 3, 1, 2).to(like) / 255


def flip_and_crop(x: Tensor, generator: Generator | None) -> Tensor:
    """Images [N, C, H, W], each flipped with probability 1/2 and shifted by up to 4 pixels, with zeros from outside."""
    n, _, height, width = x.shape
    flips = torch.rand(n, generator=generator).to(x.device) < 0.5
    x = torch.where(flips[:, None, None, None], x.flip(3), x)
    top, left = (torch.randint(2 * PAD + 1, (n,), generator=generator).to(x.device) for _ in range(2))
    padded = functional.pad(x, (PAD, PAD, PAD, PAD))
    rows = (top[:, None] + torch.arange(height, device=x.device))[:, None, :, None]
    columns = (left[:, None] + torch.arange(width, device=x.device))[:, None, None, :]
    images, channels = torch.arange(n, device=x.device)[:, None, None, None], torch.arange(x.shape[1], device=x.device)
    return padded[images, channels[None, :, None, None], rows, columns]
