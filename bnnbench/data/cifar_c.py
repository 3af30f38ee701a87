"""CIFAR-10-C (Hendrycks and Dietterich 2019): the test images of CIFAR-10, corrupted in 15 ways at 5 severities."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bnnbench.data.cifar import SIDE
from bnnbench.data.content import array_digest
from bnnbench.data.dataset import Dataset, Source
from bnnbench.data.files import one_line
from bnnbench.data.search import has_file
from bnnbench.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# The corruptions of the benchmark. The archive has four more, which are meant for validation.
KINDS = (
    "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "snow",
    "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression",
)  # fmt: skip
SEVERITIES = 5


@dataclass(frozen=True)
class Corrupted:
    """Images of each kind, uint8 [5 N, 32, 32, 3]: N images at severity 1, then N at severity 2 and so on.

    The N images are the test images of CIFAR-10 in their order, and `labels` int64 [N] are theirs. An image is
    read from the disk when it is used.
    """

    images: dict[str, NDArray[np.uint8]]
    labels: NDArray[np.int64]

    def at(self, kind: str, severity: int) -> NDArray[np.uint8]:
        """All test images with one corruption, uint8 [N, 32, 32, 3]; severities are 1 to 5."""
        n = len(self.labels)
        return self.images[kind][(severity - 1) * n : severity * n]

    def digest(self) -> str:
        """The sha256 of all arrays."""
        return array_digest([self.labels, *(self.images[kind] for kind in sorted(self.images))])


@dataclass(frozen=True, kw_only=True)
class CifarC(Dataset):
    """A NumPy file for each kind of corruption, and one with the labels."""

    count: int = 10_000

    def inspect(self, folder: Path) -> Source:
        """See `Dataset.inspect`."""
        paths = {name: folder / f"{name}.npy" for name in ("labels", *KINDS)}
        if missing := [path.name for path in paths.values() if not has_file(path)]:
            raise self.incomplete(folder, missing)
        return self.describe(folder, paths.values(), False, f"{self.title} ({len(KINDS)} kinds)")

    def read(self, folder: Path) -> Corrupted:
        """See `Dataset.read`; images stay on the disk until they are asked for."""
        n = self.count
        labels = _array(folder / "labels.npy", (SEVERITIES * n,))
        if (labels.reshape(SEVERITIES, n) != labels[:n]).any():
            raise DataError(f"{folder / 'labels.npy'}: labels differ between severities")
        shape = (SEVERITIES * n, SIDE, SIDE, 3)
        return Corrupted({kind: _array(folder / f"{kind}.npy", shape) for kind in KINDS}, labels[:n].astype("int64"))


def _array(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The uint8 array in a file, which is mapped into memory and not read."""
    import numpy as np

    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: not a readable NumPy file ({one_line(error)})") from None
    if array.shape != shape or array.dtype != np.uint8:
        expected = f"expected uint8 {shape}"
        raise DataError(f"{path}: holds {array.dtype} {array.shape}, {expected}")
    mapped: NDArray[np.uint8] = array
    return mapped
