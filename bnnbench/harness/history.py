"""The curves of a job, `history.jsonl`: one line a seed and step, appended while the job runs.

A job killed in the middle of a line leaves a torn last line: readers pass over it, and the job cuts it off when
it goes on from its checkpoint.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bnnbench.errors import UserError
from bnnbench.harness.files import write_atomic, writing

Row = dict[str, Any]


def read(path: Path) -> Iterator[Row]:
    """The whole rows of a history; none where there is no file."""
    if not path.exists():
        return
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if not line.endswith("\n"):
                return
            try:
                yield json.loads(line)
            except ValueError as error:
                raise UserError(
                    f"{path}: damaged ({error}); delete its folder to have the job computed again"
                ) from error


def append(path: Path, row: Row) -> None:
    """Adds one row in a single write."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, allow_nan=False) + "\n")


def rewind(path: Path, seed: int, step: int | None) -> None:
    """Forgets what `seed` logged after `step` (everything with `None`): those steps are computed again."""
    if not path.exists():
        return
    kept = [row for row in read(path) if row["seed"] != seed or (step is not None and row["step"] <= step)]
    write_atomic(path, "".join(json.dumps(row) + "\n" for row in kept))
