"""Which kind of content a data set has, and whether an experiment can use it: one line where it cannot."""

from __future__ import annotations

from typing import Any

from bnnbench.data.cifar_c import Corrupted
from bnnbench.data.content import Images, Table
from bnnbench.data.folders import ImageFolders
from bnnbench.data.lsun import Scenes
from bnnbench.errors import DataError

KINDS: dict[type, str] = {
    Table: "a table",
    Images: "images of one size",
    ImageFolders: "photographs that are read one by one",
    Scenes: "scenes without labels",
    Corrupted: "corrupted test images alone",
}


def images(name: str, data: object, *needed: str) -> Images:
    """The images of one size, in memory, that `data` of the data set `name` must be, with the splits `needed`.

    Raises DataError that says what the data set holds instead, or which split is absent.
    """
    if not isinstance(data, Images):
        raise _other(name, data, "images of one size")
    for split in needed:
        _check_split(name, data.splits, split)
    return data


def table(name: str, data: object) -> Table:
    """The table that `data` of the data set `name` must be; else DataError."""
    if not isinstance(data, Table):
        raise _other(name, data, "a table")
    return data


def photographs(name: str, data: object) -> ImageFolders:
    """The photographs in class folders that `data` of the data set `name` must be; else DataError."""
    if not isinstance(data, ImageFolders):
        raise _other(name, data, "photographs in class folders")
    return data


def pictures(name: str, data: object, split: str) -> Any:
    """One split of a data set with images of whatever kind, with or without labels; else DataError."""
    splits = getattr(data, "splits", None)
    if not isinstance(splits, dict):
        raise _other(name, data, "images")
    _check_split(name, splits, split)
    return splits[split]


def _check_split(name: str, splits: dict[str, Any], needed: str) -> None:
    if needed not in splits:
        there = ", ".join(splits) or "nothing"
        raise DataError(f"data set {name!r} has no split {needed!r} here, only {there}; this experiment takes it")


def _other(name: str, data: object, wanted: str) -> DataError:
    held = next((words for kind, words in KINDS.items() if isinstance(data, kind)), f"a {type(data).__name__}")
    return DataError(f"data set {name!r} holds {held}; this experiment takes {wanted}")
