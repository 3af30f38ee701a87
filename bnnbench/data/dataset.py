"""What a data set is: where it may come from, how it is found, checked and loaded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from bnnbench.data.bundled import Bundled
from bnnbench.data.content import Content
from bnnbench.data.download import Download, install
from bnnbench.data.files import names_and_sizes, stamps
from bnnbench.data.search import folders, looking_at, printable, spelling
from bnnbench.errors import DataError, DataUnavailable, UserError


@dataclass(frozen=True)
class Places:
    """Where data may come from, in this order."""

    data_dir: Path | None
    """The user's own folder, one sub-folder a data set."""
    cache_dir: Path
    """The download cache, in the same layout."""
    download: bool = False
    """Whether the caller may use `Dataset.fetch` for data that are not there; `locate` itself never downloads."""
    bundled: bool = True
    """Whether a stand-in that ships inside an installed package may be used."""


@dataclass(frozen=True)
class Source:
    """The place that was chosen for one data set."""

    dataset: str
    provenance: str
    """"official": loading enforces a published checksum; "copy": nobody published one, the structure is
    checked; "bundled": a file that ships inside an installed package."""
    identity: str
    """A short stable id of the content, for cache keys."""
    folder: Path | None
    note: str
    """One line for people."""
    files: tuple[Path, ...] = field(default=(), repr=False, compare=False)
    """The files of the set in its folder."""

    @property
    def fingerprint(self) -> str:
        """A hash of the size, times and inode of every file of the set; it changes when a file is written in place.

        No file is read. It is empty for a bundled set, whose content is checked at every load.
        """
        return stamps(self.files) if self.folder is not None else ""


class IncompleteFolder(DataError):
    """The folder of a data set lacks files: a mistake to be corrected, never a reason to look elsewhere."""


