"""Data sets in one CSV file, and the parsers of the forms in which they circulate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bnnbench.data.dataset import Dataset, Source, Table
from bnnbench.data.files import one_line, read_bytes
from bnnbench.data.tables import make_table
from bnnbench.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MEASURES = ("radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity", "concave points",
            "symmetry", "fractal dimension")  # fmt: skip
BREAST_FEATURES = (
    *(f"mean {name}" for name in MEASURES),
    *(f"{name} error" for name in MEASURES),
    *(f"worst {name}" for name in MEASURES),
)
ABALONE_FEATURES = ("Sex=M", "Sex=F", "Sex=I", "Length", "Diameter", "Height", "Whole weight", "Shucked weight",
                    "Viscera weight", "Shell weight")  # fmt: skip

Parser = Callable[[Path, bytes], Table]


@dataclass(frozen=True, kw_only=True)
class CsvTable(Dataset):
    """A data set in one text file; each name under which it circulates has its own columns, hence its parser."""

    files: Mapping[str, Parser]

    def inspect(self, folder: Path) -> Source:
        """See `Dataset.inspect`."""
        path = self._path(folder)
        return self.describe(folder, [path], False, self.title)

    def read(self, folder: Path) -> Table:
        """See `Dataset.read`."""
        path = self._path(folder)
        return self.files[path.name](path, read_bytes(path))

    def _path(self, folder: Path) -> Path:
        for name in self.files:
            if (folder / name).is_file():
                return folder / name
        raise self.incomplete(folder, [" or ".join(self.files)])


def parse_abalone(path: Path, data: bytes) -> Table:
    """abalone.data of UCI: the sex becomes three 0/1 columns, the target is the number of rings."""
    import numpy as np

    rows = _rows(path, data, columns=9)
    if unknown := {row[0] for row in rows} - set("MFI"):
        raise DataError(f"{path}: unknown sex {min(unknown)!r}, expected M, F or I")
    sex = np.array([[row[0] == code for code in "MFI"] for row in rows], np.float64)
    numbers = _floats(path, [row[1:] for row in rows])
    x = np.concatenate([sex, numbers[:, :-1]], axis=1)
    return make_table(path, x, numbers[:, -1], (4177, 10), features=ABALONE_FEATURES, target="Rings")


def parse_wdbc(path: Path, data: bytes) -> Table:
    """wdbc.data of UCI: an id, M or B, 30 numbers; malignant is class 0 and benign 1, as in scikit-learn."""
    import numpy as np

    rows = _rows(path, data, columns=32)
    if unknown := {row[1] for row in rows} - set("MB"):
        raise DataError(f"{path}: unknown diagnosis {min(unknown)!r}, expected M or B")
    return _breast_cancer(path, _floats(path, [row[2:] for row in rows]), np.array([row[1] == "B" for row in rows]))


def parse_breast_cancer(path: Path, data: bytes) -> Table:
    """The CSV of scikit-learn: a line of headings, then 30 numbers and the class."""
    numbers = _floats(path, _rows(path, data.partition(b"\n")[2], columns=31))
    return _breast_cancer(path, numbers[:, :-1], numbers[:, -1])


def parse_digits(path: Path, data: bytes) -> Table:
    """optdigits.tes of UCI, which is also the file of scikit-learn: 64 pixels from 0 to 16 and the digit."""
    numbers = _floats(path, _rows(path, data, columns=65))
    names = tuple(f"pixel_{row}_{column}" for row in range(8) for column in range(8))
    return make_table(path, numbers[:, :-1], numbers[:, -1], (1797, 64), features=names, target="digit", classes=10)


def parse_banana(path: Path, data: bytes) -> Table:
    """Two coordinates and the class, 1 or 2, which becomes 0 or 1."""
    numbers = _floats(path, _rows(path, data, columns=3))
    return make_table(path, numbers[:, :2], numbers[:, 2] - 1, (5300, 2), classes=2)


def _breast_cancer(path: Path, x: NDArray[np.float64], y: NDArray[np.generic]) -> Table:
    return make_table(path, x, y, (569, 30), features=BREAST_FEATURES, target="benign", classes=2)


def _rows(path: Path, data: bytes, columns: int) -> list[list[str]]:
    rows = [line.split(",") for line in data.decode("latin-1").splitlines() if line.strip()]
    for number, row in enumerate(rows, 1):
        if len(row) != columns:
            raise DataError(f"{path}: row {number} has {len(row)} columns, expected {columns}")
    return rows


def _floats(path: Path, rows: list[list[str]]) -> NDArray[np.float64]:
    import numpy as np

    if not rows:
        raise DataError(f"{path}: no rows there")
    try:
        return np.array(rows).astype(np.float64)
    except ValueError as error:
        raise DataError(f"{path}: not a table of numbers ({one_line(error)})") from None
