"""Training, validation and test images as the authors' code divides them, other data, and rotations."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.ndimage import rotate
from torch import Generator, Tensor
from torch.nn import functional

from bnnbench.data.corruptions import corrupt
from bnnbench.harness.run import Run
from bnnbench.papers.refinement.settings import Posterior, TrainedNet

SPLIT_SEED = 42  # of validation and test images, the same for all seeds
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


def splits(params: TrainedNet, run: Run) -> Splits:
    """The official test images are divided into `n_validation` and the others by a fixed permutation."""
    data = run.data(params.dataset)
    train, test = data.splits["train"], data.splits["test"]
    order = torch.randperm(len(test), generator=torch.Generator().manual_seed(SPLIT_SEED)).numpy()
    validates, tests = order[: params.n_validation], order[params.n_validation :][: params.n_test]
    parts: list[Tensor] = []
    for part, rows in ((train, slice(params.n_train)), (test, validates), (test, tests)):
        parts += [_images(part.x[rows], params, run), torch.as_tensor(part.y[rows]).to(run.device)]
    return Splits(parts[0], parts[1], parts[2], parts[3], parts[4], parts[5], len(data.classes))


def _images(x: Any, params: TrainedNet, run: Run) -> Tensor:
    pixels = torch.as_tensor(np.ascontiguousarray(x)).to(run.device)
    images = pixels[:, None] if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
    images = images.to(torch.float32) / 255
    return images if params.side is None else functional.adaptive_avg_pool2d(images, params.side)


def others(params: Posterior, run: Run) -> dict[str, Tensor]:
    """Test images of data sets that the net was not trained on, made as large as its own."""
    shape = run.data(params.dataset).splits["test"].x.shape[1:3]
    found = {}
    for name in params.others:
        images = _images(_test_images(run.data(name), params.n_others), params, run)
        if params.side is None and images.shape[2:] != shape:
            images = functional.interpolate(images, tuple(shape), mode="bilinear", antialias=True)
        found[name] = images
    return found


def _test_images(data: Any, most: int | None) -> Any:
    split = data.splits["test"]
    if hasattr(split, "x"):
        return split.x[:most]
    return np.stack([split.read(i) for i in range(len(split))[:most]])


def rotated(x: Tensor, angle: int) -> Tensor:
    """Images [N, C, H, W] turned by `angle` degrees around their middle, nearest pixel, zeros from outside."""
    turned = rotate(x.cpu().numpy(), angle, axes=(3, 2), reshape=False, order=0)
    return torch.from_numpy(turned).to(x)


def corrupted(x: Tensor, kind: str, severity: int, run: Run) -> Tensor:
    """Images [N, C, H, W] in [0, 1] corrupted, with the same noise for all methods of a seed."""
    pixels = (255 * x).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    rng = np.random.default_rng([run.seed, severity, *kind.encode()])
    found = torch.from_numpy(corrupt(pixels, kind, severity, rng)).permute(0, 3, 1, 2)
    return found.to(x) / 255


def flip_and_crop(x: Tensor, generator: Generator | None) -> Tensor:
    """Each image [N, C, H, W] flipped with probability 1/2 and moved by up to 4 pixels, zeros from outside."""
    n, _, height, width = x.shape
    flips = torch.rand(n, generator=generator).to(x.device) < 0.5
    x = torch.where(flips[:, None, None, None], x.flip(3), x)
    top, left = (torch.randint(2 * PAD + 1, (n,), generator=generator).to(x.device) for _ in range(2))
    padded = functional.pad(x, (PAD, PAD, PAD, PAD))
    rows = (top[:, None] + torch.arange(height, device=x.device))[:, None, :, None]
    columns = (left[:, None] + torch.arange(width, device=x.device))[:, None, None, :]
    images, channels = torch.arange(n, device=x.device)[:, None, None, None], torch.arange(x.shape[1], device=x.device)
    return padded[images, channels[None, :, None, None], rows, columns]
