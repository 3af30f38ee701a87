"""LSUN scenes (https://github.com/fyu/lsun): an LMDB database of encoded images for each category and split."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnnbench.data.dataset import Dataset, Source
from bnnbench.data.folders import decode
from bnnbench.data.search import has_file, has_folder
from bnnbench.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class LmdbSplit:
    """The images of one database, in the order of their keys, each of its own size."""

    folder: Path
    contents: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.contents)

    def read(self, i: int) -> NDArray[np.uint8]:
        """Image i, uint8 [H, W, 3] RGB; DataError when it cannot be decoded."""
        return decode(self.folder / f"record {i}", self.contents[i])


@dataclass(frozen=True)
class Scenes:
    """The splits of one category; there are no labels."""

    splits: dict[str, LmdbSplit]
    classes: tuple[str, ...]

    def digest(self) -> str:
        """The sha256 of all encoded images; each is decoded once."""
        digest = hashlib.sha256()
        for name in sorted(self.splits):
            for i, content in enumerate(self.splits[name].contents):
                self.splits[name].read(i)
                digest.update(f"{name} {len(content)}\n".encode() + content)
        return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class Lsun(Dataset):
    """The validation images of one category, as "test"; training databases have gigabytes and are not read."""

    category: str

    def inspect(self, folder: Path) -> Source:
        """See `Dataset.inspect`."""
        path = self._database(folder) / "data.mdb"
        if not has_file(path):
            raise self.incomplete(folder, [f"{self.category}_val_lmdb/data.mdb"])
        return self.describe(folder, [path], False, f"{self.title}, validation images")

    def read(self, folder: Path) -> Scenes:
        """See `Dataset.read`; a category's validation database has 300 images and fits in memory."""
        root = self._database(folder)
        with _database(root) as transaction:
            contents = tuple(bytes(value) for _, value in transaction.cursor())
        if not contents:
            raise DataError(f"{root / 'data.mdb'}: the database holds no images; get it again")
        return Scenes({"test": LmdbSplit(root, contents)}, (self.category,))

    def _database(self, folder: Path) -> Path:
        inner = folder / f"{self.category}_val_lmdb"
        return inner if has_folder(inner) else folder


@contextmanager
def _database(root: Path) -> Iterator[Any]:
    try:
        import lmdb
    except ImportError:
        raise DataError(f"{root}: reading it needs the package lmdb; run: pip install lmdb") from None
    try:
        with lmdb.open(str(root), readonly=True, lock=False, readahead=False) as opened, opened.begin() as transaction:
            yield transaction
    except lmdb.Error as error:
        raise DataError(f"{root / 'data.mdb'}: not a readable LMDB database ({error}); get it again") from None
