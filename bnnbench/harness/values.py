"""Numbers, names and tables as experiments return them, with numbers of Python, NumPy or torch."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

CURVE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. /-]{0,99}")
"""Names that MLflow accepts for a metric and that files can hold."""
LIMIT = 2**63
"""Steps and seeds must be below this limit, as tables and MLflow store them in 64 bits."""


def number(value: Any, name: str) -> float:
    """`value` as a float; `TypeError` with `name` for anything but a single real number that is not masked."""
    single = getattr(value, "size", 1) in (1, ()) if not hasattr(value, "numel") else value.numel() == 1
    plain = value.item() if hasattr(value, "item") and single else value
    if isinstance(plain, bool | int | float) and not getattr(value, "mask", False):
        try:
            return float(plain)
        except OverflowError:
            raise TypeError(f"{name} is a whole number beyond the floats; they end at 1.8e308") from None
    raise TypeError(f"{name} is {_shown(value)}; it must be a number")


def whole_step(value: Any) -> int:
    """`value` as the number of a step; `ValueError` if it is not whole, `TypeError` if it is not a number."""
    plain = number(value, "step")
    if not plain.is_integer() or abs(plain) >= LIMIT:
        raise ValueError(f"step is {_shown(value)}; it must be a whole number of at most 63 bits")
    return int(value.item() if hasattr(value, "item") else value)


def _shown(value: Any) -> str:
    try:
        return f"{value!r:.60}"
    except Exception:  # the repr of an unknown object may raise anything
        return f"a {type(value).__name__}"


def check_name(name: str, what: str) -> None:
    """Raises `ValueError` for a name that MLflow or a file could not hold."""
    if not isinstance(name, str) or not CURVE.fullmatch(name):
        raise ValueError(f"{what} {name!r}: a name holds letters, digits, spaces and _ . - /, at most 100 of them")
    if any(part in ("", ".", "..") for part in name.split("/")):
        raise ValueError(f"{what} {name!r}: between its / a name has parts that are not empty and not made of dots")


def check_part(name: str, what: str) -> None:
    """Raises `ValueError` for a name that cannot be part of a file name."""
    check_name(name, what)
    if "/" in name:
        raise ValueError(f"{what} {name!r}: a {what} is part of a file's name and holds no /")


def text(value: Any) -> str:
    """`value` as a text that every file can hold: characters without an encoding (lone surrogates) become `?`."""
    return str(value).encode(errors="replace").decode()


def column(values: Any, name: str) -> Sequence[Any]:
    """A column of a table: a one-dimensional array or tensor, or a list with its scalars converted to Python's."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    if getattr(values, "ndim", 1) != 1:
        raise ValueError(f"column {name!r} has shape {tuple(values.shape)}; it must have one dimension")
    if hasattr(values, "dtype"):
        cells: Sequence[Any] = values
        return cells
    return [value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value for value in values]


def columns(table: Mapping[str, Any], name: str) -> dict[str, Sequence[Any]]:
    """The columns of the table `name`, which must be of equal length."""
    lists = {key: column(values, f"{name}.{key}") for key, values in table.items()}
    if len({len(values) for values in lists.values()}) > 1:
        lengths = ", ".join(f"{key} {len(values)}" for key, values in lists.items())
        raise ValueError(f"table {name!r}: its columns differ in length ({lengths})")
    return lists
