"""The UCI layouts and the CSV files against tables written here."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_makers import TEXTS, message, places
from hypothesis import given
from hypothesis import strategies as st

from bnnbench.data import DATASETS, Dataset, Table
from bnnbench.data.csvtable import (
    BREAST_FEATURES,
    parse_abalone,
    parse_banana,
    parse_breast_cancer,
    parse_digits,
    parse_wdbc,
)
from bnnbench.data.tables import standard_splits
from bnnbench.data.uci import UciClassification, UciRegression
from bnnbench.errors import DataError, DataUnavailable


def boston_like(**changes: Any) -> UciRegression:
    fields: dict[str, Any] = {**TEXTS, "name": "uci-small", "where": ("uci_regression/small",), "rows": 10,
                              "columns": 2, "splits": 2}  # fmt: skip
    return UciRegression(**(fields | changes))


def write_regression(root: Path) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Ten rows of four columns: features 0 and 2, target 3; column 1 is used by nobody."""
    root.mkdir(parents=True)
    table = np.random.default_rng(3).normal(size=(10, 4))
    np.savetxt(root / "data.txt", table, fmt="%.17g")
    np.savetxt(root / "index_features.txt", [0, 2], fmt="%d")
    np.savetxt(root / "index_target.txt", [3], fmt="%d")
    np.savetxt(root / "n_splits.txt", [2], fmt="%d")
    for i in range(2):
        order = np.roll(np.arange(10), i)
        np.savetxt(root / f"index_train_{i}.txt", order[:9])  # the original files may say 3.0e+00
        np.savetxt(root / f"index_test_{i}.txt", order[9:], fmt="%d")
    return table


@pytest.mark.parametrize("parent", ["uci_regression", "uci-regression"])
def test_a_regression_set_with_its_splits(tmp_path: Path, parent: str) -> None:
    dataset = boston_like()
    where = places(tmp_path)
    written = write_regression(tmp_path / "data" / parent / "small" / "data")
    table = dataset.load(dataset.locate(where))
    assert isinstance(table, Table)
    assert np.array_equal(table.x, written[:, [0, 2]])
    assert np.array_equal(table.y, written[:, 3])
    assert (table.features, table.target) == (("x0", "x2"), "x3")
    assert [test.tolist() for _, test in table.splits] == [[9], [8]]
    assert all(train.dtype == np.int64 and len(train) == 9 for train, _ in table.splits)


@pytest.mark.parametrize(("file", "content", "expected"), [
    ("data.txt", "1 2 3\n4 5\n", "row 2 has 2 columns, row 1 has 3"),
    ("data.txt", "<!DOCTYPE html>\n", "row 1, column 1: '<!DOCTYPE': not a number"),
    ("data.txt", "1 2 3 4\n" * 9, "9 rows, expected 10"),
    ("data.txt", "1 2 3 4\n" * 4 + "1 2 nan 4\n" * 6, "row 5, column 3: 'nan': a value is missing"),
    ("data.txt", "\n1 2 3 4\n" * 4 + "1 2 1e999 4\n" * 6, "row 9, column 3: '1e999': not a number"),
    ("data.txt", "1 2 1_0 4\n" * 10, "row 1, column 3: '1_0': not a number"),
    ("data.txt", "\n\n", "no rows"),
    ("data.txt", "", "empty"),
    ("index_features.txt", "0\n9\n", "row 2: 9: expected whole numbers from 0 to 3"),
    ("index_features.txt", "0\n0\n", "row 2: 0 is there twice, first in row 1"),
    ("index_features.txt", "0\n", "expected 2 features"),
    ("index_features.txt", "0\n3\n", "expected 2 features and one other target"),
    ("n_splits.txt", "3\n", "row 1: 3 splits, expected 2"),
    ("n_splits.txt", "2.7\n", "row 1: 2.7 splits, expected 2"),
    ("n_splits.txt", "-2\n", "row 1: -2 splits, expected 2"),
    ("n_splits.txt", "abc\n", "row 1, column 1: 'abc': not a number"),
    ("n_splits.txt", "2 2\n", "row 1: 2 2 splits, expected 2"),
    ("index_train_1.txt", "0\n1\n", "do not divide the 10 rows"),
    ("index_train_1.txt", "1\n2\n3\n4\n5\n6\n7\n9\n", "row 1 of data.txt is in neither"),
    ("index_test_0.txt", "3\n", "row 1: 3 is also in index_train_0.txt"),
    ("index_test_0.txt", "9\n\n9\n", "row 3: 9 is there twice, first in row 1"),
    ("index_test_0.txt", "10\n", "row 1: 10: expected whole numbers from 0 to 9"),
    ("index_test_0.txt", "-1\n", "row 1: -1: expected whole numbers"),
    ("index_test_0.txt", "0.5\n", "row 1: 0.5: expected whole numbers"),
])  # fmt: skip
def test_a_damaged_regression_set_is_refused(tmp_path: Path, file: str, content: str, expected: str) -> None:
    dataset = boston_like()
    where = places(tmp_path)
    root = tmp_path / "data" / "uci_regression" / "small" / "data"
    write_regression(root)
    (root / file).write_text(content)
    with pytest.raises(DataError) as caught:
        dataset.load(dataset.locate(where))
    message(caught, str(root), expected)


