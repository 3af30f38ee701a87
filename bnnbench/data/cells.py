"""Tables in text files as people save them: from bytes to rows of cells, and from cells to numbers.

Encodings (UTF-8 with or without BOM, UTF-16, Latin-1), line ends, quotes, blank lines, the delimiters comma, semicolon
and tab, an empty last column and decimal commas are read. Anything else is an error that names row and column. Rows are
counted from 1 as an editor counts the lines of the file, and columns from 1.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bnnbench.data.files import one_line
from bnnbench.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
DECIMAL_COMMA = re.compile(r"([+-]?\d+),(\d+(?:[eE][+-]?\d+)?)", re.ASCII)
MISSING = frozenset({"", "?", "na", "n/a", "nan", "null", "none", "-", "."})
BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class Row:
    """The cells of one row, without the white space around them, and the line where it begins."""

    line: int
    cells: list[str]


def text_of(path: Path, data: bytes) -> str:
    """The text of a file, whose encoding is detected; DataError where the file is not text."""
    encoding = next((name for mark, name in BOMS if data.startswith(mark)), None)
    if encoding is None and b"\0" in data:  # UTF-16 without a byte-order mark: every second byte of a digit is zero
        encoding = "utf-16-le" if data[1::2].count(0) > data[::2].count(0) else "utf-16-be"
    try:
        text = data.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        if encoding is not None:
            raise DataError(f"{path}: not a text file in {encoding} ({one_line(error)})") from None
        text = data.decode("latin-1")
    if "\0" in text:
        raise DataError(f"{path}: not a text file (it holds zero bytes)")
    return text


def csv_rows(path: Path, data: bytes, columns: int, names: Sequence[str] = ()) -> list[Row]:
    """The rows of a table of `columns` columns, without a heading; DataError names a row of another length.

    `names` are the columns in their order; a heading that has them in another order is an error.
    """
    text = text_of(path, data)
    rows = _split(path, text, _delimiter(text, columns))
    if rows and _is_heading(rows[0].cells, columns):
        _check_order(path, rows[0], names)
        rows = rows[1:]
    if not rows:
        raise DataError(f"{path}: the file has no rows")
    if all(len(row.cells) == columns + 1 and not row.cells[-1] for row in rows):  # a delimiter ends every line
        rows = [Row(row.line, row.cells[:-1]) for row in rows]
    for row in rows:
        if len(row.cells) != columns:
            raise DataError(f"{path}: row {row.line} has {len(row.cells)} columns, expected {columns}")
    return rows


def _delimiter(text: str, columns: int) -> str:
    """The delimiter that gives most of the first rows the expected length."""
    sample = [line for line in text[:20_000].splitlines() if line.strip()][:20]

    def fitting(delimiter: str) -> int:
        return sum(line.count(delimiter) in (columns - 1, columns) for line in sample)

    return max((",", ";", "\t"), key=fitting)


def _split(path: Path, text: str, delimiter: str) -> list[Row]:
    """All rows that are not blank."""
    lines = csv.reader(io.StringIO(text, newline=None), delimiter=delimiter, skipinitialspace=True, strict=True)
    rows: list[Row] = []
    line = 1
    try:
        for cells in lines:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                rows.append(Row(line, stripped))
            line = lines.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}: row {line} cannot be read ({one_line(error)})") from None
    return rows


def _is_heading(cells: list[str], columns: int) -> bool:
    """Whether the first row holds names: text but no number, or several words in a row of another length."""
    numbers = [_is_number(cell) for cell in cells]
    words = [not number and cell.lower() not in MISSING for cell, number in zip(cells, numbers, strict=True)]
    return any(words) and (not any(numbers) or (sum(words) > 1 and len(cells) not in (columns, columns + 1)))


def _is_number(cell: str) -> bool:
    return bool(NUMBER.fullmatch(cell) or DECIMAL_COMMA.fullmatch(cell))


def floats(path: Path, rows: Sequence[Row], first: int, last: int) -> NDArray[np.float64]:
    """The numbers in columns `first` to `last` (exclusive, from 0) of all rows; DataError names a cell that has none.

    A comma is read as a decimal comma only where no number of the file has a decimal point.
    """
    import numpy as np

    pointed = any("." in cell for row in rows for cell in row.cells[first:last])
    numbers = np.empty((len(rows), last - first))
    for i, row in enumerate(rows):
        for j, cell in enumerate(row.cells[first:last]):
            decimal = None if pointed else DECIMAL_COMMA.fullmatch(cell)
            number = f"{decimal[1]}.{decimal[2]}" if decimal else cell
            value = float(number) if NUMBER.fullmatch(number) else np.nan
            if not np.isfinite(value):
                what = "a value is missing" if cell.lower() in MISSING else "not a number"
                raise DataError(f"{path}: row {row.line}, column {first + j + 1}: {cell!r}: {what}")
            numbers[i, j] = value
    return numbers


def codes(path: Path, rows: Sequence[Row], column: int, known: str) -> list[str]:
    """The letters in a column, in capitals; DataError names the first that is not one of `known`."""
    letters = [row.cells[column].upper() for row in rows]
    for row, code in zip(rows, letters, strict=True):
        if len(code) != 1 or code not in known:
            expected = f"expected {', '.join(known[:-1])} or {known[-1]}"
            raise DataError(f"{path}: row {row.line}, column {column + 1}: {row.cells[column]!r}: {expected}")
    return letters


def whole(path: Path, rows: Sequence[Row], column: int, values: NDArray[np.float64], limits: range) -> None:
    """Raises DataError, which names the first value of a column that is not a whole number within limits."""
    for row, value in zip(rows, values.tolist(), strict=True):
        if not (value.is_integer() and int(value) in limits):
            expected = f"expected a whole number from {limits[0]} to {limits[-1]}"
            raise DataError(f"{path}: row {row.line}, column {column + 1}: {row.cells[column]!r}: {expected}")


def _check_order(path: Path, heading: Row, names: Sequence[str]) -> None:
    """Raises DataError where a heading has the known name of a column in another place."""
    places = {_letters(name): place for place, name in enumerate(names)}
    for column, cell in enumerate(heading.cells):
        if (place := places.get(_letters(cell), column)) != column:
            expected = f"this is column {place + 1} of the data set; put the columns in their order"
            raise DataError(f"{path}: row {heading.line}, column {column + 1}: {cell!r}: {expected}")


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def number_rows(path: Path, data: bytes) -> tuple[NDArray[np.float64], list[int]]:
    """Numbers [rows, columns] separated by white space, and the line of each row; DataError names any other cell."""
    import numpy as np

    lines = io.StringIO(text_of(path, data), newline=None).read().split("\n")
    rows = [Row(number, line.split()) for number, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise DataError(f"{path}: the file has no rows")
    columns = len(rows[0].cells)
    for row in rows:
        if len(row.cells) != columns:
            raise DataError(f"{path}: row {row.line} has {len(row.cells)} columns, row {rows[0].line} has {columns}")
    try:
        numbers = np.array([row.cells for row in rows]).astype(np.float64)
    except ValueError:
        numbers = np.full((len(rows), columns), np.nan)
    if np.isfinite(numbers).all() and "_" not in "".join(lines):  # Python's numbers may have underscores
        return numbers, [row.line for row in rows]
    return floats(path, rows, 0, columns), [row.line for row in rows]
