"""The IDX reader against files written here, and everything that can be wrong with such a file."""

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_makers import idx_bytes, message, places, small_idx, write_idx
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from bnnbench.data import DATASETS
from bnnbench.data.content import Images
from bnnbench.data.files import gunzip
from bnnbench.data.idx import IdxDataset, IdxFile, parse_idx
from bnnbench.errors import DataError

FILE = Path("some-file")
ARRAYS = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=6))


@given(ARRAYS)
def test_what_is_written_is_read(array: NDArray[np.uint8]) -> None:
    read = parse_idx(FILE, idx_bytes(array))
    assert read.dtype == np.uint8
    assert read.shape == array.shape
    assert np.array_equal(read, array)
    assert read.flags.writeable  # torch.from_numpy warns about arrays that are not


@given(ARRAYS, st.data())
def test_no_other_length_is_accepted(array: NDArray[np.uint8], data: st.DataObject) -> None:
    content = idx_bytes(array)
    shorter = content[: data.draw(st.integers(0, len(content) - 1))]
    for wrong in (shorter, content + b"x"):
        with pytest.raises(DataError) as caught:
            parse_idx(FILE, wrong)
        message(caught, "some-file")


@given(st.binary(max_size=400), st.integers(1, 5))
def test_gzip_members_are_joined(content: bytes, count: int) -> None:
    members = [gzip.compress(content[i::count]) for i in range(count)]
    assert gunzip(FILE, b"".join(members) + b"\0" * 8) == b"".join(content[i::count] for i in range(count))


@given(st.data())
def test_no_flipped_bit_in_a_gzip_file_goes_unnoticed(data: st.DataObject) -> None:
    content = bytes(range(256)) * 4
    packed = bytearray(gzip.compress(content, mtime=0))
    position = data.draw(st.integers(10, len(packed) - 1))  # behind the header, whose time and name mean nothing
    packed[position] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = gunzip(FILE, bytes(packed))
    except DataError:
        return
    assert found == content  # it was an unused bit of the stream


def test_a_gzip_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bnnbench.data.files.UNPACKED_LIMIT", 1000)
    with pytest.raises(DataError, match="unpacks to more than 1,000 bytes"):
        gunzip(FILE, gzip.compress(bytes(100_000)))


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("sub", ["", "raw", "gzip"])
@pytest.mark.parametrize("dotted", [True, False])
def test_every_usual_name_is_found(tmp_path: Path, packed: bool, sub: str, dotted: bool) -> None:
    dataset = small_idx()
    where = places(tmp_path)
    folder = tmp_path / "data" / "small" / sub
    written = write_idx(folder, dataset, packed)
    if dotted:
        for path in list(folder.iterdir()):
            path.rename(folder / path.name.replace("-idx", ".idx"))
    source = dataset.locate(where)
    assert source.provenance == "copy"
    images = dataset.load(source)
    assert isinstance(images, Images)
    for split, (x, y) in written.items():
        assert np.array_equal(images.splits[split].x, x)
        assert np.array_equal(images.splits[split].y, y)
        assert images.splits[split].y.dtype == np.int64
        assert len(images.splits[split]) == len(y)


def test_the_digest_is_of_the_content_not_of_its_packing(tmp_path: Path) -> None:
    dataset = small_idx()
    digests = set()
    for name, packed in (("a", True), ("b", False)):
        (tmp_path / name).mkdir()
        where = places(tmp_path / name)
        write_idx(tmp_path / name / "data" / "small", dataset, packed)
        digests.add(dataset.verify(dataset.locate(where)))
    path = tmp_path / "b" / "data" / "small" / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")
    other = dataset.verify(dataset.locate(where))
    assert len(digests) == 1
    assert len(other) == 64
    assert other not in digests


