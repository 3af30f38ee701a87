"""The folder of a paper: `paper.yaml` (experiments, grids, scales) and `published.csv`."""

import csv
import re
from dataclasses import dataclass
from functools import cache
from io import StringIO
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from bnnbench.errors import UserError
from bnnbench.harness import registry
from bnnbench.harness.config import Scale, Section, SeedList, parse, read_yaml, unknown
from bnnbench.harness.experiment import Experiment, Study
from bnnbench.harness.registry import NAME, NAME_RULE, N

RULES = frozenset(
    ["all", "claims", "collect", "dataset", "experiment", "figure", "kernels", "page", "report", "table", "track"]
)
FOLDERS = frozenset(["collected", "datasets", "environments", "figures", "logs", "settled", "shared"])
PAPER = re.compile(r"[a-z][a-z0-9_-]{0,49}")


class Resources(Section):
    """The resources that one job needs."""

    threads: PositiveInt = 1
    memory_mb: PositiveInt = 1500
    minutes: PositiveFloat = Field(5.0, description="estimated time of a job on the recommended machine")
    gpus: NonNegativeInt = 0


class ScaleSpec(Section):
    """How an experiment runs at one scale."""

    seeds: SeedList = [0]
    seed_per_job: bool | None = Field(None, description="one job a seed; null: at paper scale only")
    params: dict[str, Any] = {}
    variants: list[str] | None = Field(None, description="the variants that this scale runs; null: all")
    variant_params: dict[str, dict[str, Any]] = Field({}, description="variant: what it has otherwise at this scale")
    variant_seeds: dict[str, SeedList] = Field({}, description="variant or cell, or a pattern: its own seeds")
    grid: dict[str, list[Any]] = Field({}, description="parameter of the grid: its values at this scale")
    resources: Resources = Resources()


class Choice(Section):
    """A parameter for which the paper and its released code have different values; `vary` judges claims under each."""

    parameter: str = Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$", description="its name, dotted: options.length")
    alternatives: dict[str, Any] = Field(min_length=2, description="who says so: the value")
    source: str = Field(min_length=1, description="where both say so")
    variants: list[str] = Field([], description="names or patterns of the variants that it is about; empty: all")


class ExperimentSpec(Section):
    """One experiment of a paper: its module, its grid and its scales."""

    title: str
    module: str = Field("", description="module below the paper's package that declares the experiment")
    study: str = Field("", description="instead: the full name of a module whose one study computes it")
    source: str = Field("", description="where in the paper: section, table, figure")
    deviations: list[str] = Field([], description="known differences from the paper")
    params: dict[str, Any] = {}
    variants: dict[str, dict[str, Any]] = Field({"default": {}}, description="name: parameters that make it")
    grid: dict[str, list[Any]] = Field({}, description="parameter (dotted: options.length): values; crossed")
    choices: dict[str, Choice] = Field({}, description="where paper and released code disagree and it is a parameter")
    scales: dict[Scale, ScaleSpec]

    @model_validator(mode="after")
    def _computed_by_one(self) -> "ExperimentSpec":
        if bool(self.module) == bool(self.study):
            raise ValueError("name either module or study: which code computes it")
        return self


class PaperSpec(Section):
    """A publication and its experiments."""

    title: str
    authors: str
    venue: str
    year: int
    url: str = ""
    experiments: dict[str, ExperimentSpec]


Origin = Literal["paper", "authors' code", "digitised", "recalled"]


class Published(Section):
    """A number that a paper prints; `value` is `None` where the number is not available to us."""

    experiment: str
    variant: str = ""
    model: str
    dataset: str
    metric: str
    value: float | None = None
    std: float | None = None
    unit: str = ""
    source: str
    origin: Origin = Field(
        description="read in the paper, from its authors' runs, off a picture, or not checked at all"
    )
    note: str = ""

    @property
    def label(self) -> str:
        """The origin, where it is not the paper itself."""
        return "" if self.origin == "paper" else self.origin

    @property
    def compared(self) -> float | None:
        """The value that ours is compared with; `None` where there is none or it was not checked against the paper."""
        return None if self.origin == "recalled" else self.value


