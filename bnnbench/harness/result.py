"""The record that a job leaves: `result.json`, validated when written and when read."""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from bnnbench.errors import UserError
from bnnbench.harness.files import write_atomic

SCHEMA_VERSION = 1
Status = Literal["ok", "diverged", "skipped"]


class Record(BaseModel):
    """A part of a result; unknown fields are an error, so that an old reader does not misread a new file."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SeedRecord(Record):
    """What one seed gave, and what it cost."""

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
    """A data set as it was used: where it came from and what it held."""

    name: str
    provenance: str
    identity: str
    checksum: str
    note: str = ""


class Result(Record):
    """What a job leaves (see `docs/architecture.md`, "The walk of one job")."""

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


def write(path: Path, result: Result) -> None:
    """Writes the record whole or not at all."""
    write_atomic(path, result.model_dump_json(indent=1) + "\n")


def read(path: Path) -> Result:
    """Reads a record; a file that is not one raises `UserError` with the way out."""
    try:
        return Result.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise UserError(
            f"{path}: not a result of this version ({first}); delete it to have it computed again"
        ) from error
