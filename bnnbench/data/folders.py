"""Photographs in a folder for each class (ImageNet and its subsets), listed at once and decoded one by one."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from abc import abstractmethod
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bnnbench.data.cells import text_of
from bnnbench.data.dataset import Dataset, Source
from bnnbench.data.files import one_line, read_bytes
from bnnbench.data.search import has_file, has_folder, is_debris
from bnnbench.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

SUFFIXES = (".jpeg", ".jpg", ".png")
Listing = dict[str, list[tuple[Path, str]]]  # for each split its files, each with its class


@dataclass(frozen=True)
class ImageFolder:
    """One split: the files, their labels int64 [N], and the class names (WordNet ids in order)."""

    paths: tuple[Path, ...]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, i: int) -> NDArray[np.uint8]:
        """Image i as uint8 [H, W, 3] in RGB, also where the file holds grey; DataError when it cannot be decoded."""
        return decode(self.paths[i], read_bytes(self.paths[i]))


@dataclass(frozen=True)
class ImageFolders:
    """The splits of a data set that does not fit in memory, and the class names."""

    splits: dict[str, ImageFolder]
    classes: tuple[str, ...]

    def digest(self) -> str:
        """The sha256 of every file's name, label and bytes; each image is decoded, so this takes a while.

        The bytes stand for the pixels because JPEG decoders may differ in the last bit.
        """
        digest = hashlib.sha256()
        for name in sorted(self.splits):
            split = self.splits[name]
            for path, label in zip(split.paths, split.labels, strict=True):
                data = read_bytes(path)
                decode(path, data)
                digest.update(f"{name}/{path.name} {label} {len(data)}\n".encode() + data)
        return digest.hexdigest()


def decode(path: Path, data: bytes) -> NDArray[np.uint8]:
    """An encoded image as uint8 [H, W, 3] RGB; DataError names `path` when it cannot be decoded."""
    import numpy as np
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            refusal = _refusal(image)
            if refusal is None:
                return np.array(_eight_bits(image).convert("RGB"))
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and more
        reason = one_line(error).partition(" <")[0]  # Pillow appends the address of the buffer
        raise DataError(f"{path}: not a readable image ({reason}); put a sound copy there") from None
    raise DataError(f"{path}: {refusal}")


def _refusal(image: Image) -> str | None:
    """Why the colours of an image are not defined; `None` where they are."""
    import numpy as np

    if image.mode in ("F", "LAB", "HSV") or (image.mode == "I" and image.format != "PNG"):
        return f"an image of mode {image.mode} has no defined range of values; save it with 8 or 16 bits per colour"
    if image.has_transparency_data and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
        return "an image with transparent pixels has no defined colours; save it without transparency"
    return None


def _eight_bits(image: Image) -> Image:
    """An image of 16 bits (which Pillow would clip at 255) scaled to 8; any other as it is."""
    import numpy as np
    from PIL import Image

    if image.mode == "I" or image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.float64)
        return Image.fromarray(np.rint(values / 257).astype(np.uint8))
    return image


class PhotoDataset(Dataset):
    """A data set of photographs: the listing of its files is enough to inspect it and to read it."""

    @abstractmethod
    def listing(self, folder: Path) -> tuple[tuple[str, ...], Listing]:
        """The class names in label order, and the files; raises DataError."""

    def inspect(self, folder: Path) -> Source:
        """See `Dataset.inspect`."""
        classes, splits = self.listing(folder)
        counts = [
            f"{split} {len(files):,} images of {len({wnid for _, wnid in files})} of {len(classes)} classes"
            for split, files in splits.items()
        ]
        paths = [path for files in splits.values() for path, _ in files]
        return self.describe(folder, paths, False, f"{self.title}: {', '.join(counts)}")

    def read(self, folder: Path) -> ImageFolders:
        """See `Dataset.read`; an image is decoded, and thereby checked, only when it is asked for."""
        import numpy as np

        classes, splits = self.listing(folder)
        number = {wnid: label for label, wnid in enumerate(classes)}
        return ImageFolders({
            split: ImageFolder(
                tuple(path for path, _ in files), np.array([number[w] for _, w in files], np.int64), classes
            )
            for split, files in splits.items()
        }, classes)  # fmt: skip


class TinyImageNet(PhotoDataset):
    """tiny-imagenet-200: "train" (the classes that are there) and, as "test", the official val folder."""

    def listing(self, folder: Path) -> tuple[tuple[str, ...], Listing]:
        """See `PhotoDataset.listing`."""
        root = folder / "tiny-imagenet-200" if has_folder(folder / "tiny-imagenet-200") else folder
        needed = ("wnids.txt", "val/val_annotations.txt", "val/images")
        if missing := [name for name in needed if not (root / name).exists()]:
            raise self.incomplete(root, missing)
        classes = tuple(sorted(_lines(root / "wnids.txt")))
        known = set(classes)
        splits: Listing = {}
        if has_folder(root / "train"):
            splits["train"] = [
                (path, wnid) for wnid in _folders(root / "train") for path in _images(root / "train" / wnid / "images")
            ]
        splits["test"] = self._validation(root)
        for files in splits.values():
            for path, wnid in files:
                if wnid not in known:
                    raise DataError(f"{path}: its class {wnid} is not one of the {len(classes)} in wnids.txt")
        return classes, splits

    def _validation(self, root: Path) -> list[tuple[Path, str]]:
        annotations = root / "val" / "val_annotations.txt"
        rows = [line.split("\t") for line in _lines(annotations)]
        if any(len(row) != 6 for row in rows):
            raise DataError(f"{annotations}: expected 6 columns (file, class, box) in each line")
        there = {path.name: path for path in _images(root / "val" / "images")}
        if absent := [row[0] for row in rows if row[0] not in there]:
            raise self.incomplete(root / "val" / "images", [f"{len(absent)} of {len(rows)} images ({absent[0]}, ...)"])
        return [(there[row[0]], row[1]) for row in rows]


@dataclass(frozen=True, kw_only=True)
class ClassFolders(PhotoDataset):
    """A folder for each class, named by its WordNet id, below a folder for each split."""

    split_folders: dict[str, str]
    """Where each split is; a split may be absent, but not all of them."""
    index: str = ""
    """A CSV file whose column `file` lists the images that must be there."""

    def listing(self, folder: Path) -> tuple[tuple[str, ...], Listing]:
        """See `PhotoDataset.listing`."""
        roots = {split: folder / name for split, name in self.split_folders.items() if has_folder(folder / name)}
        if not roots:
            raise self.incomplete(folder, [f"{name}/<class>/*.JPEG" for name in self.split_folders.values()])
        classes: set[str] = set()
        splits: Listing = {}
        for split, root in roots.items():
            wnids = _folders(root)
            if not wnids:
                raise DataError(f"{root}: no class folders in it, expected {root.name}/<class>/*.JPEG")
            classes |= set(wnids)
            splits[split] = [(path, wnid) for wnid in wnids for path in _images(root / wnid)]
        if self.index:
            self._check_index(folder, {path for files in splits.values() for path, _ in files})
        return tuple(sorted(classes)), splits

    def _check_index(self, folder: Path, there: set[Path]) -> None:
        if not has_file(folder / self.index):
            raise self.incomplete(folder, [self.index])
        rows = list(csv.DictReader(_lines(folder / self.index)))
        if not rows or "file" not in rows[0]:
            raise DataError(f"{folder / self.index}: it has no column named file")
        if absent := [row["file"] for row in rows if folder / (row["file"] or ".") not in there]:
            raise self.incomplete(folder, [f"{len(absent)} of {len(rows)} images ({absent[0]}, ...)"])


def _lines(path: Path) -> list[str]:
    return text_of(path, read_bytes(path)).splitlines()


def _folders(root: Path) -> list[str]:
    """The names of the sub-folders, in order; a broken link is an error."""
    names = []
    with os.scandir(root) as entries:
        for entry in entries:
            if is_debris(entry.name):
                continue
            if entry.is_dir():
                names.append(entry.name)
            elif entry.is_symlink() and not entry.is_file():
                raise DataError(f"{entry.path}: a broken link; repair or remove it")
    return sorted(map(_readable, names))


def _images(root: Path) -> list[Path]:
    """The images in a class's folder, in name order; a class without any is an error."""
    names = []
    with os.scandir(root) if root.is_dir() else nullcontext(()) as entries:
        for entry in entries:
            if entry.name.lower().endswith(SUFFIXES) and not is_debris(entry.name):
                if not entry.is_file():
                    raise DataError(f"{entry.path}: not a file, or a broken link; repair or remove it")
                names.append(_readable(entry.name))
    if not names:
        raise DataError(f"{root}: the folder has no images")
    return [root / name for name in sorted(names)]


def _readable(name: str) -> str:
    """The name, if it is UTF-8; `UnicodeError` for any other, which results could not record."""
    name.encode()
    return name
