"""Batches of photographs, decoded in worker processes; what a batch holds does not depend on how many there are."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bnnbench.data.folders import ImageFolder
from bnnbench.data.views import View, centre_view, random_view
from bnnbench.errors import DataError

Batch = tuple[Tensor, Tensor]
"""Pixels uint8 [N, 3, crop, crop] and labels int64 [N]."""
Key = tuple[int, int]
"""The number of an image, and the epoch in which it is read: -1 in evaluation."""
EVALUATION = -1


@dataclass(frozen=True)
class Share:
    """The part of every batch that this process takes: images `rank`, `rank + size`, ..."""

    rank: int = 0
    size: int = 1


@dataclass(frozen=True)
class Photographs(Dataset[tuple[NDArray[np.uint8], int] | DataError]):
    """The views of one split. The view of an image is a function of `seed`, epoch and image number."""

    folder: ImageFolder
    view: View
    seed: int

    def __getitem__(self, key: Key) -> tuple[NDArray[np.uint8], int] | DataError:
        """One view and its label. An error is returned, since the loader would wrap a raised one in a traceback."""
        i, epoch = key
        try:
            image = self.folder.read(i)
        except DataError as error:
            return error
        if epoch == EVALUATION:
            return centre_view(image, self.view), int(self.folder.labels[i])
        return random_view(image, self.view, np.random.default_rng((self.seed, epoch, i))), int(self.folder.labels[i])


def batches_per_epoch(n_images: int, batch: int) -> int:
    """The number of whole batches in an epoch; images that are left over are not used in that epoch."""
    return n_images // batch


def training_batches(
    photographs: Photographs, batch: int, first: int, last: int, share: Share, workers: int, pin: bool
) -> Iterator[Batch]:
    """This process's share of the batches `first` to `last` (exclusive), counted over all epochs of the training.

    One loader serves all epochs, so that workers decode the next one while the net is evaluated. `batch` counts the
    images of all processes.
    """
    per_epoch = batches_per_epoch(len(photographs.folder), batch)

    def keys() -> Iterator[list[Key]]:
        for epoch in range(first // per_epoch, -(-last // per_epoch)):
            order = np.random.default_rng((photographs.seed, epoch)).permutation(len(photographs.folder))
            start = epoch * per_epoch
            for within in range(max(first - start, 0), min(last - start, per_epoch)):
                whole = order[within * batch : (within + 1) * batch].tolist()
                yield [(i, epoch) for i in whole[share.rank :: share.size]]

    return _load(photographs, keys(), workers, pin)


def evaluation_batches(photographs: Photographs, batch: int, share: Share, workers: int, pin: bool) -> Iterator[Batch]:
    """Every image once and in order; each process gets its share."""
    mine = range(share.rank, len(photographs.folder), share.size)
    keys = [[(i, EVALUATION) for i in mine[start : start + batch]] for start in range(0, len(mine), batch)]
    return _load(photographs, keys, workers, pin)


def _load(photographs: Photographs, keys: Iterable[list[Key]], workers: int, pin: bool) -> Iterator[Batch]:
    loader = DataLoader(
        photographs,
        batch_sampler=keys,
        num_workers=workers,
        pin_memory=pin,
        collate_fn=_collate,
        generator=torch.Generator(),  # otherwise the loader draws from the global stream
        multiprocessing_context="fork" if workers else None,  # a forked worker shares the listing of files
        prefetch_factor=4 if workers else None,
    )
    for batch in loader:
        if isinstance(batch, DataError):
            raise batch
        yield batch


def _collate(items: list[tuple[NDArray[np.uint8], int] | DataError]) -> Batch | DataError:
    views: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    for item in items:
        if isinstance(item, DataError):
            return item
        views.append(item[0])
        labels.append(item[1])
    return torch.from_numpy(np.stack(views)), torch.tensor(labels)