def test_a_missing_split_file_is_named(tmp_path: Path) -> None:
    where = places(tmp_path)
    root = tmp_path / "data" / "uci_regression" / "small" / "data"
    write_regression(root)
    (root / "index_test_1.txt").unlink()
    with pytest.raises(DataError) as caught:
        boston_like().locate(where)
    message(caught, "lacks index_test_1.txt", str(root))


@pytest.mark.parametrize("rows", [100, 569])
def test_standard_splits_follow_the_published_rule(rows: int) -> None:
    stream = np.random.RandomState(1)
    splits = standard_splits(rows, 3)
    for train, test in splits:
        order = stream.choice(range(rows), rows, replace=False)
        cut = round(rows * 0.9)
        assert train.tolist() == order[:cut].tolist()
        assert test.tolist() == order[cut:].tolist()


def small_npz() -> UciClassification:
    return UciClassification(
        name="uci-tiny", where=("uci_classification/tiny.npz",), file="tiny.npz", rows=4, columns=3, classes=2, **TEXTS
    )


def test_a_classification_set(tmp_path: Path) -> None:
    dataset = small_npz()
    where = places(tmp_path)
    folder = tmp_path / "data" / "uci_classification"
    folder.mkdir()
    with pytest.raises(DataUnavailable):  # the folder is shared: not having this set in it is no mistake
        dataset.locate(where)
    x, y = np.arange(12.0).reshape(4, 3), np.array([0, 1, 1, 0])
    np.savez(folder / "tiny.npz", X=x, y=y)
    source = dataset.locate(where)
    table = dataset.load(source)
    assert isinstance(table, Table)
    assert np.array_equal(table.x, x)
    assert np.array_equal(table.y, y)
    assert table.y.dtype == np.int64
    contents: list[tuple[dict[str, Any], str]] = [
        ({"X": np.array([{"a": 1}] * 4, object), "y": y}, "not a readable npz"),  # a pickle, which is never opened
        ({"X": x}, "not a readable npz"),
        ({"X": x.astype(str), "y": y}, "expected numbers"),
        ({"X": x[:3], "y": y[:3]}, "wrong shape"),
        ({"X": x, "y": y + 1}, "classes"),
        ({"X": np.full((4, 3), np.inf), "y": y}, "not all numbers are finite (row 1, column 1 of x)"),
    ]
    for content, expected in contents:
        np.savez(folder / "tiny.npz", **content)
        with pytest.raises(DataError) as caught:
            dataset.load(source)
        message(caught, "tiny.npz", expected)
    (folder / "tiny.npz").write_bytes(b"PK\x03\x04 not a zip file")
    with pytest.raises(DataError, match=r"tiny\.npz: not a readable npz"):
        dataset.load(source)


def dataset(name: str) -> Dataset:
    return next(d for d in DATASETS if d.name == name)


def abalone_lines() -> list[str]:
    stream = np.random.default_rng(4)
    return [
        ",".join(["MFI"[i % 3], *(f"{v:.4f}" for v in stream.random(7)), str(i % 29 + 1)]) for i in range(4177)
    ]  # fmt: skip


@pytest.mark.parametrize("place", ["abalone/abalone.data", "tabular/abalone.csv"])
def test_abalone_in_both_places(tmp_path: Path, place: str) -> None:
    lines = abalone_lines()
    where = places(tmp_path)
    path = tmp_path / "data" / place
    path.parent.mkdir()
    path.write_text("\n".join(lines) + "\n")
    table = dataset("abalone").load(dataset("abalone").locate(where))
    assert isinstance(table, Table)
    assert table.x.shape == (4177, 10)
    assert table.x[:3, :3].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert table.x[5, 3:].tolist() == [float(v) for v in lines[5].split(",")[1:8]]
    assert table.y.tolist() == [float(line.split(",")[-1]) for line in lines]
    assert len(table.splits) == 20


def ending(lines: list[str], i: int, cell: str) -> list[str]:
    """The lines with another last cell in line i, counted from 0."""
    return [*lines[:i], f"{lines[i].rpartition(',')[0]},{cell}", *lines[i + 1 :]]


