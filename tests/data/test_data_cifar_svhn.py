"""The CIFAR binary files and the SVHN MATLAB files against files written here."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_makers import TEXTS, message, places, small_cifar, write_cifar
from numpy.typing import NDArray
from scipy.io import savemat

from bnnbench.data.cifar import BinFile
from bnnbench.data.content import Images
from bnnbench.data.svhn import MatFile, Svhn
from bnnbench.errors import DataError


@pytest.mark.parametrize("inner", ["small-bin", ""])
@pytest.mark.parametrize(("classes", "coarse"), [(10, 0), (100, 20)])
def test_cifar_records_become_images(tmp_path: Path, inner: str, classes: int, coarse: int) -> None:
    dataset = small_cifar(classes=classes, coarse=coarse)
    where = places(tmp_path)
    written = write_cifar(tmp_path / "data" / "smallcifar" / inner, dataset)
    images = dataset.load(dataset.locate(where))
    assert isinstance(images, Images)
    for split, (x, y) in written.items():
        assert images.splits[split].x.dtype == np.uint8
        assert np.array_equal(images.splits[split].x, x)
        assert images.splits[split].y.tolist() == y


def test_cifar_files_are_checked(tmp_path: Path) -> None:
    dataset = small_cifar()
    where = places(tmp_path)
    folder = tmp_path / "data" / "smallcifar"
    write_cifar(folder, dataset)
    path = folder / "test.bin"
    good = path.read_bytes()
    md5 = hashlib.md5(good).hexdigest()
    source = dataset.locate(where)

    path.write_bytes(good[:-1])
    for attempt in (lambda: dataset.locate(where), lambda: dataset.load(source)):
        with pytest.raises(DataError) as caught:
            attempt()
        message(
            caught, str(path), "wrong length (6,145 bytes, expected 6,146)", "; put a sound copy of that file there"
        )

    path.write_bytes(b"\x0a" + good[1:])
    with pytest.raises(DataError) as caught:
        dataset.load(source)
    message(caught, str(path), "label 10 out of range")

    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    strict = small_cifar(files={"test": (BinFile("test.bin", 2, md5),)})
    assert strict.locate(where).provenance == "official"
    with pytest.raises(DataError) as caught:
        strict.load(strict.locate(where))
    message(caught, str(path), "published checksum", md5)

    path.unlink()
    with pytest.raises(DataError) as caught:
        dataset.locate(where)
    message(caught, "test.bin", str(folder))


def svhn(**changes: Any) -> Svhn:
    files = {"train": MatFile("train.mat", 12), "test": MatFile("test.mat", 11), "extra": MatFile("extra.mat", 3)}
    return Svhn(name="svhn", where=("svhn",), files=files, optional=("extra",), **TEXTS, **changes)


def write_svhn(folder: Path, dataset: Svhn, skip: tuple[str, ...] = ()) -> dict[str, NDArray[np.uint8]]:
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for split, file in dataset.files.items():
        if split not in skip:
            images = np.random.default_rng(2).integers(0, 256, (file.count, 32, 32, 3), dtype=np.uint8)
            labels = (np.arange(file.count, dtype=np.uint8) % 10 + 1).reshape(-1, 1)
            savemat(folder / file.name, {"X": images.transpose(1, 2, 3, 0), "y": labels}, do_compression=True)
            written[split] = images
    return written


def test_svhn_images_come_first_and_ten_means_zero(tmp_path: Path) -> None:
    dataset = svhn()
    where = places(tmp_path)
    written = write_svhn(tmp_path / "data" / "svhn", dataset, skip=("extra",))
    two = dataset.locate(where)
    images = dataset.load(two)
    assert isinstance(images, Images)
    assert sorted(images.splits) == ["test", "train"]
    for split, x in written.items():
        assert np.array_equal(images.splits[split].x, x)
        assert images.splits[split].x.flags.c_contiguous
        assert images.splits[split].y.tolist()[:11] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    write_svhn(tmp_path / "data" / "svhn", dataset)
    three = dataset.locate(where)
    assert three.identity != two.identity
    more = dataset.load(three)
    assert isinstance(more, Images)
    assert len(more.splits["extra"]) == 3


def test_svhn_files_are_checked(tmp_path: Path) -> None:
    dataset = svhn()
    where = places(tmp_path)
    folder = tmp_path / "data" / "svhn"
    write_svhn(folder, dataset)
    source = dataset.locate(where)
    path = folder / "test.mat"
    good = path.read_bytes()
    images = np.zeros((32, 32, 3, 11), np.uint8)
    contents: list[tuple[bytes | dict[str, Any], str]] = [
        (b"", "empty"),
        (good[: len(good) // 2], "not a readable MATLAB file"),
        (b"<!DOCTYPE html>" * 20, "not a readable MATLAB file"),
        ({"X": images}, "no variable 'y'"),
        ({"X": images[..., :10], "y": np.ones((11, 1), np.uint8)}, "expected uint8 (32, 32, 3, 11)"),
        ({"X": images, "y": np.zeros((11, 1), np.uint8)}, "labels from 1 to 10"),
    ]
    for content, expected in contents:
        path.write_bytes(content) if isinstance(content, bytes) else savemat(path, content)
        with pytest.raises(DataError) as caught:
            dataset.load(source)
        message(caught, str(path), expected)
    path.unlink()
    with pytest.raises(DataError, match=r"lacks test\.mat"):
        dataset.locate(where)