@dataclass(frozen=True, kw_only=True)
class Dataset(ABC):
    """One data set: subclasses say how a folder is inspected and read, and the rest is the same for all."""

    name: str
    title: str
    task: str
    """"classification" or "regression"."""
    licence: str
    citation: str
    home: str
    """The official page, for people."""
    where: tuple[str, ...]
    """What to look for under a data folder; finding any of them means that the user has the data set there."""
    downloads: tuple[Download, ...] = ()
    bundled: Bundled | None = None

    @property
    def downloadable(self) -> bool:
        """Whether there is an official address that `fetch` can use."""
        return bool(self.downloads)

    @abstractmethod
    def inspect(self, folder: Path) -> Source:
        """Looks at names and sizes only; IncompleteFolder names a missing file, DataError a file of the wrong size."""

    @abstractmethod
    def read(self, folder: Path) -> Content:
        """Reads and checks everything; DataError says what is wrong with which file."""

    def locate(self, places: Places) -> Source:
        """The first place that has the data set: the user's folder, the cache, an installed package.

        Raises DataUnavailable when no place has it, and DataError for a folder that is there but broken or
        incomplete, which is never passed over in silence. Both messages are one line that ends with what to do.
        """
        if places.data_dir is not None:
            with looking_at(places.data_dir):
                if not places.data_dir.is_dir():
                    where = printable(places.data_dir)
                    raise DataError(f"{where}: there is no such data folder; correct $BNNBENCH_DATA or unset it")
        for root in (places.data_dir, places.cache_dir):
            if root is not None and (source := self._below(root)) is not None:
                return source
        if places.bundled and self.bundled is not None and self.bundled.path() is not None:
            return self._bundled_source(self.bundled)
        raise DataUnavailable(f"{self.name} is not on this machine; {self.remedy(places)}")

    def _below(self, root: Path) -> Source | None:
        """The first sound folder of the data set below `root`; its note names the others."""
        sources: list[Source] = []
        there, errors = folders(root, self.where)
        for folder in there:
            try:
                with looking_at(folder):
                    sources.append(self.inspect(folder))
            except DataError as error:
                errors.append(error)
        if not sources:
            if errors:
                raise type(errors[0])(printable(errors[0]))
            return None
        others = [printable(folder) for folder in there if folder != sources[0].folder]
        if not others:
            return sources[0]
        note = f"{sources[0].note}; taken from {printable(sources[0].folder)}, not from {', '.join(others)}"
        return replace(sources[0], note=note)

    def fetch(self, places: Places, progress: bool = False) -> Source:
        """Downloads the data set into the cache and checks it; a sound copy that is already there stays.

        The cache gets the whole data set or nothing. Raises UserError when there is no network or no official
        address, and DataError when the download is not what was published.
        """
        if not self.downloads:
            if places.bundled and self.bundled is not None and self.bundled.path() is not None:
                return self._bundled_source(self.bundled)
            raise UserError(f"{self.name} cannot be downloaded by this program; {self.remedy(places)}")
        try:
            source = self._below(places.cache_dir)
            if source is not None and source.folder is not None:
                self.read(source.folder)
                return source
        except DataError:
            pass  # a broken copy is replaced
        target = places.cache_dir / self.where[0]  # the place that `find` tries first
        install(self.name, self.downloads, target, check=self._load_folder, progress=progress)
        return self.inspect(target)

    def load(self, source: Source) -> Content:
        """All splits; their structure, and checksums where they are published, are checked first (DataError)."""
        if source.folder is None:
            if self.bundled is None:
                raise DataUnavailable(f"{self.name}: no installed package holds this data set; {self.remedy()}")
            return self.bundled.read()
        try:
            with looking_at(source.folder):
                return self.read(source.folder)
        except IncompleteFolder:
            raise
        except DataError as error:
            todo = f"put a sound copy of that file there, from {self.home}"
            if self.downloads:
                todo += f", or where that is the cache run: bnnbench data fetch {self.name}"
            raise DataError(f"{printable(error)}; {todo}") from None

    def verify(self, source: Source) -> str:
        """Reads and checks everything; returns the sha256 of the decoded content, however the files were compressed."""
        return self.load(source).digest()

    def find(self, root: Path) -> Path | None:
        """The data set's folder below a data folder, under any usual spelling of its name."""
        return next(iter(folders(root, self.where)[0]), None)

    def remedy(self, places: Places | None = None) -> str:
        """What a user can do to get the data set."""
        if self.downloads:
            return f"run: bnnbench data fetch {self.name}"
        root = places.data_dir if places is not None and places.data_dir is not None else "$BNNBENCH_DATA"
        return f"get it from {self.home} and put it in {root}/{self.where[0]}"

    def incomplete(self, folder: Path, missing: Iterable[str]) -> IncompleteFolder:
        """The error for a folder that lacks files."""
        packed = [item.filename for item in self.downloads if item.is_archive and (folder / item.filename).is_file()]
        todo = f"unpack {', '.join(packed)} there" if packed else f"complete it from {self.home}"
        own = {spelling(place) for place in self.where if not Path(place).suffix}
        if self.downloads and not packed and spelling(folder.name) in own:  # the folder holds no other data set then
            todo += f", or rename the folder and {self.remedy()}"
        return IncompleteFolder(f"{self.name}: {folder} lacks {', '.join(missing)}; {todo}")

    def describe(self, folder: Path, files: Iterable[Path], official: bool, note: str, part: str = "") -> Source:
        """The Source for files in a folder; `part` marks a folder that holds only some of the splits."""
        key = f"{self.name}[{part}]" if part else self.name
        whole = tuple(files)
        identity = f"official:{key}" if official else f"copy:{key}-{names_and_sizes(folder, whole)}"
        return Source(self.name, "official" if official else "copy", identity, folder, note, whole)

    def _bundled_source(self, bundled: Bundled) -> Source:
        return Source(self.name, "bundled", f"bundled:{bundled.identity}", None, bundled.note)

    def _load_folder(self, folder: Path) -> None:
        self.inspect(folder)
        self.read(folder)