HEADING = "Sex,Length,Diameter,Height,Whole weight,Shucked weight,Viscera weight,Shell weight,Rings"
SWAPPED = "Sex,Diameter,Length,Height,Whole weight,Shucked weight,Viscera weight,Shell weight,Rings"
WRITTEN: dict[str, Callable[[list[str]], bytes]] = {
    "plain": lambda lines: "\n".join(lines).encode(),
    "BOM": lambda lines: "\n".join(lines).encode("utf-8-sig"),
    "CRLF": lambda lines: "\r\n".join(lines).encode(),
    "old Mac": lambda lines: "\r".join(lines).encode(),
    "UTF-16": lambda lines: "\n".join(lines).encode("utf-16"),
    "UTF-16 without a mark": lambda lines: "\n".join(lines).encode("utf-16-le"),
    "UTF-16 big-endian": lambda lines: "\n".join(lines).encode("utf-16-be"),
    "UTF-32": lambda lines: "\n".join(lines).encode("utf-32"),
    "heading": lambda lines: "\n".join([HEADING, *lines]).encode(),
    "heading with a mark": lambda lines: "\r\n".join([HEADING, *lines, ""]).encode("utf-8-sig"),
    "heading in Latin-1": lambda lines: "\n".join([HEADING.replace("Shell", "Höhe"), *lines]).encode("latin-1"),
    "blank lines": lambda lines: "\n\n".join(["", *lines, "  ", ",,"]).encode(),
    "semicolons": lambda lines: "\n".join(line.replace(",", ";") for line in lines).encode(),
    "tabs": lambda lines: "\n".join(line.replace(",", "\t") for line in lines).encode(),
    "decimal commas": lambda lines: "\n".join(line.replace(",", ";").replace(".", ",") for line in lines).encode(),
    "quotes": lambda lines: "\n".join('"' + line.replace(",", '","') + '"' for line in lines).encode(),
    "quoted decimal commas": lambda lines: "\n".join(
        '"' + line.replace(",", '"x"').replace(".", ",").replace("x", ",") + '"' for line in lines
    ).encode(),
    "spaces": lambda lines: "\n".join(line.replace(",", " , ") for line in lines).encode(),
    "commas at the ends": lambda lines: "\n".join(f"{line}," for line in [HEADING, *lines]).encode(),
    "an unnamed last column": lambda lines: "\n".join(
        [f"{HEADING},Unnamed: 9", *(f"{line}," for line in lines)]
    ).encode(),
    "small letters": lambda lines: "\n".join(lines).lower().encode(),
    "form feeds": lambda lines: "\x0c\n".join(lines).encode(),
}


@pytest.mark.parametrize("written", WRITTEN)
def test_tables_are_read_however_they_were_saved(written: str) -> None:
    lines = abalone_lines()
    expected = parse_abalone(Path("abalone.data"), "\n".join(lines).encode())
    assert expected.y.tolist() == [float(line.rpartition(",")[2]) for line in lines]
    found = parse_abalone(Path("abalone.csv"), WRITTEN[written](lines))
    assert found.digest() == expected.digest()


