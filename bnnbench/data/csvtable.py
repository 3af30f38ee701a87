"""Data sets in one CSV file, and the parsers of the forms in which they circulate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bnnbench.data.cells import codes, csv_rows, floats, whole
from bnnbench.data.content import Table
from bnnbench.data.dataset import Dataset, Source
from bnnbench.data.files import read_bytes
from bnnbench.data.search import has_file
from bnnbench.data.tables import make_table

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
        path, *others = self._paths(folder)
        unread = f"; read from {path.name}, not from {', '.join(other.name for other in others)}" if others else ""
        return self.describe(folder, [path], False, self.title + unread)

    def read(self, folder: Path) -> Table:
        """See `Dataset.read`."""
        path = self._paths(folder)[0]
        return self.files[path.name](path, read_bytes(path))

    def _paths(self, folder: Path) -> list[Path]:
        """The files that exist, of which the first is read."""
        if not (paths := [folder / name for name in self.files if has_file(folder / name)]):
            raise self.incomplete(folder, [" or ".join(self.files)])
        return paths


def parse_abalone(path: Path, data: bytes) -> Table:
    """abalone.data of UCI: the sex becomes three 0/1 columns, the target is the number of rings."""
    import numpy as np

    rows = csv_rows(path, data, 9, ("Sex", *ABALONE_FEATURES[3:], "Rings"))
    sexes = codes(path, rows, 0, "MFI")
    sex = np.array([[letter == code for code in "MFI"] for letter in sexes], np.float64)
    numbers = floats(path, rows, 1, 9)
    x = np.concatenate([sex, numbers[:, :-1]], axis=1)
    return make_table(path, x, numbers[:, -1], (4177, 10), features=ABALONE_FEATURES, target="Rings")


def parse_wdbc(path: Path, data: bytes) -> Table:
    """wdbc.data of UCI: an id, M or B, 30 numbers; malignant is class 0 and benign 1, as in scikit-learn."""
    import numpy as np

    measured = [f"{name} {kind}" for kind in ("mean", "se", "worst") for name in MEASURES]
    rows = csv_rows(path, data, 32, ("id", "diagnosis", *measured))
    benign = np.array([code == "B" for code in codes(path, rows, 1, "MB")])
    return _breast_cancer(path, floats(path, rows, 2, 32), benign)


def parse_breast_cancer(path: Path, data: bytes) -> Table:
    """The CSV of scikit-learn: a line of headings, then 30 numbers and the class."""
    rows = csv_rows(path, data, 31, (*BREAST_FEATURES, "target"))
    numbers = floats(path, rows, 0, 31)
    whole(path, rows, 30, numbers[:, -1], range(2))
    return _breast_cancer(path, numbers[:, :-1], numbers[:, -1])


def parse_digits(path: Path, data: bytes) -> Table:
    """optdigits.tes of UCI, which is also the file of scikit-learn: 64 pixels from 0 to 16 and the digit."""
    rows = csv_rows(path, data, 65)
    numbers = floats(path, rows, 0, 65)
    whole(path, rows, 64, numbers[:, -1], range(10))
    names = tuple(f"pixel_{row}_{column}" for row in range(8) for column in range(8))
    return make_table(path, numbers[:, :-1], numbers[:, -1], (1797, 64), features=names, target="digit", classes=10)


def parse_banana(path: Path, data: bytes) -> Table:
    """Two coordinates and the class; the classes 1 and 2 become 0 and 1."""
    rows = csv_rows(path, data, 3)
    numbers = floats(path, rows, 0, 3)
    whole(path, rows, 2, numbers[:, -1], range(1, 3))
    return make_table(path, numbers[:, :2], numbers[:, 2] - 1, (5300, 2), classes=2)


def _breast_cancer(path: Path, x: NDArray[np.float64], y: NDArray[np.generic]) -> Table:
    return make_table(path, x, y, (569, 30), features=BREAST_FEATURES, target="benign", classes=2)
