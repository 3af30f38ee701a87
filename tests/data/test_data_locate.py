"""Which place is taken, what a broken folder gives, and that the package imports quickly."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from data_makers import message, places, small_cifar, small_idx, write_cifar, write_idx

from bnnbench.data import DATASETS
from bnnbench.data.download import Download
from bnnbench.errors import DataError, DataUnavailable

HEAVY = ("torch", "numpy", "pandas", "scipy", "sklearn", "mlxtend", "pooch", "PIL")


def test_the_order_is_data_folder_cache_package(tmp_path: Path) -> None:
    mnist = next(d for d in DATASETS if d.name == "mnist")
    dataset = small_idx(bundled=mnist.bundled)
    where = places(tmp_path, bundled=True)
    assert dataset.locate(where).provenance == "bundled"
    write_idx(tmp_path / "cache" / "small", dataset)
    assert dataset.locate(where).folder == tmp_path / "cache" / "small"
    write_idx(tmp_path / "data" / "small", dataset)
    assert dataset.locate(where).folder == tmp_path / "data" / "small"


def test_a_broken_folder_is_never_passed_over(tmp_path: Path) -> None:
    mnist = next(d for d in DATASETS if d.name == "mnist")
    where = places(tmp_path, bundled=True)
    (tmp_path / "data" / "mnist").mkdir()
    with pytest.raises(DataError) as caught:
        mnist.locate(where)
    assert not isinstance(caught.value, DataUnavailable)  # which might make a caller look elsewhere
    text = message(caught, str(tmp_path / "data" / "mnist"), "train-images-idx3-ubyte.gz")
    assert text.endswith("run: bnnbench data fetch mnist")


def test_a_data_folder_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    mnist = next(d for d in DATASETS if d.name == "mnist")
    with pytest.raises(DataError) as caught:
        mnist.locate(places(tmp_path, data_dir=tmp_path / "typo", bundled=True))
    message(caught, str(tmp_path / "typo"))


@pytest.mark.parametrize(("where", "folder"), [("a-b", "a_b"), ("a_b", "a-b"), ("a-b", "a-b")])
def test_hyphen_and_underscore_are_the_same(tmp_path: Path, where: str, folder: str) -> None:
    dataset = small_idx(where=(where,))
    there = places(tmp_path)
    write_idx(tmp_path / "data" / folder, dataset)
    assert dataset.locate(there).folder == tmp_path / "data" / folder


def test_an_archive_that_was_not_unpacked_is_named(tmp_path: Path) -> None:
    dataset = small_cifar(downloads=(Download("https://example.org/small.tar.gz"),))
    where = places(tmp_path)
    (tmp_path / "data" / "smallcifar").mkdir()
    (tmp_path / "data" / "smallcifar" / "small.tar.gz").write_bytes(b"x")
    with pytest.raises(DataError, match=r"lacks one\.bin, .*; unpack small\.tar\.gz there"):
        dataset.locate(where)


def test_locating_does_not_read(tmp_path: Path) -> None:
    """Only names and sizes count, so that a cache key costs nothing; another size gives another identity."""
    dataset = small_idx()
    where = places(tmp_path)
    write_idx(tmp_path / "data" / "small", dataset)
    before = dataset.locate(where)
    path = tmp_path / "data" / "small" / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(bytes(path.stat().st_size))
    assert dataset.locate(where) == before
    path.write_bytes(b"longer" + path.read_bytes())
    assert dataset.locate(where).identity != before.identity


def test_identity_does_not_depend_on_the_folder(tmp_path: Path) -> None:
    dataset = small_cifar()
    identities = set()
    for name in ("one", "another"):
        (tmp_path / name).mkdir()
        where = places(tmp_path / name)
        write_cifar(tmp_path / name / "data" / "smallcifar", dataset)
        identities.add(dataset.locate(where).identity)
    assert len(identities) == 1


def test_the_catalogue_is_complete_and_consistent(tmp_path: Path) -> None:
    names = [dataset.name for dataset in DATASETS]
    assert len(set(names)) == len(names)
    expected = "mnist fashion-mnist kmnist notmnist emnist-letters emnist-balanced cifar10 cifar100 svhn tiny-imagenet "
    expected += "imagenet imagenet-sample abalone breast-cancer digits uci-boston uci-yacht uci-glass"
    assert set(expected.split()) <= set(names)
    for dataset in DATASETS:
        assert dataset.task in ("classification", "regression")
        assert all((dataset.title, dataset.licence, dataset.citation, dataset.home, dataset.where))
        with pytest.raises(DataUnavailable) as caught:
            dataset.locate(places(tmp_path, bundled=False))
        text = message(caught, dataset.name)
        assert dataset.downloadable == bool(dataset.downloads)
        assert f"run: bnnbench data fetch {dataset.name}" in text if dataset.downloads else dataset.home in text


def test_a_file_that_cannot_be_read_is_a_data_error(tmp_path: Path) -> None:
    dataset = small_idx()
    where = places(tmp_path)
    write_idx(tmp_path / "data" / "small", dataset)
    source = dataset.locate(where)
    path = tmp_path / "data" / "small" / "t10k-labels-idx1-ubyte.gz"
    path.unlink()
    with pytest.raises(DataError) as caught:
        dataset.load(source)
    message(caught, path.name)


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = f"import sys, bnnbench.data; print([m for m in {HEAVY!r} if m in sys.modules])"
    root = Path(__file__).parents[2]
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert found.stdout.strip() == "[]"
