"""Data sets as the harness sees them: where one may come from, which source was chosen, and the record of its use."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bnnbench.errors import DataError, DataUnavailable, UserError
from bnnbench.harness import files
from bnnbench.harness.config import Config, parse, read_yaml
from bnnbench.harness.result import DataRecord, VerifiedData


class Source(Protocol):
    """The chosen source of one data set."""

    @property
    def dataset(self) -> str: ...  # noqa: D102
    @property
    def provenance(self) -> str: ...  # noqa: D102
    @property
    def identity(self) -> str: ...  # noqa: D102
    @property
    def folder(self) -> Path | None: ...  # noqa: D102
    @property
    def note(self) -> str: ...  # noqa: D102


class Dataset(Protocol):
    """A registered data set: one of the project's own, in `bnnbench.data`, or one that another package registers."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def title(self) -> str: ...  # noqa: D102
    @property
    def task(self) -> str: ...  # noqa: D102
    @property
    def downloadable(self) -> bool: ...  # noqa: D102
    def locate(self, places: Any) -> Source: ...  # noqa: D102
    def fetch(self, places: Any, progress: bool = False) -> Source: ...  # noqa: D102
    def verify(self, source: Any) -> str: ...  # noqa: D102
    def load(self, source: Any) -> Any: ...  # noqa: D102


@dataclass(frozen=True)
class Places:
    """Where data may come from, in this order: the user's folder, the download cache, a bundled stand-in."""

    data_dir: Path | None
    cache_dir: Path
    download: bool
    bundled: bool


@dataclass(frozen=True)
class Availability:
    """What planning knows about a data set: its identity, and the reason where it is unavailable."""

    name: str
    identity: str
    provenance: str
    note: str
    unavailable: str = ""
    folder: Path | None = None


def places(config: Config) -> Places:
    """The places that a configuration allows."""
    return Places(config.data.dir, config.cache_dir(), config.may_download(), config.may_use_bundled())


def availability(dataset: Dataset, config: Config) -> Availability:
    """Where `dataset` would come from, determined without reading it or using the network."""
    try:
        source = dataset.locate(places(config))
    except DataUnavailable as missing:
        if config.may_download() and dataset.downloadable:
            # The identity is the same as after the download, so that fetching does not make results stale.
            return Availability(dataset.name, f"official:{dataset.name}", "official", "will be downloaded")
        return Availability(dataset.name, "unavailable", "", "", str(missing))
    except DataError as broken:
        # This is not a reason to skip: the jobs that need the data set must fail where the user sees it.
        return Availability(dataset.name, "broken", "", str(broken))
    note = source.note
    if source.folder is None and config.data.dir is not None:
        note += f" (your data folder has no {dataset.name})"
    return Availability(dataset.name, source.identity, source.provenance, note, folder=source.folder)


def is_fetchable(dataset: Dataset, availability: Availability) -> bool:
    """Whether this machine lacks the data set, or has only a stand-in, and its official address could provide it."""
    return dataset.downloadable and availability.folder is None and availability.identity != "broken"


def present(datasets: Iterable[Dataset], config: Config) -> list[str]:
    """Names of those data sets that are available without a download."""
    offline = config.model_copy(update={"data": config.data.model_copy(update={"download": False})})
    return sorted(dataset.name for dataset in datasets if availability(dataset, offline).provenance)


def obtain(dataset: Dataset, config: Config, progress: bool = False) -> Source:
    """The source of `dataset`, downloaded where that is needed and allowed."""
    try:
        return dataset.locate(places(config))
    except DataUnavailable:
        if not (config.may_download() and dataset.downloadable):
            raise
    return dataset.fetch(places(config), progress)


def fingerprint(source: Source) -> str:
    """A fingerprint of a source's files that needs no reading; empty where a data set of another package has none."""
    return str(getattr(source, "fingerprint", ""))


def record(dataset: Dataset, config: Config, progress: bool = False) -> VerifiedData:
    """Obtains and verifies `dataset`: every byte is read and checked."""
    source = obtain(dataset, config, progress)
    seen = fingerprint(source)
    checksum = dataset.verify(source)
    return VerifiedData(
        fingerprint=seen,
        name=dataset.name,
        provenance=source.provenance,
        identity=source.identity,
        checksum=checksum,
        note=source.note,
    )


def record_path(config: Config, name: str, identity: str) -> Path:
    """Where the workflow keeps the record of a verified data set; each source has its own record."""
    digest = hashlib.blake2b(identity.encode(), digest_size=4).hexdigest()
    return config.folder() / "datasets" / f"{name}-{digest}.json"


def write_record(path: Path, value: VerifiedData) -> None:
    """Writes the record of a verified data set, with a seal."""
    files.write_json(path, value.model_dump())
    files.seal(path)


def read_record(config: Config, dataset: Dataset, source: Source) -> DataRecord:
    """The record of `source` that the workflow made, or a new one where there is none for exactly these files."""
    known = known_record(config, dataset.name, source.identity)
    if known is None or known.fingerprint != fingerprint(source):
        known = record(dataset, config)
    return DataRecord.model_validate(known.model_dump(exclude={"fingerprint"}))


def known_record(config: Config, name: str, identity: str) -> VerifiedData | None:
    """The record that the workflow made of the data set `name`; `None` where there is no readable one."""
    try:
        known = read_verified(record_path(config, name, identity))
    except UserError:
        return None
    return known if known.identity == identity else None


def read_verified(path: Path) -> VerifiedData:
    """The record in a file; `UserError` where the file is missing, not a record, or changed since it was written."""
    if not files.is_as_written(path):
        raise UserError(f"{path}: missing or changed since it was written; delete it and run: snakemake")
    return parse(VerifiedData, read_yaml(path), str(path))
