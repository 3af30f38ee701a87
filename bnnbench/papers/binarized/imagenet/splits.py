"""Training and test photographs of a data set that may be only a part of ImageNet."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bnnbench.data.folders import ImageFolder, ImageFolders
from bnnbench.data.kinds import photographs
from bnnbench.errors import DataError


@dataclass(frozen=True)
class PhotoSplits:
    """The photographs to train on and to test on, with labels 0 to `n_classes` - 1 in both."""

    train: ImageFolder
    test: ImageFolder
    warnings: list[str] = field(default_factory=list)

    @property
    def n_classes(self) -> int:
        """Classes of the training images."""
        return len(self.train.classes)


def photo_splits(folders: ImageFolders, dataset: str, most: int | None = None) -> PhotoSplits:
    """The splits "train" and "test" (ImageNet's official validation images), at most `most` images of each.

    Classes without training images are left out. Without any training images the test images are used for both,
    which exercises the code but measures nothing. Both cases give a warning.
    """
    photographs(dataset, folders)
    warnings = []
    if "test" not in folders.splits:
        raise DataError(f"{dataset}: no validation images there; sort them into class folders below val")
    test = _thinned(folders.splits["test"], most)
    if "train" in folders.splits:
        train = _thinned(folders.splits["train"], most)
    else:
        train = test
        warnings.append(f"{dataset} has no training images: the test images train too, and the numbers measure nothing")
    trained = np.unique(train.labels)
    if len(trained) < len(folders.classes):
        warnings.append(
            f"{len(trained)} of {len(folders.classes)} classes have training images; the others are left out"
        )
    return PhotoSplits(_only(train, trained), _only(test, trained), warnings)


def _thinned(folder: ImageFolder, most: int | None) -> ImageFolder:
    """At most `most` images, evenly spaced over the listing and thereby over the classes."""
    if most is None or most >= len(folder):
        return folder
    return _chosen(folder, np.arange(most, dtype=np.int64) * len(folder) // most)


def _only(folder: ImageFolder, labels: NDArray[np.int64]) -> ImageFolder:
    """The images with one of `labels` (sorted), which become 0, 1, ..."""
    kept = _chosen(folder, np.flatnonzero(np.isin(folder.labels, labels)))
    classes = tuple(folder.classes[label] for label in labels)
    return ImageFolder(kept.paths, np.searchsorted(labels, kept.labels).astype(np.int64), classes)


def _chosen(folder: ImageFolder, indices: NDArray[np.int64]) -> ImageFolder:
    return ImageFolder(tuple(folder.paths[i] for i in indices), folder.labels[indices], folder.classes)
