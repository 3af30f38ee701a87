"""What all tables share: their checks, and the rule by which they are split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bnnbench.data.content import Table
from bnnbench.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SPLITS = 20


def standard_splits(rows: int, count: int = SPLITS) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]:
    """(train, test) indices of 90 % and 10 % of the rows, by the rule and the seed of Hernandez-Lobato & Adams (2015).

    Every table whose publisher gives no splits is split by this rule.
    """
    import numpy as np

    stream = np.random.RandomState(1)
    orders = [stream.choice(rows, rows, replace=False).astype(np.int64) for _ in range(count)]
    cut = round(rows * 0.9)
    return tuple((order[:cut], order[cut:]) for order in orders)


def make_table(
    path: Path, x: NDArray[np.generic], y: NDArray[np.generic], shape: tuple[int, int], *,
    features: tuple[str, ...] = (), target: str = "y", classes: int = 0,
) -> Table:  # fmt: skip
    """A Table with `standard_splits` after its shape and values have been checked; classes 0 means regression."""
    import numpy as np

    if x.shape != shape or y.shape != shape[:1]:
        raise DataError(f"{path}: wrong shape ({x.shape} and {y.shape}, expected {shape} and {shape[:1]})")
    inputs, numbers = np.array(x, np.float64, order="C"), np.array(y, np.float64)
    wrong = np.argwhere(~np.isfinite(np.column_stack([inputs, numbers])))
    if len(wrong):
        row, column = wrong[0]
        where = f"{target} of row {row + 1}" if column == shape[1] else f"row {row + 1}, column {column + 1} of x"
        raise DataError(f"{path}: not all numbers are finite ({where})")
    if classes and not np.array_equal(np.unique(numbers), np.arange(classes)):
        raise DataError(f"{path}: the classes are not {classes} consecutive numbers")
    names = features or tuple(f"x{column}" for column in range(shape[1]))
    return Table(inputs, numbers.astype(np.int64) if classes else numbers, standard_splits(shape[0]), names, target)
