"""First stages: the number of seeds that settle a comparison, recorded before they are run (Stein's two-stage rule).

A first stage records what the configured seeds gave for one comparison of a claim: their number n1, their standard
deviation s1, and the number N of seeds that settle the comparison at the resolution d of the claim. It is valid only
for the keys of the jobs that it was computed from, and so not for other parameters, code or data. Its file is written
once and never updated from later results.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import Field, ValidationError, model_validator

from bnnbench.errors import UserError
from bnnbench.harness.config import Config
from bnnbench.harness.files import is_as_written, read_json, seal, write_json
from bnnbench.harness.result import Record

FOLDER = "settled"


class FirstStage(Record):
    """The first stage of one comparison of one claim, with the seeds that it asks for."""

    claim: str = Field(description="paper/claim")
    quantity: str
    variants: list[str] = Field(description="paper/experiment/variant: what the quantity is made of")
    resolution: float = Field(gt=0, description="d, the half-width to reach")
    deviation: float = Field(ge=0, description="s1, over the first seeds")
    first: list[int] = Field(min_length=2, description="the n1 configured seeds")
    seeds: list[int] = Field(description="all N seeds, the first ones included")
    keys: dict[str, str] = Field(description="job: key, of the jobs of the first seeds")

    @model_validator(mode="after")
    def _begins_with_the_first(self) -> "FirstStage":
        if self.seeds[: len(self.first)] != self.first or len(set(self.seeds)) != len(self.seeds):
            raise ValueError("its seeds do not begin with the first ones, or one is there twice")
        return self

    def added(self) -> list[str]:
        """The jobs that the first stage adds: one for each variant and each seed beyond the first ones."""
        return [f"{variant}@{seed}" for variant in self.variants for seed in self.seeds[len(self.first) :]]


def seeds(first: Sequence[int], count: int) -> list[int]:
    """`count` seeds: the `first` ones, followed by those above the largest of them."""
    following = max(first) + 1
    return [*first, *range(following, following + count - len(first))]


def write(config: Config, stage: FirstStage) -> Path:
    """Writes a first stage to its file; an existing one of the same comparison and jobs is kept."""
    path = _path(config, stage)
    if not path.exists():
        write_json(path, stage.model_dump())
        seal(path)
    return path


def read(path: Path) -> FirstStage:
    """The first stage in a file; `UserError` where the file does not hold one."""
    try:
        stage = FirstStage.model_validate(read_json(path))
    except (OSError, ValueError, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise UserError(f"{path}: not a first stage ({first}); delete it and run: bnnbench settle") from error
    return stage


def paths(config: Config) -> list[Path]:
    """The files of all first stages of a results folder."""
    return sorted((config.folder() / FOLDER).glob("*/*/*.json"))


def current(config: Config, keys: Mapping[str, Mapping[str, str]]) -> Iterator[FirstStage]:
    """The first stages that belong to the jobs of a plan; `keys` holds, for each variant, its jobs with their keys.

    A file that was changed since it was written is ignored; `mend` sets it aside.
    """
    for path in paths(config):
        try:
            stage = read(path)
        except UserError:
            continue
        planned: dict[str, str] = {}
        for variant in stage.variants:
            planned |= keys.get(variant, {})
        if is_as_written(path) and planned == stage.keys:
            yield stage


def added_seeds(stages: Iterable[FirstStage]) -> dict[str, list[int]]:
    """For each variant, the seeds that first stages add to the configured ones, each once."""
    added: dict[str, set[int]] = {}
    for stage in stages:
        for variant in stage.variants:
            added.setdefault(variant, set()).update(stage.seeds[len(stage.first) :])
    return {variant: sorted(seeds) for variant, seeds in added.items()}


def _path(config: Config, stage: FirstStage) -> Path:
    of = "\n".join([stage.quantity, *(f"{job} {key}" for job, key in sorted(stage.keys.items()))])
    name = hashlib.blake2b(of.encode(), digest_size=8).hexdigest()
    return config.folder() / FOLDER / stage.claim / f"{name}.json"
