"""Whether a data set has the kind of content that an experiment takes; where it has not, a DataError says so."""

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
    """`data` of the data set `name` as images of one size, in memory, with the splits `needed`.

    Raises DataError, which says what the data set holds instead or which split it lacks.
    """
    if not isinstance(data, Images):
        raise _other(name, data, "images of one size")
    for split in needed:
        _check_split(name, data.splits, split)
    return data


def table(name: str, data: object) -> Table:
    """`data` of the data set `name` as a table; DataError where it is something else."""
    if not isinstance(data, Table):
        raise _other(name, data, "a table")
    return data


def photographs(name: str, data: object) -> ImageFolders:
    """`data` of the data set `name` as photographs in class folders; DataError where it is something else."""
    if not isinstance(data, ImageFolders):
        raise _other(name, data, "photographs in class folders")
    return data


def pictures(name: str, data: object, split: str) -> Any:
    """One split of a data set of images of any kind, with or without labels; DataError where there is none."""
    splits = getattr(data, "splits", None)
    if not isinstance(splits, dict):
        raise _other(name, data, "images")
    _check_split(name, splits, split)
    return splits[split]


def _check_split(name: str, splits: dict[str, Any], needed: str) -> None:
    if needed not in splits:
        held = ", ".join(splits) or "none"
        raise DataError(f"data set {name!r} has the splits {held}; this experiment takes {needed!r}")


def _other(name: str, data: object, wanted: str) -> DataError:
    held = next((words for kind, words in KINDS.items() if isinstance(data, kind)), f"a {type(data).__name__}")
    return DataError(f"data set {name!r} holds {held}; this experiment takes {wanted}")
