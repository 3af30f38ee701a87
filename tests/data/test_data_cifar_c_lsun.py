"""Corrupted CIFAR images and LSUN databases against files written here in their formats."""

import io
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pytest
from data_makers import TEXTS, message, places
from numpy.typing import NDArray
from PIL import Image

from bnnbench.data.cifar_c import KINDS, CifarC, Corrupted
from bnnbench.data.lsun import Lsun, Scenes
from bnnbench.errors import DataError

CORRUPTED = CifarC(name="small-c", where=("small-c",), count=3, **TEXTS)
SCENES = Lsun(name="rooms", where=("rooms",), category="room", **TEXTS)


def write_corrupted(folder: Path) -> dict[str, NDArray[np.uint8]]:
    """Pixels say which image and severity they are of."""
    folder.mkdir(parents=True)
    written = {}
    for k, kind in enumerate(KINDS):
        pixels = np.arange(15, dtype=np.uint8) + np.uint8(15 * k)
        written[kind] = np.broadcast_to(pixels[:, None, None, None], (15, 32, 32, 3)).copy()
        np.save(folder / f"{kind}.npy", written[kind])
    np.save(folder / "labels.npy", np.tile(np.array([7, 1, 4], np.uint8), 5))
    return written


def test_severities_follow_each_other_in_the_files(tmp_path: Path) -> None:
    where = places(tmp_path)
    written = write_corrupted(tmp_path / "data" / "small_c")
    content = CORRUPTED.load(CORRUPTED.locate(where))
    assert isinstance(content, Corrupted)
    assert content.labels.tolist() == [7, 1, 4]
    for severity in range(1, 6):
        first = 3 * (severity - 1)
        assert np.array_equal(content.at("fog", severity), written["fog"][first : first + 3])
    before = content.digest()
    changed = written["fog"].copy()
    changed[3, 0, 0, 0] += 1
    np.save(tmp_path / "data" / "small_c" / "fog.npy", changed)
    assert CORRUPTED.verify(CORRUPTED.locate(where)) != before


def _shorter(folder: Path) -> None:
    np.save(folder / "snow.npy", np.zeros((14, 32, 32, 3), np.uint8))


def _other_type(folder: Path) -> None:
    np.save(folder / "snow.npy", np.zeros((15, 32, 32, 3), np.float32))


def _pickled(folder: Path) -> None:
    np.save(folder / "snow.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)


def _cut(folder: Path) -> None:
    path = folder / "snow.npy"
    path.write_bytes(path.read_bytes()[:1000])


def _other_labels(folder: Path) -> None:
    np.save(folder / "labels.npy", np.arange(15, dtype=np.uint8))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_shorter, ["snow.npy", "(14, 32, 32, 3)", "expected uint8 (15, 32, 32, 3)"]),
        (_other_type, ["snow.npy", "float32"]),
        (_pickled, ["snow.npy", "not a readable NumPy file"]),
        (_cut, ["snow.npy", "not a readable NumPy file"]),
        (_other_labels, ["labels.npy", "labels differ between severities"]),
    ],
)
def test_damaged_corrupted_images_are_named(tmp_path: Path, damage: Any, said: list[str]) -> None:
    where = places(tmp_path)
    folder = tmp_path / "data" / "small-c"
    write_corrupted(folder)
    damage(folder)
    with pytest.raises(DataError) as caught:
        CORRUPTED.load(CORRUPTED.locate(where))
    message(caught, *said)


def test_a_missing_kind_is_named(tmp_path: Path) -> None:
    where = places(tmp_path)
    write_corrupted(tmp_path / "data" / "small-c")
    (tmp_path / "data" / "small-c" / "frost.npy").unlink()
    with pytest.raises(DataError) as caught:
        CORRUPTED.locate(where)
    message(caught, "lacks frost.npy", "complete it from https://example.org")


def write_scenes(folder: Path, contents: dict[bytes, bytes]) -> None:
    folder.mkdir(parents=True)
    with lmdb.open(str(folder), map_size=2**24) as opened, opened.begin(write=True) as transaction:
        for key, content in contents.items():
            transaction.put(key, content)


def webp(colour: tuple[int, int, int], size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()


@pytest.mark.parametrize("folder", ["rooms/room_val_lmdb", "rooms"])
def test_scenes_are_read_in_the_order_of_their_keys(tmp_path: Path, folder: str) -> None:
    where = places(tmp_path)
    write_scenes(tmp_path / "data" / folder, {b"b": webp((1, 2, 3), (8, 5)), b"a": webp((9, 8, 7), (4, 6))})
    content = SCENES.load(SCENES.locate(where))
    assert isinstance(content, Scenes)
    test = content.splits["test"]
    assert len(test) == 2
    assert test.read(0).shape == (6, 4, 3)
    assert (test.read(0) == (9, 8, 7)).all()
    assert (test.read(1) == (1, 2, 3)).all()
    assert SCENES.verify(SCENES.locate(where)) == content.digest()


def test_damaged_scenes_are_named(tmp_path: Path) -> None:
    where = places(tmp_path)
    folder = tmp_path / "data" / "rooms" / "room_val_lmdb"
    folder.mkdir(parents=True)
    with pytest.raises(DataError) as caught:
        SCENES.locate(where)
    message(caught, "rooms", "lacks room_val_lmdb/data.mdb")
    (folder / "data.mdb").write_bytes(b"no database" * 1000)
    with pytest.raises(DataError) as caught:
        SCENES.load(SCENES.locate(where))
    message(caught, "data.mdb", "not a readable LMDB database")


def test_an_undecodable_scene_is_named(tmp_path: Path) -> None:
    where = places(tmp_path)
    write_scenes(tmp_path / "data" / "rooms", {b"a": webp((0, 0, 0), (3, 3)), b"b": b"no image"})
    with pytest.raises(DataError) as caught:
        SCENES.verify(SCENES.locate(where))
    message(caught, "record 1", "not a readable image")
