"""The curves of a job, `history.jsonl`: one line per seed, stage and step, appended while the job runs.

A job that is killed while it writes leaves an incomplete last line. Readers skip it, and the job removes it when it
continues from its checkpoint.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bnnbench.harness.files import read_regular, set_aside, write_atomic, writing
from bnnbench.harness.values import LIMIT

Row = dict[str, Any]
RESERVED = ("seed", "stage", "step", "time")
"""The entries of a row that are not curves."""


@dataclass(frozen=True)
class History:
    """The readable rows of a file, and what is wrong with the file (empty where nothing is)."""

    rows: tuple[Row, ...]
    damage: str = ""


def read(path: Path) -> History:
    """The complete rows of a history; none where there is no file. Damaged rows are left out and named in `damage`."""
    try:
        content = read_regular(path)
    except FileNotFoundError:
        return History(())
    except OSError as error:
        return History((), f"{path}: cannot be read: {error.strerror or error}")
    rows = [_parsed(line) for line in content.split(b"\n")[:-1]]  # the part after the last newline is incomplete
    damaged = [k for k, row in enumerate(rows, start=1) if row is None]
    damage = f"{path}: {len(damaged)} damaged rows, the first in line {damaged[0]}" if damaged else ""
    return History(tuple(row for row in rows if row is not None), damage)


def curves(row: Row) -> Iterator[tuple[str, float]]:
    """Name and value of each curve of a row."""
    for name, value in row.items():
        if name not in RESERVED:
            yield name, value


def append(path: Path, row: Row) -> None:
    """Adds one row in a single write; the folder must exist."""
    with writing(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, allow_nan=False) + "\n")


def rewind(path: Path, seed: int, stage: str, step: int | None) -> None:
    """Removes the rows that a stage of `seed` logged after `step`, or all for `None`; they are computed again."""
    before = read(path)
    if path.exists() and not path.is_file():
        set_aside(path)
    kept = [row for row in before.rows if not is_of(row, seed, stage) or (step is not None and row["step"] <= step)]
    if path.exists():
        write_atomic(path, "".join(json.dumps(row) + "\n" for row in kept))


def is_of(row: Row, seed: int, stage: str) -> bool:
    """Whether a row belongs to this seed and stage."""
    return bool(row["seed"] == seed and row.get("stage", "") == stage)


def _parsed(line: bytes) -> Row | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and _is_row(row) else None


def _is_row(row: Row) -> bool:
    if (
        type(row.get("seed")) is not int
        or type(row.get("step")) is not int
        or not isinstance(row.get("stage", ""), str)
    ):
        return False
    numbers: list[Any] = [row.get("time"), *(value for _, value in curves(row))]
    return (
        0 <= row["seed"] < LIMIT
        and abs(row["step"]) < LIMIT
        and all(type(value) in (int, float) and abs(value) <= sys.float_info.max for value in numbers)
    )
