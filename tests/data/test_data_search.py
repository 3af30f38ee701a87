"""Folders as users have them: other spellings, other layouts, debris, and what is no data at all."""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_makers import message, places, small_cifar, small_idx, write_cifar, write_idx
from PIL import Image
from test_data_folders import FULL, SAMPLE, TINY, picture, write_tiny

from bnnbench.data import DATASETS, ImageFolders
from bnnbench.data.folders import decode
from bnnbench.data.idx import IdxDataset
from bnnbench.data.search import is_debris, spelling
from bnnbench.errors import DataError, DataUnavailable

SETS = {dataset.name: dataset for dataset in DATASETS}


@pytest.mark.parametrize("name", ["fashion-mnist", "fashion_mnist", "FashionMNIST", "Fashion-MNIST", "FASHION MNIST"])
@pytest.mark.parametrize("sub", ["", "raw"])
def test_every_usual_spelling_is_found(tmp_path: Path, name: str, sub: str) -> None:
    dataset = small_idx(name="fashion-mnist")
    write_idx(tmp_path / "data" / name / sub, dataset)
    source = dataset.locate(places(tmp_path))
    assert source.folder == tmp_path / "data" / name
    dataset.load(source)


def torchvision(root: Path) -> None:
    """Files as torchvision's data sets lay them out, of the right names and sizes."""
    for name in ("MNIST", "FashionMNIST", "KMNIST"):
        for files in SETS["mnist"].files.values():  # type: ignore[attr-defined]
            for file in files:
                path = root / name / "raw" / file.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"content")
    for part in ("balanced", "digits", "letters"):
        for files in SETS[f"emnist-{part}"].files.values():  # type: ignore[attr-defined]
            for file in files:
                path = root / "EMNIST" / "raw" / file.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"content")
    for name in ("train_32x32.mat", "test_32x32.mat"):
        (root / name).write_bytes(b"MATLAB")
    for file in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        path = root / "cifar-10-batches-py" / file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"content")


def test_the_layout_of_torchvision_is_found(tmp_path: Path) -> None:
    where = places(tmp_path, bundled=True)
    torchvision(tmp_path / "data")
    folders = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "kmnist": "KMNIST", "svhn": "."}
    folders["cifar10"] = "cifar-10-batches-py"
    folders |= {f"emnist-{part}": "EMNIST" for part in ("balanced", "digits", "letters")}
    for name, folder in folders.items():
        assert SETS[name].locate(where).folder == tmp_path / "data" / folder


def test_a_folder_that_lacks_files_is_named_and_no_stand_in_is_taken(tmp_path: Path) -> None:
    torchvision(tmp_path / "data")
    (tmp_path / "data" / "MNIST" / "raw" / "t10k-labels-idx1-ubyte").unlink()
    (tmp_path / "data" / "train_32x32.mat").unlink()
    with pytest.raises(DataError) as caught:
        SETS["mnist"].locate(places(tmp_path, bundled=True))
    text = message(caught, f"{tmp_path / 'data' / 'MNIST'} lacks t10k-labels-idx1-ubyte.gz; complete it from")
    assert text.endswith("or rename the folder and run: bnnbench data fetch mnist")
    with pytest.raises(DataError) as caught:
        SETS["svhn"].locate(places(tmp_path))
    text = message(caught, f"{tmp_path / 'data'} lacks train_32x32.mat; complete it from")
    assert "rename" not in text, "the folder holds other data sets"


def test_of_two_folders_the_one_that_is_taken_is_named(tmp_path: Path) -> None:
    dataset = small_idx()
    write_idx(tmp_path / "data" / "Small", dataset)
    (tmp_path / "data" / "small").mkdir()
    source = dataset.locate(places(tmp_path))
    exact, other = tmp_path / "data" / "small", tmp_path / "data" / "Small"
    assert source.folder == other, "the other one is incomplete"
    assert source.note.endswith(f"taken from {other}, not from {exact}")
    write_idx(exact, dataset, packed=False)
    source = dataset.locate(places(tmp_path))
    assert source.folder == exact
    assert source.note.endswith(f"taken from {exact}, not from {other}")
    shutil.rmtree(other)
    other.symlink_to(exact)
    assert "taken from" not in dataset.locate(places(tmp_path)).note, "both are one folder"


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the address of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(path.name)
    finally:
        os.chdir(here)


STRANGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "link to nowhere": (lambda path: path.symlink_to("nowhere"), "a broken link"),
    "link to itself": (lambda path: path.symlink_to(path.name), "a link that leads to itself; repair or remove it"),
    "pipe": (_pipe, "neither a file nor a folder"),
    "socket": (_socket, "neither a file nor a folder"),
}


@pytest.mark.parametrize("kind", [*STRANGE, "file"])
def test_what_is_no_folder_is_that_sets_error_alone(tmp_path: Path, kind: str) -> None:
    where = places(tmp_path, bundled=True)
    make, expected = STRANGE.get(kind, (lambda path: path.write_text("x"), "a file, where the folder of a data set"))
    make(tmp_path / "data" / "mnist")
    with pytest.raises(DataError) as caught:
        SETS["mnist"].locate(where)
    assert not isinstance(caught.value, DataUnavailable)
    message(caught, str(tmp_path / "data" / "mnist"), expected)
    assert SETS["breast-cancer"].locate(where).provenance == "bundled"
    write_idx(tmp_path / "data" / "Mnist", small_idx())
    assert SETS["mnist"].locate(where).folder == tmp_path / "data" / "Mnist"


@pytest.mark.parametrize("kind", STRANGE)
def test_what_is_no_file_is_an_error(tmp_path: Path, kind: str) -> None:
    dataset = small_idx()
    write_idx(tmp_path / "data" / "small", dataset)
    path = tmp_path / "data" / "small" / "t10k-labels-idx1-ubyte.gz"
    path.unlink()
    STRANGE[kind][0](path)
    with pytest.raises(DataError) as caught:
        dataset.locate(places(tmp_path))
    message(caught, "t10k-labels-idx1-ubyte")


@pytest.mark.parametrize("kind", STRANGE)
def test_a_table_that_is_no_file_is_an_error(tmp_path: Path, kind: str) -> None:
    (tmp_path / "data" / "tabular").mkdir(parents=True)
    STRANGE[kind][0](tmp_path / "data" / "tabular" / "abalone.csv")
    with pytest.raises(DataError) as caught:
        SETS["abalone"].locate(places(tmp_path))
    message(caught, "abalone.csv")


def test_a_file_in_place_of_a_folder_above(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "uci_regression").write_text("x")
    with pytest.raises(DataError) as caught:
        SETS["uci-boston"].locate(places(tmp_path))
    message(caught, "uci_regression", "Not a directory")


def test_whatever_the_file_system_answers_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = places(tmp_path)
    write_idx(tmp_path / "data" / "small", small_idx())

    def refused(self: object, folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder / "secret"))

    monkeypatch.setattr(IdxDataset, "inspect", refused)
    with pytest.raises(DataError, match=r"small/secret: cannot be read \(Permission denied\)$"):
        small_idx().locate(where)


@pytest.mark.parametrize("root", ["link", "loop", "file"])
def test_a_data_folder_that_is_none(tmp_path: Path, root: str) -> None:
    path = tmp_path / "place"
    path.write_text("x") if root == "file" else path.symlink_to("nowhere" if root == "link" else "place")
    with pytest.raises(DataError) as caught:
        SETS["mnist"].locate(places(tmp_path, data_dir=path))
    message(caught, str(path), "$BNNBENCH_DATA")


NOT_UTF8 = os.fsdecode(b"\xff\xfe.JPEG")


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    where = places(tmp_path)
    folder = tmp_path / "data" / "full"
    picture(folder / "val" / "n01" / "a.JPEG")
    (tmp_path / "data" / NOT_UTF8).mkdir()  # no data set, hence nobody's concern
    assert FULL.locate(where).folder == folder
    picture(folder / "val" / "n01" / NOT_UTF8)
    with pytest.raises(DataError) as caught:
        FULL.locate(where)
    message(caught, str(folder), "not UTF-8").encode()
    (folder / "val" / "n01" / NOT_UTF8).unlink()
    picture(folder / "val" / NOT_UTF8 / "a.JPEG")
    with pytest.raises(DataError) as caught:
        FULL.locate(where)
    message(caught, str(folder), "not UTF-8").encode()