@pytest.mark.parametrize(("content", "expected"), [
    (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" * 50, "abalone.csv: "),
    (b"\xff\xfeM\0,\0" + b"\xd8", "not a text file in utf-16"),
    (b"\n \n\n", "the file has no rows"),
    (HEADING.encode(), "the file has no rows"),
    (b"PK\x03\x04" + bytes(range(256)), "abalone.csv: "),
])  # fmt: skip
def test_what_is_no_text_is_refused(content: bytes, expected: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_abalone(Path("abalone.csv"), content)
    message(caught, "abalone.csv", expected)


@given(st.binary(max_size=300))
def test_no_bytes_are_more_than_one_line_of_error(content: bytes) -> None:
    for parse in (parse_abalone, parse_wdbc, parse_breast_cancer, parse_digits, parse_banana):
        with pytest.raises(DataError) as caught:
            parse(Path("table.csv"), content)
        message(caught, "table.csv")


CANCER = [",".join([*(f"{(i * j) % 97}.5" for j in range(30)), str(i % 2)]) for i in range(569)]


@pytest.mark.parametrize(
    "heading", [["569,30,malignant,benign"], ["f,g"], [",".join([*BREAST_FEATURES, "target"])], []]
)
def test_the_heading_of_the_other_breast_cancer_file(heading: list[str]) -> None:
    table = parse_breast_cancer(Path("breast_cancer.csv"), "\n".join([*heading, *CANCER]).encode())
    assert table.x.shape == (569, 30)
    assert table.x[1].tolist() == [j % 97 + 0.5 for j in range(30)]
    assert table.y.tolist() == [i % 2 for i in range(569)]


def test_a_class_that_is_none_is_named() -> None:
    lines = ending(CANCER, 4, "2")
    with pytest.raises(DataError, match=r"breast\.csv: row 5, column 31: '2': expected a whole number from 0 to 1$"):
        parse_breast_cancer(Path("breast.csv"), "\n".join(lines).encode())
    with pytest.raises(DataError, match=r"banana\.csv: row 2, column 3: '0': expected a whole number from 1 to 2$"):
        parse_banana(Path("banana.csv"), b"0.5,1.5,1\n0.5,1.5,0\n")
    wrong = f"{'0,' * 64}9.5\n"
    with pytest.raises(DataError, match=r"row 1, column 65: '9\.5': expected a whole number from 0 to 9$"):
        parse_digits(Path("optdigits.tes"), wrong.encode())


@pytest.mark.parametrize(("change", "expected"), [
    (lambda lines: lines[:-1], "wrong shape"),
    (lambda lines: [*lines[:-1], lines[-1] + ",1"], "row 4177 has 10 columns, expected 9"),
    (lambda lines: ["X" + lines[0][1:], *lines[1:]], "row 1, column 1: 'X': expected M, F or I"),
    (lambda lines: [lines[0].replace("0.", "zero"), *lines[1:]], "row 1, column 2: 'zero"),
    (lambda lines: ["", *ending(lines, 6, "?")], "row 8, column 9: '?': a value is"),
    (lambda lines: ending(lines, 6, ""), "row 7, column 9: '': a value is missing"),
    (lambda lines: ending(lines, 6, "NA"), "row 7, column 9: 'NA': a value is"),
    (lambda lines: ending(lines, 6, "nan"), "row 7, column 9: 'nan': a value is"),
    (lambda lines: ending(lines, 6, "1e999"), "row 7, column 9: '1e999': not a"),
    (lambda lines: [*lines[:6], '"M' + lines[6][1:], *lines[7:]], "row 7 cannot be read"),
    (lambda lines: [HEADING, *lines[:6], HEADING, *lines[6:]], "row 8, column 1: 'Sex': expected M, F or I"),
    (lambda lines: [SWAPPED, *lines], "row 1, column 2: 'Diameter': this is column 3 of the data set"),
    (lambda lines: [line.partition(",")[2] for line in lines], "row 1 has 8 columns, expected 9"),
    (lambda lines: [line + "," for line in lines[:-1]] + lines[-1:], "row 1 has 10 columns, expected 9"),
    (lambda lines: [lines[0].replace(".", ","), *lines[1:]], "row 1 has 16 columns, expected 9"),
    (lambda lines: ["M;0,5;0.5;1;1;1;1;1;9"] * 4177, "row 1, column 2: '0,5': not a number"),
])  # fmt: skip
def test_a_damaged_abalone_is_refused(change: Any, expected: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_abalone(Path("abalone.data"), "\n".join(change(abalone_lines())).encode())
    message(caught, "abalone.data", expected)


def test_the_official_files_equal_the_bundled_ones(tmp_path: Path) -> None:
    """wdbc.data and optdigits.tes, rebuilt from scikit-learn's numbers, give the same tables."""
    cancer = dataset("breast-cancer").load(dataset("breast-cancer").locate(places(tmp_path, bundled=True)))
    digits = dataset("digits").load(dataset("digits").locate(places(tmp_path, bundled=True)))
    assert isinstance(cancer, Table)
    assert isinstance(digits, Table)
    pairs = zip(cancer.x.tolist(), cancer.y.tolist(), strict=True)
    rows = [f"842302,{'MB'[y]},{','.join(map(repr, x))}" for x, y in pairs]
    assert parse_wdbc(Path("wdbc.data"), "\n".join(rows).encode()).digest() == cancer.digest()
    rows = [",".join(map(str, [*x.astype(int), y])) for x, y in zip(digits.x, digits.y, strict=True)]
    (tmp_path / "data" / "digits").mkdir()
    (tmp_path / "data" / "digits" / "optdigits.tes").write_text("\n".join(rows) + "\n")
    copy = dataset("digits").locate(places(tmp_path, bundled=True))
    assert copy.provenance == "copy"
    assert dataset("digits").verify(copy) == digits.digest()
    with pytest.raises(DataError, match="row 1 has 64 columns"):
        parse_digits(Path("optdigits.tes"), rows[0].rpartition(",")[0].encode())


def test_rows_in_another_order_have_another_digest(tmp_path: Path) -> None:
    table = dataset("digits").load(dataset("digits").locate(places(tmp_path, bundled=True)))
    assert isinstance(table, Table)
    assert replace(table, x=table.x[::-1]).digest() != table.digest()
