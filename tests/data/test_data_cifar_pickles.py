"""The Python version of CIFAR against the binary one with the same content."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_makers import message, places, small_cifar, write_cifar

from bnnbench.data.cifar import Cifar
from bnnbench.errors import DataError

LABELS = {0: [b"labels"], 5: [b"coarse_labels", b"fine_labels"]}


def dataset(coarse: int = 0) -> Cifar:
    return small_cifar("smallcifar", coarse=coarse, where=("smallcifar", "small-py"), python_folder="small-py")


def pickled(binary: Path, python: Path, coarse: int, protocol: int = 2) -> None:
    """The records of a binary folder as the authors pickled them, under Python 2: keys are bytes."""
    python.mkdir(parents=True, exist_ok=True)
    for path in binary.glob("*.bin"):
        rows = np.frombuffer(path.read_bytes(), np.uint8).reshape(-1, 3072 + len(LABELS[coarse]))
        content: dict[bytes, Any] = {b"batch_label": b"a batch", b"data": rows[:, len(LABELS[coarse]) :]}
        content |= {name: rows[:, i].tolist() for i, name in enumerate(LABELS[coarse])}
        (python / path.stem).write_bytes(pickle.dumps(content, protocol))


@pytest.mark.parametrize("coarse", [0, 5])
@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize("place", ["small-py", "smallcifar/small-py"])
def test_both_versions_are_the_same(tmp_path: Path, coarse: int, protocol: int, place: str) -> None:
    cifar = dataset(coarse)
    write_cifar(tmp_path / "binary" / "smallcifar", cifar)
    binary = cifar.locate(places(tmp_path, data_dir=tmp_path / "binary"))
    pickled(tmp_path / "binary" / "smallcifar", tmp_path / "data" / place, coarse, protocol)
    source = cifar.locate(places(tmp_path))
    assert source.provenance == "copy"
    assert "the Python version" in source.note
    assert cifar.verify(source) == cifar.verify(binary)
    assert len(source.files) == 3


def test_the_binary_version_comes_first(tmp_path: Path) -> None:
    cifar = dataset()
    folder = tmp_path / "data" / "smallcifar"
    write_cifar(folder, cifar)
    pickled(folder, tmp_path / "data" / "small-py", 0)
    source = cifar.locate(places(tmp_path))
    assert source.folder == folder
    assert "not from" in source.note
    (folder / "two.bin").unlink()
    pickled(folder, folder / "small-py", 0)
    assert cifar.locate(places(tmp_path)).folder == tmp_path / "data" / "small-py"


def test_a_missing_batch_is_named(tmp_path: Path) -> None:
    cifar = dataset()
    write_cifar(tmp_path / "binary", cifar)
    pickled(tmp_path / "binary", tmp_path / "data" / "small-py", 0)
    (tmp_path / "data" / "small-py" / "two").unlink()
    with pytest.raises(DataError) as caught:
        cifar.locate(places(tmp_path))
    message(caught, f"{tmp_path / 'data' / 'small-py'} lacks two")


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (Path("written"), "x"))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (Malicious(), "which no array needs"),
        ({b"data": np.zeros((3, 3072), np.uint8)}, "labels"),
        ({b"labels": [0, 0, 0]}, "data"),
        ([1, 2], "not a readable file of the Python version"),
        ({b"data": np.zeros((3, 3072)), b"labels": [0, 0, 0]}, "holds float64 (3, 3072), expected uint8 (3, 3072)"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 0]}, "holds uint8 (2, 3072), expected uint8"),
        ({b"data": np.zeros((3, 3072), np.uint8), b"labels": [0, 0]}, "not a readable file"),
        ({b"data": np.zeros((3, 3072), np.uint8), b"labels": [0, 0, -1]}, "as many labels"),
        ({b"data": np.zeros((3, 3072), np.uint8), b"labels": [0, 0, 300]}, "as many labels"),
        ({b"data": np.zeros((3, 3072), np.uint8), b"labels": [0, 0, 10]}, "label 10 out of range (expected 0 to 9)"),
    ],
)
def test_damaged_and_malicious_pickles_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: Any, expected: str
) -> None:
    cifar = dataset()
    write_cifar(tmp_path / "binary", cifar)
    python = tmp_path / "data" / "small-py"
    pickled(tmp_path / "binary", python, 0)
    source = cifar.locate(places(tmp_path))
    monkeypatch.chdir(tmp_path)
    (python / "one").write_bytes(pickle.dumps(content, 2))
    with pytest.raises(DataError) as caught:
        cifar.load(source)
    message(caught, str(python / "one"), expected)
    assert not (tmp_path / "written").exists()
    for garbage in (b"", b"garbage", pickle.dumps({b"data": 1})[:-3]):
        (python / "one").write_bytes(garbage)
        with pytest.raises(DataError) as caught:
            cifar.load(source)
        message(caught, str(python / "one"))