def test_a_data_folder_whose_own_name_is_not_utf8(tmp_path: Path) -> None:
    dataset, root = small_cifar(), tmp_path / NOT_UTF8
    write_cifar(root / "smallcifar", dataset)
    plain = small_cifar()
    write_cifar(tmp_path / "data" / "smallcifar", plain)
    assert dataset.locate(places(tmp_path, data_dir=root)).identity == plain.locate(places(tmp_path)).identity
    (root / "smallcifar" / "one.bin").unlink()
    with pytest.raises(DataError) as caught:
        dataset.locate(places(tmp_path, data_dir=root))
    message(caught, "one.bin").encode()


DEBRIS = (".DS_Store", "._a.JPEG", "__MACOSX", "Thumbs.db", "desktop.ini", "b.JPEG.part", "c.tmp", "@eaDir")


def test_debris_is_no_data(tmp_path: Path) -> None:
    assert all(map(is_debris, DEBRIS))
    assert not any(map(is_debris, ("n01440764", "a.JPEG", "tmp", "part", "my.tmp.png")))
    where = places(tmp_path)
    picture(tmp_path / "data" / "full" / "val" / "n01" / "a.JPEG")
    picture(tmp_path / "data" / "sample" / "n01" / "a.JPEG")
    (tmp_path / "data" / "sample" / "index.csv").write_text("file\nn01/a.JPEG\n")
    write_tiny(tmp_path / "data" / "tiny-imagenet")
    clean = [dataset.locate(where) for dataset in (FULL, SAMPLE, TINY)]
    for folder in [path for path in (tmp_path / "data").rglob("*") if path.is_dir()]:
        for name in DEBRIS:
            if name in ("__MACOSX", "@eaDir"):
                picture(folder / name / "a.JPEG")
            else:
                (folder / name).write_bytes(b"debris")
    for name in DEBRIS:
        (tmp_path / "data" / name).mkdir(exist_ok=True)
    assert [dataset.locate(where) for dataset in (FULL, SAMPLE, TINY)] == clean


@pytest.mark.parametrize(
    "name", ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte", "raw/train-images.idx3-ubyte"]
)
def test_an_optional_file_that_is_a_link_to_nowhere_is_not_absent(tmp_path: Path, name: str) -> None:
    dataset = small_idx(optional=("train",))
    folder = tmp_path / "data" / "small"
    write_idx(folder, dataset)
    for path in folder.glob("train-*"):
        path.unlink()
    assert "only the test split" in dataset.locate(places(tmp_path)).note
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).symlink_to("nowhere")
    with pytest.raises(DataError) as caught:
        dataset.locate(places(tmp_path))
    message(caught, str(folder / name), "broken link")


def test_of_two_tables_the_one_that_is_read_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "abalone"
    folder.mkdir(parents=True)
    for name in ("abalone.csv", "abalone.data"):
        (folder / name).write_text("M,1")
    assert SETS["abalone"].locate(places(tmp_path)).note.endswith("; read from abalone.data, not from abalone.csv")


@pytest.mark.parametrize("link", ["train", "val/n02", "val/n01/b.JPEG"])
def test_links_to_nowhere_among_photographs_are_named(tmp_path: Path, link: str) -> None:
    folder = tmp_path / "data" / "full"
    picture(folder / "val" / "n01" / "a.JPEG")
    (folder / link).symlink_to("nowhere")
    with pytest.raises(DataError) as caught:
        FULL.locate(places(tmp_path))
    message(caught, str(folder / link), "broken link")


def encoded(tmp_path: Path, image: Image.Image, **options: Any) -> Any:
    path = tmp_path / "image.png"
    image.save(path, "PNG", **options)
    return decode(path, path.read_bytes())


def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path) -> None:
    values = np.arange(0, 65536, 13).astype(np.uint16).reshape(1, -1)
    found = encoded(tmp_path, Image.fromarray(values))
    assert found.shape == (*values.shape, 3)
    assert np.abs(found[..., 0] - values / 65535 * 255).max() <= 0.5
    assert (found == found[..., :1]).all()


