"""Downloads from the official addresses: checked, unpacked safely, and visible only when whole."""

from __future__ import annotations

import shutil
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from bnnbench.data.files import one_line
from bnnbench.errors import DataError, UserError

ARCHIVES = (".zip", ".tar.gz")
UNPACKED_LIMIT = 4 << 30  # no archive in the catalogue unpacks to more than 1 GiB
TIMEOUT = 30  # seconds without an answer


@dataclass(frozen=True)
class Download:
    """One file at an official address and its published md5 (None where none is published)."""

    url: str
    md5: str | None = None

    @property
    def filename(self) -> str:
        """The last part of the address."""
        return self.url.rpartition("/")[2]

    @property
    def is_archive(self) -> bool:
        """Whether it is unpacked after it has been checked."""
        return self.filename.endswith(ARCHIVES)


def install(
    name: str, downloads: tuple[Download, ...], target: Path, check: Callable[[Path], object], progress: bool = False
) -> None:
    """Download, unpack and check everything beside `target`, and only then rename it to `target`.

    Raises UserError (no network, no space) or DataError (the files differ from those published, or `check` refuses
    them). Then nothing is left behind, and what was at `target` stays.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=target.parent))
    except OSError as error:
        raise UserError(f"{target.parent}: cannot write there ({error.strerror})") from None
    try:
        fresh = staging / "fresh"
        fresh.mkdir()
        for item in downloads:
            path = retrieve(item, fresh, progress)
            if item.is_archive:
                unpack(path, fresh)
                path.unlink()
        try:
            check(fresh)
        except DataError as error:
            reason = str(error).replace(f"{fresh}/", "")
            raise DataError(f"{name}: what was downloaded is not the data set, nothing was kept: {reason}") from None
        _put(fresh, target, staging / "old")
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def retrieve(item: Download, folder: Path, progress: bool = False) -> Path:
    """Download one file into a folder and compare its md5; UserError or DataError in one line."""
    import pooch

    pooch.get_logger().setLevel("WARNING")
    downloader = pooch.HTTPDownloader(
        progressbar=_Progress(item.filename) if progress else False, timeout=TIMEOUT, chunk_size=1 << 16
    )
    known = f"md5:{item.md5}" if item.md5 else None
    try:
        return Path(pooch.retrieve(item.url, known, item.filename, folder, downloader=downloader))
    except ValueError:  # pooch raises it for another hash
        raise DataError(
            f"{item.url}: what was sent does not have the published md5 {item.md5}; nothing was kept, try again"
        ) from None
    except OSError as error:  # also every error of requests
        response = getattr(error, "response", None)
        reason = f"HTTP {response.status_code}" if response is not None else error.strerror or type(error).__name__
        raise UserError(
            f"{item.url}: cannot be downloaded ({reason}); check the network, or put the file in your data folder"
        ) from None


def unpack(archive: Path, folder: Path, limit: int = UNPACKED_LIMIT) -> None:
    """Unpacks a zip or tar.gz file of plain files.

    Raises DataError for links, for paths that lead outside the folder, for more than `limit` bytes and for damage.
    """
    opened = _zip_members if archive.suffix == ".zip" else _tar_members
    remaining = limit
    try:
        for name, size, stream in opened(archive):
            remaining -= size
            if remaining < 0:
                raise DataError(f"{archive}: unpacks to more than {limit:,} bytes")
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
                raise DataError(f"{archive}: refuses to unpack {name!r}, which lies outside the folder")
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with stream, target.open("xb") as out:  # never over a file that is there
                shutil.copyfileobj(stream, out, 1 << 20)
            if target.stat().st_size != size:
                raise DataError(f"{archive}: {name} is truncated")
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
        raise DataError(f"{archive}: cannot be unpacked ({one_line(error)})") from None


def _tar_members(archive: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            if member.isdir():
                continue
            stream = tar.extractfile(member) if member.isreg() else None
            if stream is None:
                raise DataError(f"{archive}: refuses to unpack {member.name!r}, which is a link or a device")
            yield member.name, member.size, stream


def _zip_members(archive: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    with zipfile.ZipFile(archive) as file:
        for member in file.infolist():
            if member.is_dir():
                continue
            kind = member.external_attr >> 28  # the file type of a Unix mode; 0 when the archiver gave none
            if kind not in (0, 0o10):
                raise DataError(f"{archive}: refuses to unpack {member.filename!r}, which is a link or a device")
            yield member.filename, member.file_size, file.open(member)


def _put(fresh: Path, target: Path, old: Path) -> None:
    """Renames an existing `target` to `old`, and `fresh` to `target`, unless another process has put one there."""
    try:
        if target.exists():
            target.rename(old)
        fresh.rename(target)
    except OSError as error:
        if not target.is_dir():
            raise UserError(f"{target}: cannot be written ({error.strerror})") from None


class _Progress:
    """The progress bar that pooch updates while it downloads, on stderr."""

    def __init__(self, label: str) -> None:
        self.label, self.total, self.done, self.shown = label, 0, 0, ""

    def update(self, count: int) -> None:
        self.done += count
        part = min(1.0, self.done / self.total) if self.total else 0.0
        of = f" of {self.total / 1e6:.0f}" if self.total else ""
        bar = "#" * int(30 * part)
        text = f"{self.label}: [{bar:.<30}] {100 * part:3.0f} % {self.done / 1e6:.0f}{of} MB"
        if text != self.shown:
            self.shown = text
            print(f"\r{text}", end="", file=sys.stderr, flush=True)

    def reset(self) -> None:
        self.done = 0

    def close(self) -> None:
        print(file=sys.stderr)
