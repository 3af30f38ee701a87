"""The IDX format of MNIST and its relatives (http://yann.lecun.com/exdb/mnist: a magic number, sizes, bytes)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bnnbench.data.content import Images, Split
from bnnbench.data.dataset import Dataset, Source
from bnnbench.data.files import check_md5, gunzip, read_bytes
from bnnbench.data.search import has_file
from bnnbench.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIDE = 28


@dataclass(frozen=True)
class IdxFile:
    """An IDX file: its official name without .gz, and the published md5 of its content or of its gzip file."""

    name: str
    md5: str | None = None
    gz_md5: str | None = None

    def find(self, folder: Path) -> Path | None:
        """The file in the folder, or in the `raw` or `gzip` folder that other programs unpack to."""
        for place in (folder, folder / "raw", folder / "gzip"):
            for name in (self.name, self.name.replace("-idx", ".idx")):
                # The gzip file comes first: for some files it alone has a published checksum.
                for path in (place / f"{name}.gz", place / name):
                    if has_file(path):
                        return path
        return None

    def is_official(self, path: Path) -> bool:
        """Whether there is a published checksum that `read` compares with this file."""
        return self.md5 is not None or (self.gz_md5 is not None and path.suffix == ".gz")

    def read(self, path: Path) -> NDArray[np.uint8]:
        """The array in the file, after all checks; DataError names the file and what is wrong."""
        raw = read_bytes(path)
        content = gunzip(path, raw) if path.suffix == ".gz" else raw
        array = parse_idx(path, content)
        if self.md5 is not None:
            check_md5(path, content, self.md5)
        elif self.gz_md5 is not None and path.suffix == ".gz":
            check_md5(path, raw, self.gz_md5, what="gzip file")
        return array


def parse_idx(path: Path, content: bytes) -> NDArray[np.uint8]:
    """The uint8 array in IDX bytes, of the 1 to 4 dimensions that its header gives.

    Raises DataError for a wrong magic number (two zeros, 8 for unsigned bytes, the number of dimensions) or a
    length that does not fit the header. `path` is only named in the messages.
    """
    import numpy as np

    if content[:3] != b"\0\0\x08" or len(content) < 4 or not 1 <= content[3] <= 4:
        raise DataError(
            f"{path}: wrong magic number, not an IDX file of bytes (it starts with {content[:4]!r}, "
            "expected b'\\x00\\x00\\x08' and 1 to 4 dimensions)"
        )
    start = 4 + 4 * content[3]
    shape = tuple(int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4))
    if len(content) != start + math.prod(shape):
        sizes = " x ".join(map(str, shape))
        expected = start + math.prod(shape)
        raise DataError(f"{path}: wrong length ({len(content):,} bytes, expected {expected:,} for {sizes})")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()


@dataclass(frozen=True, kw_only=True)
class IdxDataset(Dataset):
    """28 x 28 grey images in IDX files: for each split one file of images and one of labels."""

    files: Mapping[str, tuple[IdxFile, IdxFile]]
    counts: Mapping[str, int | None]
    """Images in each split; None where different releases differ."""
    classes: tuple[str, ...]
    optional: tuple[str, ...] = ()
    """Splits that may be absent."""
    first_label: int = 0
    transposed: bool = False
    """EMNIST stores each image with its rows and columns exchanged; reading undoes this."""

    def inspect(self, folder: Path) -> Source:
        """See `Dataset.inspect`."""
        pairs = self._found(folder)
        files = [
            (file, path) for split, paths in pairs.items() for file, path in zip(self.files[split], paths, strict=True)
        ]
        official = all(file.is_official(path) for file, path in files)
        part = "" if len(pairs) == len(self.files) else "+".join(pairs)
        note = self.title + (f", only the {part} split is there" if part else "")
        if not official:
            note += "; no checksum is published for these files, so their structure is checked"
        return self.describe(folder, [path for _, path in files], official, note, part)

    def read(self, folder: Path) -> Images:
        """See `Dataset.read`."""
        return Images({split: self._split(split, *paths) for split, paths in self._found(folder).items()}, self.classes)

    def _found(self, folder: Path) -> dict[str, tuple[Path, Path]]:
        files: dict[str, tuple[Path, Path]] = {}
        missing: list[str] = []
        for split, (images, labels) in self.files.items():
            paths = (images.find(folder), labels.find(folder))
            if paths[0] is not None and paths[1] is not None:
                files[split] = (paths[0], paths[1])
            elif split not in self.optional or any(paths):  # half a split is a mistake, even an optional one
                missing += [
                    f"{file.name}.gz" for file, path in zip((images, labels), paths, strict=True) if path is None
                ]
        if missing or not files:
            raise self.incomplete(folder, missing or ["all of its files"])
        return files

    def _split(self, split: str, images: Path, labels: Path) -> Split:
        import numpy as np

        x = self.files[split][0].read(images)
        y = self.files[split][1].read(labels).astype(np.int64) - self.first_label
        count = self.counts[split] or len(x)
        if x.shape != (count, SIDE, SIDE):
            raise DataError(f"{images}: wrong shape ({x.shape}, expected {(count, SIDE, SIDE)})")
        if y.shape != (count,):
            raise DataError(f"{labels}: wrong shape ({y.shape}, expected {(count,)})")
        if count and not 0 <= y.min() <= y.max() < len(self.classes):
            labelled = f"{y.min() + self.first_label} to {y.max() + self.first_label}"
            last = len(self.classes) - 1 + self.first_label
            raise DataError(f"{labels}: labels out of range ({labelled}, expected {self.first_label} to {last})")
        return Split(np.ascontiguousarray(x.swapaxes(1, 2)) if self.transposed else x, y)
