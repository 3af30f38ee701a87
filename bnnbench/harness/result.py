"""The record that a job writes: `result.json`, validated when written and when read."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from bnnbench.errors import UserError
from bnnbench.harness.files import is_as_written, read_json, write_atomic

if TYPE_CHECKING:
    from bnnbench.harness.plan import Job

SCHEMA_VERSION = 2
Status = Literal["ok", "diverged", "skipped"]


class Record(BaseModel):
    """A part of a result; unknown fields are an error, so that an old reader does not misread a new file."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SeedRecord(Record):
    """The outcome and the cost of one seed."""

    seed: int
    status: Literal["ok", "diverged"]
    reason: str = ""
    metrics: dict[str, float] = {}
    tables: list[str] = []
    warnings: list[str] = []
    wall_seconds: float
    cpu_seconds: float
    energy_joules: float | None = None
    resumed: int = 0


class MetricRecord(Record):
    """Unit and direction of a metric."""

    unit: str = ""
    higher_is_better: bool | None = None
    description: str = ""


class DataRecord(Record):
    """A data set as it was used: its origin and its content."""

    name: str
    provenance: str
    identity: str
    checksum: str
    note: str = ""


class VerifiedData(DataRecord):
    """The record that the workflow keeps of a verified data set, with a fingerprint of its files at that time."""

    fingerprint: str = ""


class Result(Record):
    """The record of a job (see `docs/architecture.md`, "The walk of one job")."""

    schema_version: int = SCHEMA_VERSION
    job: str
    key: str
    paper: str
    experiment: str
    variant: str
    scale: str
    params: dict[str, Any]
    status: Status
    reason: str = ""
    seeds: list[SeedRecord] = []
    metrics: dict[str, MetricRecord] = {}
    datasets: list[DataRecord] = []
    environment: str = ""
    device: str = "cpu"
    threads: int = 1
    processes: int = 1
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_mb: float = 0.0
    energy_joules: float | None = None
    finished: float = 0.0
    warnings: list[str] = []
    curve_rows: int | None = None
    """The number of rows of `history.jsonl`."""
    digest: str = ""
    """Digest of all other fields, which reveals a change by hand or by a disk; records of version 1 have none."""


def write(path: Path, result: Result) -> Result:
    """Writes the record completely or not at all, with its digest, and returns it as `read` gives it."""
    complete = result.model_copy(update={"digest": digest(result)})
    write_atomic(path, complete.model_dump_json(indent=1) + "\n")
    return complete


def digest(record: Record) -> str:
    """Hex digest of all fields of a record except its digest."""
    content = json.dumps(record.model_dump(mode="json", exclude={"digest"}), sort_keys=True)
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


def read(path: Path) -> Result:
    """Reads a record; `UserError` with a remedy for a file that is not a record or was changed since it was written."""
    try:
        record = Result.model_validate(read_json(path))
        if record.schema_version > 1 and record.digest != digest(record):
            raise ValueError("it was changed since it was written")
    except (OSError, ValueError, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise UserError(
            f"{path}: not a result of this version ({first}); delete it to have it computed again"
        ) from error
    return record


def read_of(job: "Job", path: Path) -> Result:
    """Reads the record of `job`; `UserError` for a record of another job, key or seeds, and for missing tables."""
    record = read(path)
    for name in ("key", "paper", "experiment", "variant", "scale"):
        if getattr(record, name) != getattr(job, name):
            raise UserError(f"{path}: is of {name} {getattr(record, name)}, not {getattr(job, name)}; delete it")
    seeds = [seed.seed for seed in record.seeds]
    if record.job != job.id or (record.status != "skipped" and seeds != list(job.seeds)):
        raise UserError(
            f"{path}: is of {record.job} with seeds {seeds}, not {job.id} with {list(job.seeds)}; delete it"
        )
    for table in (table for seed in record.seeds for table in seed.tables):
        if not is_as_written(path.parent / table):
            raise UserError(
                f"{path}: its table {table} is missing or was changed; delete this record to have it computed again"
            )
    return record
