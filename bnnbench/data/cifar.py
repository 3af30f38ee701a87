"""CIFAR-10 and CIFAR-100 (https://www.cs.toronto.edu/~kriz/cifar.html): the binary version, or the Python one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bnnbench.data.cifar_pickles import records
from bnnbench.data.content import Images, Split
from bnnbench.data.dataset import Dataset, Source
from bnnbench.data.files import check_md5, check_size, read_bytes
from bnnbench.data.search import has_file, has_folder, spelling
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

    @property
    def python_name(self) -> str:
        """The file's name in the Python version."""
        return self.name.removesuffix(".bin")


@dataclass(frozen=True, kw_only=True)
class Cifar(Dataset):
    """Records of a class label (CIFAR-100: a coarse and a fine one) and 3,072 bytes, channels first."""

    files: Mapping[str, tuple[BinFile, ...]]
    archive_folder: str
    """The folder in the official archive; the files may also lie directly in the data set's folder."""
    python_folder: str = ""
    """The folder of the Python version, whose files have the same names without .bin."""
    classes: tuple[str, ...]
    coarse_classes: int = 0
    """Where it is above 0, each record begins with a byte for the coarse label, which is checked and dropped."""

    def inspect(self, folder: Path) -> Source:
        """See `Dataset.inspect`."""
        root, python = self._root(folder)
        files = [file for split in self.files.values() for file in split]
        paths = [root / file.python_name if python else root / file.name for file in files]
        if missing := [path.name for path in paths if not has_file(path)]:
            raise self.incomplete(root, missing)
        if python:
            note = f"{self.title}, the Python version; no checksum is known for it, so its structure is checked"
            return self.describe(folder, paths, False, note)
        for file, path in zip(files, paths, strict=True):
            check_size(path, file.records * self._record)
        return self.describe(folder, paths, all(file.md5 for file in files), self.title)

    def read(self, folder: Path) -> Images:
        """See `Dataset.read`."""
        root, python = self._root(folder)
        splits = {split: self._split(root, files, python) for split, files in self.files.items()}
        return Images(splits, self.classes)

    @property
    def _record(self) -> int:
        return PIXELS + (2 if self.coarse_classes else 1)

    def _root(self, folder: Path) -> tuple[Path, bool]:
        """The folder of the files, and whether they are the Python version; the binary version is preferred."""
        inner = folder / self.archive_folder
        root = inner if has_folder(inner) else folder
        if not self.python_folder or any((root / file.name).exists() for part in self.files.values() for file in part):
            return root, False
        python = folder / self.python_folder
        if has_folder(python):
            return python, True
        return root, root == folder and spelling(folder.name) == spelling(self.python_folder)

    def _split(self, root: Path, files: tuple[BinFile, ...], python: bool) -> Split:
        import numpy as np

        total = sum(file.records for file in files)
        x = np.empty((total, SIDE, SIDE, 3), np.uint8)
        y = np.empty(total, np.int64)
        start = 0
        for file in files:
            rows = self._python_rows(root / file.python_name, file) if python else self._rows(root / file.name, file)
            stop = start + len(rows)
            x[start:stop] = rows[:, -PIXELS:].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
            y[start:stop] = rows[:, -PIXELS - 1]
            start = stop
        return Split(x, y)

    def _python_rows(self, path: Path, file: BinFile) -> NDArray[np.uint8]:
        labels = ("coarse_labels", "fine_labels") if self.coarse_classes else ("labels",)
        return self._labelled(path, records(path, file.records, PIXELS, labels))

    def _rows(self, path: Path, file: BinFile) -> NDArray[np.uint8]:
        import numpy as np

        data = read_bytes(path)
        if len(data) != file.records * self._record:
            raise DataError(f"{path}: wrong length ({len(data):,} bytes, expected {file.records * self._record:,})")
        if file.md5 is not None:
            check_md5(path, data, file.md5)
        return self._labelled(path, np.frombuffer(data, np.uint8).reshape(file.records, self._record))

    def _labelled(self, path: Path, rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The records, after their labels have been checked."""
        limits = [self.coarse_classes, len(self.classes)] if self.coarse_classes else [len(self.classes)]
        for column, limit in enumerate(limits):
            if (highest := int(rows[:, column].max())) >= limit:
                raise DataError(f"{path}: label {highest} out of range (expected 0 to {limit - 1})")
        return rows