Damage = Callable[[bytes], bytes]
DAMAGES: dict[str, tuple[Damage, str]] = {
    "truncated": (lambda raw: raw[: len(raw) // 2], "truncated gzip"),
    "bit-flipped": (lambda raw: raw[:200] + bytes([raw[200] ^ 16]) + raw[201:], "gzip"),
    "html": (lambda raw: b"<!DOCTYPE html><title>404</title>", "not a gzip file"),
    "empty": (lambda raw: b"", "empty"),
    "wrong magic": (lambda raw: gzip.compress(b"\0\0\x0d\x03" + gzip.decompress(raw)[4:]), "wrong magic"),
    "too long": (lambda raw: gzip.compress(gzip.decompress(raw) + b"x"), "wrong length"),
    "too few images": (lambda raw: gzip.compress(idx_bytes(np.zeros((5, 28, 28), np.uint8))), "wrong shape"),
    "wrong size": (lambda raw: gzip.compress(idx_bytes(np.zeros((6, 32, 32), np.uint8))), "wrong shape"),
    "labels": (lambda raw: gzip.compress(idx_bytes(np.zeros(6, np.uint8))), "wrong shape"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    dataset = small_idx()
    where = places(tmp_path)
    write_idx(tmp_path / "data" / "small", dataset)
    path = tmp_path / "data" / "small" / "train-images-idx3-ubyte.gz"
    damage, expected = DAMAGES[kind]
    path.write_bytes(damage(path.read_bytes()))
    for use in (dataset.load, dataset.verify):
        with pytest.raises(DataError) as caught:
            use(dataset.locate(where))
        message(
            caught,
            str(path),
            expected,
            "; put a sound copy of that file there, from https://example.org",
        )


def test_labels_outside_the_classes_are_refused(tmp_path: Path) -> None:
    dataset = small_idx()
    where = places(tmp_path)
    write_idx(tmp_path / "data" / "small", dataset, packed=False)
    path = tmp_path / "data" / "small" / "t10k-labels-idx1-ubyte"
    path.write_bytes(idx_bytes(np.array([0, 1, 2, 3], np.uint8)))
    with pytest.raises(DataError) as caught:
        dataset.load(dataset.locate(where))
    message(caught, str(path), "0 to 3, expected 0 to 2")


def test_a_published_checksum_is_enforced(tmp_path: Path) -> None:
    where = places(tmp_path)
    folder = tmp_path / "data" / "small"
    plain = small_idx()
    write_idx(folder, plain)
    md5 = {p.name[:-3]: hashlib.md5(gzip.decompress(p.read_bytes())).hexdigest() for p in folder.iterdir()}
    gz_md5 = {p.name[:-3]: hashlib.md5(p.read_bytes()).hexdigest() for p in folder.iterdir()}
    by_content = {split: tuple(IdxFile(f.name, md5[f.name]) for f in pair) for split, pair in plain.files.items()}
    by_gzip = {split: tuple(IdxFile(f.name, None, gz_md5[f.name]) for f in pair) for split, pair in plain.files.items()}
    for files in (by_content, by_gzip):
        source = small_idx(files=files).locate(where)
        assert (source.provenance, source.identity) == ("official", "official:small")
        assert small_idx(files=files).verify(source) == plain.verify(source)
    path = folder / "t10k-images-idx3-ubyte.gz"
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content, 1))  # packed anew: the content is still the published one
    small_idx(files=by_content).load(source)
    with pytest.raises(DataError, match="gzip file does not have the published checksum"):
        small_idx(files=by_gzip).load(source)
    path.write_bytes(gzip.compress(content[:-1] + bytes([content[-1] ^ 1])))
    plain.load(source)  # a perfectly good IDX file, only not the published one
    with pytest.raises(DataError) as caught:
        small_idx(files=by_content).load(source)
    message(caught, str(path), "published checksum", md5["t10k-images-idx3-ubyte"])


def test_an_optional_split_may_be_absent_but_not_half_of_it(tmp_path: Path) -> None:
    dataset = small_idx(optional=("train",))
    where = places(tmp_path)
    folder = tmp_path / "data" / "small"
    write_idx(folder, dataset)
    whole = dataset.locate(where)
    (folder / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError) as caught:
        dataset.locate(where)
    message(caught, "train-labels-idx1-ubyte.gz", str(folder))
    (folder / "train-images-idx3-ubyte.gz").unlink()
    source = dataset.locate(where)
    assert "only the test split" in source.note
    assert source.identity != whole.identity
    images = dataset.load(source)
    assert isinstance(images, Images)
    assert list(images.splits) == ["test"]


@pytest.mark.parametrize(("part", "classes", "first"), [("balanced", 47, 0), ("letters", 26, 1)])
def test_emnist_is_transposed_back(tmp_path: Path, part: str, classes: int, first: int) -> None:
    """An L drawn upright, stored as EMNIST does (rows and columns exchanged), must come back upright."""
    dataset = next(d for d in DATASETS if d.name == f"emnist-{part}")
    assert isinstance(dataset, IdxDataset)
    assert len(dataset.classes) == classes
    upright = np.zeros((28, 28), np.uint8)
    upright[4:24, 6] = upright[23, 6:20] = 255
    counts = {split: count or 30 for split, count in dataset.counts.items()}
    folder = tmp_path / "data" / "emnist" / "gzip"
    where = places(tmp_path)
    folder.mkdir(parents=True)
    for split, (images, labels) in dataset.files.items():
        stored = np.broadcast_to(upright.T, (counts[split], 28, 28))
        numbers = (np.arange(counts[split]) % classes + first).astype(np.uint8)
        (folder / f"{images.name}.gz").write_bytes(gzip.compress(idx_bytes(np.ascontiguousarray(stored)), 1))
        (folder / f"{labels.name}.gz").write_bytes(gzip.compress(idx_bytes(numbers)))
    content = dataset.load(dataset.locate(where))
    assert isinstance(content, Images)
    test = content.splits["test"]
    assert (test.x == upright).all()
    assert test.x.flags.c_contiguous
    assert test.y[:3].tolist() == [0, 1, 2]
