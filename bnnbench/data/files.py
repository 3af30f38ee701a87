"""Reading files whole, and saying in one line what is wrong with one."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterable
from pathlib import Path

from bnnbench.errors import DataError

UNPACKED_LIMIT = 1 << 30  # no gzip file of the catalogue unpacks to more


def read_bytes(path: Path) -> bytes:
    """The content of a file that must not be empty; DataError when it cannot be read."""
    try:
        if path.exists() and not path.is_file():  # reading a pipe would wait for its writer
            raise DataError(f"{path}: not a file")
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    if not data:
        raise DataError(f"{path}: the file is empty")
    return data


def gunzip(path: Path, data: bytes) -> bytes:
    """The uncompressed content of gzip bytes (RFC 1952); DataError when they are cut short or damaged."""
    parts: list[bytes] = []
    remaining = UNPACKED_LIMIT
    while data.strip(b"\0"):  # a gzip file is one or more members, and may be padded with zeros
        if data[:2] != b"\x1f\x8b":
            raise DataError(f"{path}: not a gzip file (it starts with {data[:12]!r}, expected b'\\x1f\\x8b')")
        member = zlib.decompressobj(wbits=31)
        try:
            parts.append(member.decompress(data, remaining))
        except zlib.error as error:
            raise DataError(f"{path}: damaged gzip file ({error})") from None
        remaining -= len(parts[-1])
        if remaining <= 0:
            raise DataError(f"{path}: unpacks to more than {UNPACKED_LIMIT:,} bytes")
        if not member.eof:
            raise DataError(f"{path}: truncated gzip file (it ends after {len(data):,} bytes, before its end mark)")
        data = member.unused_data
    return b"".join(parts)


def check_md5(path: Path, data: bytes, expected: str, what: str = "content") -> None:
    """DataError unless the bytes have the published md5."""
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if digest != expected:
        raise DataError(f"{path}: the {what} does not have the published checksum (md5 {digest}, expected {expected})")


def check_size(path: Path, expected: int) -> None:
    """DataError unless the file has exactly this many bytes; reads nothing."""
    size = path.stat().st_size
    if size != expected:
        wrong = f"{path}: wrong length ({size:,} bytes, expected {expected:,})"
        raise DataError(f"{wrong}; put a sound copy of that file there, or remove the folder")


def names_and_sizes(folder: Path, files: Iterable[Path]) -> str:
    """A short digest of the names and sizes of files, which stands for their content in a cache key."""
    digest = hashlib.sha256()
    start = len(os.fsencode(folder))  # plain strings, because ImageNet has 1.3 million files
    for name in sorted(map(os.fsencode, files)):
        digest.update(name[start:] + f"\0{os.stat(name).st_size}\n".encode())  # noqa: PTH116
    return digest.hexdigest()[:12]


def stamps(files: Iterable[Path]) -> str:
    """A short digest of the size, times of change and inode of every file, or of its absence."""
    digest = hashlib.sha256()
    for name in sorted(map(os.fsencode, files)):
        try:
            now = os.stat(name)  # noqa: PTH116
            # A program may set back the time of the content (mtime), but not that of the inode (ctime).
            seen = f"{now.st_size} {now.st_mtime_ns} {now.st_ctime_ns} {now.st_ino}"
        except OSError:
            seen = "absent"
        digest.update(name + f"\0{seen}\n".encode())
    return digest.hexdigest()[:16]


def one_line(error: BaseException) -> str:
    """The message of another library's exception on a single line."""
    return " ".join(str(error).split()) or type(error).__name__
