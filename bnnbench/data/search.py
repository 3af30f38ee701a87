"""Finds a data set below a folder, under any of its usual names and however they are spelled."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bnnbench.errors import DataError

DEBRIS = ("__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini", "lost+found")
UNFINISHED = (".tmp", ".part", ".crdownload")


def is_debris(name: str) -> bool:
    """Whether it is what archivers, browsers and file managers leave behind: hidden, unfinished or never data."""
    return name.startswith(".") or name in DEBRIS or name.endswith(UNFINISHED)


def spelling(name: str) -> str:
    """What the spellings of a name have in common: Fashion-MNIST, fashion_mnist and FashionMNIST are one."""
    return name.lower().replace("-", "").replace("_", "").replace(" ", "")


def folders(root: Path, where: tuple[str, ...]) -> tuple[list[Path], list[DataError]]:
    """The folders below `root` that the places in `where` name, best match first and none twice.

    A place is a folder, or a file whose folder is meant; its first part may be spelled in any usual way. The second
    list has an error for every such name that is no folder of data: a broken link, or a file in place of a folder.
    """
    places: dict[Path, Path] = {}
    errors: list[DataError] = []
    with looking_at(root):
        names = sorted(path.name for path in root.iterdir()) if root.is_dir() else []
    for place in where:
        head, _, rest = place.partition("/")
        alike = [name for name in names if spelling(name) == spelling(head)]
        for name in sorted(alike, key=lambda name: (name != head, name.lower() != head.lower())):
            path = root / name / rest
            try:
                with looking_at(path):
                    if (folder := _folder(path, is_file=bool(Path(place).suffix))) is not None:
                        places.setdefault(folder.resolve(), folder)
            except DataError as error:
                errors.append(error)
    return list(places.values()), errors


def _folder(path: Path, is_file: bool) -> Path | None:
    """The folder that a place means; `None` where there is nothing."""
    mode = _mode(path)
    if mode is None or stat.S_ISDIR(mode):
        return None if mode is None else path
    if not stat.S_ISREG(mode):
        raise DataError(f"{path}: neither a file nor a folder; rename it")
    if not is_file:
        raise DataError(f"{path}: a file, where the folder of a data set is expected; rename it")
    return path.parent


def has_file(path: Path) -> bool:
    """Whether there is such a file; DataError for anything else of that name, which must not pass for absent."""
    mode = _mode(path)
    if mode is not None and not stat.S_ISREG(mode):
        raise DataError(f"{path}: not a file; rename it")
    return mode is not None


def has_folder(path: Path) -> bool:
    """Whether there is such a folder; DataError for a broken link, which must not pass for an absent folder."""
    mode = _mode(path)
    return mode is not None and stat.S_ISDIR(mode)


def _mode(path: Path) -> int | None:
    """The mode of a path (`stat`); `None` where there is nothing, DataError for a broken link."""
    with looking_at(path):
        try:
            return path.stat().st_mode
        except FileNotFoundError:
            if path.is_symlink():
                raise DataError(f"{path}: a broken link; repair or remove it") from None
            return None


@contextmanager
def looking_at(path: Path | None) -> Iterator[None]:
    """Turns errors of the file system into one line about the file that they name, or else about `path`."""
    try:
        yield
    except OSError as error:
        name = error.filename if error.filename is not None else path
        if error.errno == errno.ELOOP:
            raise DataError(f"{printable(name)}: a link that leads to itself; repair or remove it") from None
        raise DataError(f"{printable(name)}: cannot be read ({error.strerror or error})") from None
    except UnicodeError as error:
        raise DataError(f"{printable(path)}: a file name in it is not UTF-8 ({printable(error)}); rename it") from None


def printable(name: object) -> str:
    """A name on one line, also where its bytes are not UTF-8 or hold a line break."""
    text = os.fsdecode(name) if isinstance(name, bytes) else str(name)
    return " ".join(text.encode("utf-8", "backslashreplace").decode().split("\n"))
