"""What kernels keep on disk between processes: compiled code, and choices measured on this machine."""

import hashlib
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from bnnbench.errors import UserError

CHOICES: Mapping[str, range] = {
    "rows": range(1, 7),
    "vectors": range(1, 33),
    "block": range(1, 2**20),
    "small_batch": range(2**31),
    "wgmma_tiles": range(1, 2**31),
}
"""The choices that can be measured for a target, and the values that kernels support."""
_DIGEST = 16  # bytes of the checksum in front of kept code


def folder() -> Path:
    """`$XDG_CACHE_HOME/bnnbench/kernels`, in `~/.cache` without the variable.

    Raises `RuntimeError` where there is neither the variable nor a home.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bnnbench" / "kernels"


def keep(path: Path, content: bytes) -> None:
    """Writes a file that other processes may write at the same time.

    Each process writes a file of its own and renames it, so that the file at `path` is always whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{uuid4().hex}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


def keep_code(path: Path, code: bytes, origin: bytes) -> None:
    """Keeps compiled code behind a checksum of itself and of `origin`, what it was made from."""
    keep(path, _checksum(code, origin) + code)


def kept_code(path: Path, origin: bytes) -> bytes | None:
    """The code that `keep_code` wrote; `None` where there is none, or it was damaged, or it is of another origin.

    Damaged machine code could do anything, so its checksum is compared before it is loaded.
    """
    content = path.read_bytes() if path.is_file() else b""
    code = content[_DIGEST:]
    return code if content[:_DIGEST] == _checksum(code, origin) else None


def _checksum(code: bytes, origin: bytes) -> bytes:
    return hashlib.blake2b(code, digest_size=_DIGEST, key=hashlib.sha256(origin).digest()).digest()


def tuning_file() -> Path:
    """Where `bnnbench kernels tune` keeps its choices; deleting it goes back to the built-in ones."""
    return folder() / "tuned.json"


@cache
def tuned(target: str) -> Mapping[str, int]:
    """Choices measured for a target ("avx2", "sm_90a") on this machine, those of `CHOICES` only.

    Wrong entries in the file are left out, with a warning that names them.
    """
    try:
        path = tuning_file()
    except RuntimeError:  # there is no home directory
        return {}
    try:
        if path.exists() and not path.is_file():
            raise OSError("it is not a file")
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:  # nothing has been measured
        return {}
    except (OSError, ValueError, RecursionError) as error:
        warn(f"{path} cannot be read ({error}); kernels take their built-in choices")
        return {}
    return dict(_valid(content, target, path))


def _valid(content: Any, target: str, path: Path) -> Iterator[tuple[str, int]]:
    """The choices for a target whose values kernels support."""
    choices = content.get(target, {}) if isinstance(content, dict) else content
    if not isinstance(choices, dict):
        warn(f"{path}: the choices for {target} are not a JSON object; kernels take their built-in ones")
        return
    for name, value in choices.items():
        allowed = CHOICES.get(name)
        if allowed is None:
            warn(f"{path}: {target} has no choice {name!r}; there are {', '.join(CHOICES)}")
        elif type(value) is not int or value not in allowed:
            limits = f"{allowed[0]} to {allowed[-1]}"
            warn(f"{path}: {name} of {target} is {value!r}; it must be {limits}, so the built-in choice is taken")
        else:
            yield name, value


def warn(message: str) -> None:
    """Warns in one line; `warnings.warn` would print a line of code below it, which says nothing about a file."""
    warnings.warn_explicit(" ".join(message.split()), UserWarning, "bnnbench.kernels", 0)


def keep_tuned(target: str, choices: Mapping[str, int]) -> None:
    """Keeps the choices for a target, beside those for others; they hold for processes that start later.

    Raises `UserError` where the file cannot be written.
    """
    try:
        content = dict(json.loads(tuning_file().read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RuntimeError):
        content = {}
    content[target] = dict(choices)
    try:
        keep(tuning_file(), json.dumps(content, indent=1).encode())
    except (OSError, RuntimeError) as error:
        raise UserError(f"the measured choices cannot be saved: {error}; set XDG_CACHE_HOME to a folder") from error