def test_every_mode_becomes_rgb(tmp_path: Path) -> None:
    bits = np.random.default_rng(0).random((5, 7)) < 0.5
    assert np.array_equal(encoded(tmp_path, Image.fromarray(bits))[..., 1], np.where(bits, 255, 0))
    colours = np.random.default_rng(0).integers(0, 4, (5, 7)) * 60
    rgb = np.stack([colours, 255 - colours, colours // 2], axis=-1).astype(np.uint8)
    palette = Image.fromarray(rgb).quantize(4)
    assert np.array_equal(encoded(tmp_path, palette), np.asarray(palette.convert("RGB")))
    opaque = np.concatenate([rgb, np.full((5, 7, 1), 255, np.uint8)], axis=-1)
    assert np.array_equal(encoded(tmp_path, Image.fromarray(opaque)), rgb)


def test_transparency_and_unknown_ranges_are_refused(tmp_path: Path) -> None:
    clear = np.full((5, 7, 4), 255, np.uint8)
    clear[2, 3, 3] = 254
    with pytest.raises(DataError, match=r"image\.png: an image with transparent pixels"):
        encoded(tmp_path, Image.fromarray(clear))
    with pytest.raises(DataError, match=r"image\.png: an image with transparent pixels"):
        encoded(tmp_path, Image.new("L", (3, 3), 7), transparency=7)
    path = tmp_path / "image.tif"
    Image.fromarray(np.ones((2, 2), np.float32)).save(path)
    with pytest.raises(DataError, match=r"image\.tif: an image of mode F has no defined range"):
        decode(path, path.read_bytes())


def test_spellings() -> None:
    assert spelling("CIFAR-10") == spelling("cifar_10") == spelling("cifar10") != spelling("cifar10-c")


def test_the_fingerprint_changes_when_a_file_is_changed_in_place(tmp_path: Path) -> None:
    dataset = small_idx()
    write_idx(tmp_path / "data" / "small", dataset, packed=False)
    source = dataset.locate(places(tmp_path))
    before, identity = source.fingerprint, source.identity
    assert before
    assert before == dataset.locate(places(tmp_path)).fingerprint
    for name in sorted(path.name for path in (tmp_path / "data" / "small").iterdir()):
        path = tmp_path / "data" / "small" / name
        times = path.stat()
        with path.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            last = file.read(1)[0]
            file.seek(-1, os.SEEK_END)
            file.write(bytes([last ^ 1]))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # as programs do that hide a change
        after = dataset.locate(places(tmp_path))
        assert after.identity == identity, "names and sizes are the same"
        assert source.fingerprint == after.fingerprint != before, "of the files as they are now"
        before = after.fingerprint
    (tmp_path / "data" / "small" / "README").write_text("no file of the set")
    assert source.fingerprint == before
    path.unlink()
    assert source.fingerprint != before


def test_a_bundled_set_has_no_fingerprint(tmp_path: Path) -> None:
    assert SETS["mnist"].locate(places(tmp_path, bundled=True)).fingerprint == ""


@pytest.mark.parametrize("name", [name for name, dataset in SETS.items() if dataset.downloads])
def test_advice_leaves_a_shared_folder_alone(name: str, tmp_path: Path) -> None:
    text = str(SETS[name].incomplete(tmp_path / "shared", ["some file"]))
    advice = text.partition(";")[2]
    assert advice.startswith(" complete it from http")
    assert "remove" not in advice
    assert "rename" not in advice


def test_a_bad_table_beside_other_data_leaves_them_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "tabular"
    folder.mkdir(parents=True)
    (folder / "abalone.csv").write_text("M,1\n")
    dataset = SETS["abalone"]
    source = dataset.locate(places(tmp_path))
    with pytest.raises(DataError) as caught:
        dataset.load(source)
    text = message(caught, str(folder / "abalone.csv"), "put a sound copy of that file there")
    assert "remove" not in text


def test_photographs_are_those_that_were_listed(tmp_path: Path) -> None:
    picture(tmp_path / "data" / "full" / "val" / "n01" / "a.JPEG")
    content = FULL.load(FULL.locate(places(tmp_path)))
    assert isinstance(content, ImageFolders)
    assert len(content.splits["test"]) == 1