@dataclass(frozen=True)
class Paper:
    """A registered paper."""

    name: str
    package: str
    folder: Path
    spec: PaperSpec

    def module(self, experiment: str) -> str:
        """The full name of the module that computes `experiment`."""
        spec = self.spec.experiments[experiment]
        return spec.study or f"{self.package}.{spec.module}"

    def declaration(self, experiment: str) -> Experiment[Any]:
        """The `@experiment` or `@study` object behind `experiment`."""
        kind = Study if self.spec.experiments[experiment].study else Experiment
        return _declaration(self.name, experiment, self.module(experiment), kind)

    def declared(self, part: str, kind: type[N]) -> list[N]:
        """What the paper declares in its module or package `part`, "claims" or "figures"; empty without such a part."""
        names = [f"{self.name}/{experiment}" for experiment in self.spec.experiments]
        return registry.declared(f"{self.package}.{part}", kind, names)

    def published(self) -> list[Published]:
        """The numbers that the paper prints, from `published.csv`."""
        return _published(self.folder / "published.csv")


@cache
def get(name: str) -> Paper:
    """The paper called `name`; an unknown name raises `UserError` with the nearest known one."""
    folders = registry.paper_folders()
    if name not in folders:
        raise UserError(unknown("paper", name, sorted(folders)))
    package, folder = folders[name]
    if name in RULES | FOLDERS:
        raise UserError(
            f"paper {name!r}: the workflow has a rule or a folder of this name; register it under another one"
        )
    if not PAPER.fullmatch(name):
        raise UserError(f"paper {name!r}: the name must begin with a-z and may hold only a-z, 0-9, _ and -; change it")
    spec = parse(PaperSpec, read_yaml(folder / "paper.yaml"), f"{name}/paper.yaml")
    for key in (*spec.experiments, *(v for e in spec.experiments.values() for v in e.variants)):
        if not NAME.fullmatch(key):
            raise UserError(f"{name}/paper.yaml: name {key!r}: {NAME_RULE}")
    return Paper(name, package, folder, spec)


def names() -> list[str]:
    """Names of all registered papers."""
    return sorted(registry.paper_folders())


@cache
def _declaration(paper: str, experiment: str, module: str, kind: type[Experiment[Any] | Study[Any]]) -> Experiment[Any]:
    name, members = f"{paper}/{experiment}", registry.members(module, kind)
    if kind is Study:
        studies = [one.named(name) for one in members if isinstance(one, Study)]
        if len(studies) != 1:
            raise UserError(
                f"{paper}/paper.yaml: {experiment}: {module} declares {len(studies)} studies; name one with one"
            )
        return studies[0]
    for declared in members:
        if isinstance(declared, Experiment) and declared.name == name:
            return declared
    raise UserError(f"{paper}/paper.yaml: module {module} declares no experiment {name}")


@cache
def _published(path: Path) -> list[Published]:
    if not path.exists():
        return []
    where = f"{path.parent.name}/{path.name}"
    try:
        text = path.read_text(encoding="utf-8-sig")
        if "\0" in text:
            raise UserError(f"{where}: holds a NUL character; save it as plain text")
        reader = csv.reader(StringIO(text, newline=""), skipinitialspace=True, strict=True)
        lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
        header, *rows = [(line, row) for line, row in lines if any(row)] or [(1, [])]
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: not UTF-8 (byte {error.start}); save it in that encoding") from error
    except (OSError, csv.Error) as error:
        raise UserError(f"{where}: cannot be read as CSV: {error}") from error
    _check_header(header[1], where)
    return [_published_row(dict(zip_longest(header[1], row)), f"{where} row {line}") for line, row in rows]


def _check_header(header: list[str], where: str) -> None:
    if len(header) == 1 and (other := next((mark for mark in ";\t|" if mark in header[0]), None)):
        raise UserError(f"{where}: its columns are separated by {other!r}; save it with commas")
    for column in header:
        if column not in Published.model_fields:
            raise UserError(f"{where}: {unknown('column', column, list(Published.model_fields))}")
    for column, field in Published.model_fields.items():
        if header and field.is_required() and column not in header:
            raise UserError(f"{where}: column {column!r} is missing")


def _published_row(row: dict[str | None, str | None], where: str) -> Published:
    if None in row or None in row.values():
        raise UserError(f"{where}: has another number of cells than the header; quote a cell that holds a comma")
    return parse(Published, {str(key): value for key, value in row.items() if value != ""}, where, texts=True)
