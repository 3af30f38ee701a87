"""Street View House Numbers, the cropped 32 x 32 digits (http://ufldl.stanford.edu/housenumbers)."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from bnnbench.data.content import Images, Split
from bnnbench.data.dataset import Dataset, Source
from bnnbench.data.files import check_md5, one_line, read_bytes
from bnnbench.data.search import has_file
from bnnbench.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CLASSES = tuple("0123456789")


@dataclass(frozen=True)
class MatFile:
    """A MATLAB file: its name, the number of images and the published md5."""

    name: str
    count: int
    md5: str | None = None


@dataclass(frozen=True, kw_only=True)
class Svhn(Dataset):
    """MATLAB files with images X uint8 [32, 32, 3, N] and labels y [N, 1], where 10 stands for the digit 0."""

    files: Mapping[str, MatFile]
    optional: tuple[str, ...] = ()

    def inspect(self, folder: Path) -> Source:
        """See `Dataset.inspect`."""
        files = self._found(folder)
        official = all(self.files[split].md5 for split in files)
        splits = "+".join(files)
        part = splits if any(split in self.optional for split in files) else ""
        return self.describe(folder, files.values(), official, f"{self.title} ({splits})", part)

    def read(self, folder: Path) -> Images:
        """See `Dataset.read`."""
        return Images({split: self._split(split, path) for split, path in self._found(folder).items()}, CLASSES)

    def _found(self, folder: Path) -> dict[str, Path]:
        paths = {split: folder / file.name for split, file in self.files.items()}
        missing = [path.name for split, path in paths.items() if split not in self.optional and not has_file(path)]
        if missing:
            raise self.incomplete(folder, missing)
        return {split: path for split, path in paths.items() if has_file(path)}

    def _split(self, split: str, path: Path) -> Split:
        import numpy as np

        file = self.files[split]
        data = read_bytes(path)
        if file.md5 is not None:
            check_md5(path, data, file.md5, what="file")
        x, y = _arrays(path, data)
        if x.dtype != np.uint8 or x.shape != (32, 32, 3, file.count):
            raise DataError(f"{path}: X is {x.dtype} {x.shape}, expected uint8 {(32, 32, 3, file.count)}")
        if y.size != file.count or not np.isin(y, np.arange(1, 11)).all():
            raise DataError(f"{path}: y is not {file.count:,} labels from 1 to 10")
        return Split(np.ascontiguousarray(x.transpose(3, 0, 1, 2)), y.ravel().astype(np.int64) % 10)


def _arrays(path: Path, data: bytes) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    from scipy.io import loadmat

    try:
        # its annotations leave out file objects, which it takes
        content = loadmat(cast(Any, io.BytesIO(data)), variable_names=["X", "y"])
        return content["X"], content["y"]
    except KeyError as error:
        raise DataError(f"{path}: the MATLAB file has no variable {error}, expected X and y") from None
    except Exception as error:  # loadmat lets struct, zlib, index and many other errors of a damaged file through
        raise DataError(f"{path}: not a readable MATLAB file ({one_line(error)})") from None
