"""The binary version of CIFAR-10 and CIFAR-100 (https://www.cs.toronto.edu/~kriz/cifar.html); never the pickles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bnnbench.data.dataset import Dataset, Images, Source, Split
from bnnbench.data.files import check_md5, check_size, read_bytes
from bnnbench.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIDE = 32
PIXELS = 3 * SIDE * SIDE
CIFAR100_CLASSES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale willow_tree
wolf woman worm
"""


@dataclass(frozen=True)
class BinFile:
    """One file of records: its name, the number of records and the md5 of the file in the official archive."""

    name: str
    records: int
    md5: str | None = None


@dataclass(frozen=True, kw_only=True)
class Cifar(Dataset):
    """Records of a class label (CIFAR-100: a coarse and a fine one) and 3,072 bytes, channels first."""

    files: Mapping[str, tuple[BinFile, ...]]
    archive_folder: str
    """The folder in the official archive; the files may also lie directly in the data set's folder."""
    classes: tuple[str, ...]
    coarse_classes: int = 0
    """Above 0, a byte with the coarse label comes before the label that is used; it is checked and dropped."""

    def inspect(self, folder: Path) -> Source:
        """See `Dataset.inspect`."""
        root = self._root(folder)
        files = [file for split in self.files.values() for file in split]
        missing = [file.name for file in files if not (root / file.name).is_file()]
        if missing:
            raise self.incomplete(root, missing)
        for file in files:
            check_size(root / file.name, file.records * self._record)
        official = all(file.md5 for file in files)
        return self.describe(folder, [root / file.name for file in files], official, self.title)

    def read(self, folder: Path) -> Images:
        """See `Dataset.read`."""
        root = self._root(folder)
        return Images({split: self._split(root, files) for split, files in self.files.items()}, self.classes)

    @property
    def _record(self) -> int:
        return PIXELS + (2 if self.coarse_classes else 1)

    def _root(self, folder: Path) -> Path:
        inner = folder / self.archive_folder
        return inner if inner.is_dir() else folder

    def _split(self, root: Path, files: tuple[BinFile, ...]) -> Split:
        import numpy as np

        total = sum(file.records for file in files)
        x = np.empty((total, SIDE, SIDE, 3), np.uint8)
        y = np.empty(total, np.int64)
        start = 0
        for file in files:
            rows = self._rows(root / file.name, file)
            stop = start + len(rows)
            x[start:stop] = rows[:, -PIXELS:].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
            y[start:stop] = rows[:, -PIXELS - 1]
            start = stop
        return Split(x, y)

    def _rows(self, path: Path, file: BinFile) -> NDArray[np.uint8]:
        import numpy as np

        data = read_bytes(path)
        if len(data) != file.records * self._record:
            raise DataError(f"{path}: wrong length ({len(data):,} bytes, expected {file.records * self._record:,})")
        if file.md5 is not None:
            check_md5(path, data, file.md5)
        rows = np.frombuffer(data, np.uint8).reshape(file.records, self._record)
        limits = [self.coarse_classes, len(self.classes)] if self.coarse_classes else [len(self.classes)]
        for column, limit in enumerate(limits):
            if (highest := int(rows[:, column].max())) >= limit:
                raise DataError(f"{path}: label {highest} out of range (expected 0 to {limit - 1})")
        return rows
