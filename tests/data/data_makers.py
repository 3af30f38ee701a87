"""Small data sets in the official formats, written independently of the package's readers."""

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bnnbench.data import Places
from bnnbench.data.cifar import BinFile, Cifar
from bnnbench.data.idx import IdxDataset, IdxFile
from bnnbench.errors import DataError

TEXTS: dict[str, Any] = {
    "title": "A small set", "task": "classification", "licence": "none", "citation": "none", "home": "https://example.org",
}  # fmt: skip


def idx_bytes(array: NDArray[np.uint8]) -> bytes:
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def small_idx(name: str = "small", train: int = 6, test: int = 4, **changes: Any) -> IdxDataset:
    """A data set of 28 x 28 images in the MNIST naming, without checksums."""
    fields: dict[str, Any] = {
        **TEXTS,
        "name": name,
        "where": (name,),
        "files": {
            "train": (IdxFile("train-images-idx3-ubyte"), IdxFile("train-labels-idx1-ubyte")),
            "test": (IdxFile("t10k-images-idx3-ubyte"), IdxFile("t10k-labels-idx1-ubyte")),
        },
        "counts": {"train": train, "test": test},
        "classes": ("a", "b", "c"),
    }
    return IdxDataset(**(fields | changes))


def write_idx(
    folder: Path, dataset: IdxDataset, packed: bool = True
) -> dict[str, tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Random images and labels for every split; returns what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    stream = np.random.default_rng(0)
    written = {}
    for split, files in dataset.files.items():
        count = dataset.counts[split] or 5
        images = stream.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = stream.integers(0, len(dataset.classes), count, dtype=np.uint8) + np.uint8(dataset.first_label)
        for file, array in zip(files, (images, labels), strict=True):
            content = idx_bytes(array)
            path = folder / (f"{file.name}.gz" if packed else file.name)
            path.write_bytes(gzip.compress(content) if packed else content)
        written[split] = (images, labels)
    return written


def small_cifar(name: str = "smallcifar", classes: int = 10, coarse: int = 0, **changes: Any) -> Cifar:
    fields: dict[str, Any] = {
        **TEXTS,
        "name": name,
        "where": (name,),
        "archive_folder": "small-bin",
        "files": {"train": (BinFile("one.bin", 3), BinFile("two.bin", 2)), "test": (BinFile("test.bin", 2),)},
        "classes": tuple(map(str, range(classes))),
        "coarse_classes": coarse,
    }
    return Cifar(**(fields | changes))


def write_cifar(folder: Path, dataset: Cifar) -> dict[str, tuple[NDArray[np.uint8], list[int]]]:
    """Records written pixel by pixel: labels, then all red, all green and all blue values."""
    folder.mkdir(parents=True, exist_ok=True)
    stream = np.random.default_rng(1)
    written = {}
    for split, files in dataset.files.items():
        total = sum(file.records for file in files)
        images = stream.integers(0, 256, (total, 32, 32, 3), dtype=np.uint8)
        labels = stream.integers(0, len(dataset.classes), total).tolist()
        records = []
        for image, label in zip(images, labels, strict=True):
            head = [label % dataset.coarse_classes, label] if dataset.coarse_classes else [label]
            planes = [image[row, column, c] for c in range(3) for row in range(32) for column in range(32)]
            records.append(bytes(head) + bytes(planes))
        for file in files:
            (folder / file.name).write_bytes(b"".join(records[: file.records]))
            records = records[file.records :]
        written[split] = (images, labels)
    return written


def places(tmp_path: Path, **changes: Any) -> Places:
    """A data folder and a cache below tmp_path; the data folder exists."""
    (tmp_path / "data").mkdir(exist_ok=True)
    return Places(**{"data_dir": tmp_path / "data", "cache_dir": tmp_path / "cache", "bundled": False, **changes})


def message(caught: pytest.ExceptionInfo[DataError], *parts: str) -> str:
    """The message, after checking that it is one line with these parts."""
    text = str(caught.value)
    assert "\n" not in text
    for part in parts:
        assert part in text
    return text
