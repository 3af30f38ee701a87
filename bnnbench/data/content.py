"""What data sets hold once they are read: arrays of images with labels, or a table of numbers.

Content that does not fit in memory, or has no labels, is defined beside the data sets that have it: `ImageFolders`,
`Scenes`, `Corrupted`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Content(Protocol):
    """What `Dataset.load` returns, whatever its kind."""

    def digest(self) -> str:
        """The sha256 of everything in it, which is the same however the files were compressed."""


@dataclass(frozen=True)
class Split:
    """Images uint8 [N, H, W] or [N, H, W, C], and labels int64 [N]."""

    x: NDArray[np.uint8]
    y: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Images:
    """Image splits ("train", "test", for SVHN also "extra") and the name of each label."""

    splits: dict[str, Split]
    classes: tuple[str, ...]

    def digest(self) -> str:
        """The sha256 of all arrays."""
        return array_digest(part for name in sorted(self.splits) for part in (self.splits[name].x, self.splits[name].y))


@dataclass(frozen=True)
class Table:
    """Inputs x float64 [N, D], targets y [N] (float64, or int64 classes from 0), and (train, test) row indices."""

    x: NDArray[np.float64]
    y: NDArray[np.float64] | NDArray[np.int64]
    splits: tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]
    features: tuple[str, ...]
    target: str

    def __len__(self) -> int:
        return len(self.y)

    def digest(self) -> str:
        """The sha256 of all arrays."""
        return array_digest([self.x, self.y, *(index for split in self.splits for index in split)])


def array_digest(arrays: Iterable[NDArray[Any]]) -> str:
    """The sha256 of the type, shape and C-ordered little-endian bytes of each array."""
    import numpy as np

    digest = hashlib.sha256()
    for array in arrays:
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        digest.update(f"{little.dtype.str}{little.shape}".encode())
        digest.update(little.data)
    return digest.hexdigest()
