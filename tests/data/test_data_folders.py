"""Folders of photographs against images written here."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from data_makers import TEXTS, message, places
from PIL import Image

from bnnbench.data import ImageFolders
from bnnbench.data.folders import ClassFolders, TinyImageNet
from bnnbench.errors import DataError

TINY = TinyImageNet(name="tiny", where=("tiny-imagenet",), **TEXTS)
SAMPLE = ClassFolders(name="sample", where=("sample",), split_folders={"test": "."}, index="index.csv", **TEXTS)
FULL = ClassFolders(name="full", where=("full",), split_folders={"train": "train", "test": "val"}, **TEXTS)


def picture(path: Path, mode: str = "RGB", colour: int | tuple[int, int, int] = (200, 10, 60)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (9, 7), colour).save(path, "JPEG")


def write_tiny(folder: Path) -> Path:
    root = folder / "tiny-imagenet-200"
    for wnid in ("n02", "n01"):
        for i in range(3):
            picture(root / "train" / wnid / "images" / f"{wnid}_{i}.JPEG")
    for i in range(4):
        picture(root / "val" / "images" / f"val_{i}.JPEG", "L", 90)
    rows = [f"val_{i}.JPEG\t{wnid}\t0\t0\t8\t6\n" for i, wnid in enumerate(("n03", "n01", "n02", "n01"))]
    (root / "val" / "val_annotations.txt").write_text("".join(rows))
    (root / "wnids.txt").write_text("n03\nn01\nn02\n")
    return root


@pytest.mark.parametrize("place", ["tiny_imagenet", "tiny-imagenet"])
def test_tiny_imagenet(tmp_path: Path, place: str) -> None:
    where = places(tmp_path)
    write_tiny(tmp_path / "data" / place)
    source = TINY.locate(where)
    assert "train 6 images of 2 of 3 classes" in source.note
    content = TINY.load(source)
    assert isinstance(content, ImageFolders)
    assert content.classes == ("n01", "n02", "n03")
    train, test = content.splits["train"], content.splits["test"]
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert all(train.classes[label] in path.name for path, label in zip(train.paths, train.labels, strict=True))
    assert test.labels.tolist() == [2, 0, 1, 0]
    assert (len(train), len(test)) == (6, 4)
    grey = test.read(0)  # a grey photograph comes back with three equal channels
    assert grey.shape == (7, 9, 3)
    assert grey.dtype == np.uint8
    assert (grey == 90).all()
    assert np.abs(train.read(0).astype(int) - (200, 10, 60)).max() <= 3


def test_tiny_imagenet_files_are_checked(tmp_path: Path) -> None:
    where = places(tmp_path)
    root = write_tiny(tmp_path / "data" / "tiny-imagenet")
    source = TINY.locate(where)
    first = TINY.verify(source)
    image = root / "val" / "images" / "val_2.JPEG"
    good = image.read_bytes()

    for bad, expected in ((good[: len(good) // 2], "not a readable image"), (b"<html>", "image"), (b"", "empty")):
        image.write_bytes(bad)
        with pytest.raises(DataError) as caught:
            TINY.verify(source)
        message(caught, str(image), expected)
    picture(image, "L", 91)
    assert TINY.verify(source) != first

    image.unlink()
    with pytest.raises(DataError) as caught:
        TINY.locate(where)
    message(caught, "val_2.JPEG")
    image.write_bytes(good)
    (root / "wnids.txt").write_text("n01\nn02\n")
    with pytest.raises(DataError, match="its class n03 is not one of the 2"):
        TINY.locate(where)
    (root / "wnids.txt").unlink()
    with pytest.raises(DataError, match=r"lacks wnids\.txt"):
        TINY.locate(where)


def test_class_folders_with_an_index(tmp_path: Path) -> None:
    where = places(tmp_path)
    folder = tmp_path / "data" / "sample"
    picture(folder / "n02" / "b.JPEG")
    picture(folder / "n01" / "a.JPEG")
    with pytest.raises(DataError, match=r"lacks index\.csv"):
        SAMPLE.locate(where)
    (folder / "index.csv").write_text("file,wnid\nn01/a.JPEG,n01\nn02/b.JPEG,n02\n")
    content = SAMPLE.load(SAMPLE.locate(where))
    assert isinstance(content, ImageFolders)
    assert content.classes == ("n01", "n02")
    assert content.splits["test"].labels.tolist() == [0, 1]
    (folder / "index.csv").write_bytes("file,wnid\r\nn01/a.JPEG,n01\r\n".encode("utf-8-sig"))
    assert SAMPLE.locate(where).folder == folder
    (folder / "index.csv").write_text("wnid,file\nn01\n")
    with pytest.raises(DataError, match=r"1 of 1 images"):
        SAMPLE.locate(where)
    (folder / "index.csv").write_text("file,wnid\nn01/a.JPEG,n01\nn02/c.JPEG,n02\n")
    with pytest.raises(DataError, match=r"1 of 2 images \(n02/c\.JPEG"):
        SAMPLE.locate(where)


def test_train_and_val_share_their_labels(tmp_path: Path) -> None:
    where = places(tmp_path)
    folder = tmp_path / "data" / "full"
    for path in ("train/n01/a.JPEG", "train/n02/b.JPEG", "val/n02/c.JPEG"):
        picture(folder / path)
    both = FULL.locate(where)
    content = FULL.load(both)
    assert isinstance(content, ImageFolders)
    assert content.splits["test"].labels.tolist() == [1]
    shutil.rmtree(folder / "train")
    assert FULL.locate(where).identity != both.identity
    (folder / "val" / "n02" / "c.JPEG").unlink()
    with pytest.raises(DataError, match="n02: the folder has no images"):
        FULL.locate(where)
    (folder / "val" / "n02").rmdir()
    picture(folder / "val" / "ILSVRC2012_val_00000001.JPEG")  # as the official archive unpacks
    with pytest.raises(DataError, match="no class folders in it"):
        FULL.locate(where)
    shutil.rmtree(folder / "val")
    with pytest.raises(DataError, match="lacks train/"):
        FULL.locate(where)
