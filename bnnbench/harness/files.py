"""Files that are complete or absent, seals that reveal changes, and locks that end with the process that holds them."""

import fcntl
import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import EACCES, EINVAL, ENOTDIR
from pathlib import Path
from typing import Any

from bnnbench.errors import UserError


def check_folder(path: Path) -> None:
    """Raises `UserError` where `path` is not, and could not become, a writable folder; changes nothing."""
    with writing(path):
        nearest = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
        if not nearest.is_dir():
            raise NotADirectoryError(ENOTDIR, f"{nearest} is a file")
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise PermissionError(EACCES, f"{nearest} does not let you write")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an `OSError` (full disk, no permission) into a `UserError` in one line that names the file and a remedy."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written: {error.strerror or error}; free space there, or name another folder"
            " as `results` in the configuration"
        ) from error


def write_atomic(path: Path, content: str | bytes) -> None:
    """Writes `content` so that `path` either holds all of it or is unchanged, even if the process is killed."""
    data = content.encode() if isinstance(content, str) else content

    def write(partial: Path) -> None:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    produce_atomic(path, write)


def produce_atomic(path: Path, produce: Callable[[Path], None]) -> None:
    """Lets `produce` write a file beside `path`, then moves it there in one step; a folder at `path` is set aside."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            produce(partial)
            if path.is_dir() and not path.is_symlink():
                set_aside(path)
            _seal_of(path).unlink(missing_ok=True)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def set_aside(path: Path) -> Path:
    """Renames a damaged file to `NAME.damaged`, with a number if that name is taken, and returns its new path."""
    taken = 0
    while (place := path.with_name(f"{path.name}.damaged{f'-{taken}' if taken else ''}")).exists():
        taken += 1
    with writing(path):
        return path.replace(place)


def clear(path: Path) -> None:
    """Removes a file if it exists; a folder in its place is set aside."""
    with writing(path):
        if path.is_dir() and not path.is_symlink():
            set_aside(path)
        else:
            path.unlink(missing_ok=True)


def read_regular(path: Path) -> bytes:
    """The content of a regular file; anything else raises `OSError`, so that a pipe is not waited for."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(EINVAL, "it is not a regular file")
    return path.read_bytes()


def read_json(path: Path) -> Any:
    """The JSON value in a regular file; `OSError` or `ValueError` where it holds none."""
    try:
        return json.loads(read_regular(path).decode())
    except RecursionError:
        raise ValueError("nested too deeply") from None


def seal(path: Path) -> None:
    """Keeps a digest of a finished file beside it, in `.NAME.seal`; new content has no seal until it is sealed."""
    write_atomic(_seal_of(path), _digest(path))


def is_as_written(path: Path) -> bool:
    """Whether a file still holds what was sealed: true for a file without a seal, false for a missing file."""
    while True:
        try:
            known = _sealed(path)
            digest = _digest(path)
        except OSError:
            return False
        if known in (None, digest):
            return True
        if known == _sealed(path):  # otherwise the file was rewritten in the meantime
            return False


def _sealed(path: Path) -> bytes | None:
    """The digest in a file's seal; an invalid seal is ignored, since hours of computing may depend on the file."""
    try:
        known = read_regular(_seal_of(path))
    except OSError:
        return None
    return known if re.fullmatch(b"[0-9a-f]{32}", known) else None


def _seal_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.seal")


def _digest(path: Path) -> bytes:
    return hashlib.blake2b(read_regular(path), digest_size=16).hexdigest().encode()


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as JSON, atomically; NaN and infinity are refused, since JSON cannot express them."""
    write_atomic(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


_held: set[int] = set()


def _leave_to_the_parent() -> None:
    """Makes forked processes close the locks, which they would otherwise hold even after their parent has ended."""
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_leave_to_the_parent)


def acquire(path: Path, on_wait: Callable[[], None] | None = None, wait: bool = True) -> int:
    """Takes an exclusive lock on `path` and returns the descriptor that holds it.

    The kernel frees the lock when the process ends, however it ends, even if processes that it forked still run.
    `on_wait` is called once before waiting for another holder; with `wait=False` a held lock raises `BlockingIOError`.
    """
    while True:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                os.close(handle)
                raise
            if on_wait is not None:
                on_wait()
            fcntl.flock(handle, fcntl.LOCK_EX)
        if is_file(path, handle):
            _held.add(handle)
            return handle
        os.close(handle)  # the file was removed or replaced meanwhile, so this lock excludes nobody


def is_file(path: Path, handle: int) -> bool:
    """Whether `path` is still the file that the descriptor `handle` refers to."""
    try:
        there, held = path.stat(), os.fstat(handle)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino)


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock on `path`; creates and changes nothing."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # opening a pipe would wait for its writer
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


@contextmanager
def locked(path: Path, on_wait: Callable[[], None] | None = None, wait: bool = True) -> Iterator[int]:
    """Holds the lock that `acquire` takes, and yields its descriptor."""
    handle = acquire(path, on_wait, wait)
    try:
        yield handle
    finally:
        _held.discard(handle)
        os.close(handle)
