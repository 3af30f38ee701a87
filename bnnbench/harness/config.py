"""What to reproduce, at which scale, where data and results live: `config/config.yaml`, validated."""

import difflib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, ValidationError, field_validator

from bnnbench.errors import UserError

Scale = Literal["smoke", "laptop", "paper"]
SCALES: tuple[Scale, ...] = get_args(Scale)
DEFAULT_PATH = Path("config/config.yaml")


def _no_repeats(seeds: list[int]) -> list[int]:
    if repeated := sorted({seed for seed in seeds if seeds.count(seed) > 1}):
        raise ValueError(f"seed {repeated[0]} is listed more than once; every seed must be different")
    return seeds


Seed = Annotated[int, Strict(), Field(ge=0, le=2**63 - 1)]
SeedList = Annotated[list[Seed], Field(min_length=1), AfterValidator(_no_repeats)]


class Section(BaseModel):
    """A mapping in a YAML file; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataConfig(Section):
    """Where data sets may come from; `null` leaves the choice to the scale."""

    dir: Path | None = Field(
        None, validate_default=True, description="your own folder of data sets; $BNNBENCH_DATA where null"
    )
    cache: Path | None = Field(None, description="downloads; ~/.cache/bnnbench where null")
    download: bool | None = Field(None, description="fetch from the official address; null: at paper scale only")
    bundled: bool | None = Field(None, description="use stand-ins of installed packages; null: not at paper scale")

    @field_validator("dir")
    @classmethod
    def _from_environment(cls, given: Path | None) -> Path | None:
        # Resolved once, so that a job on another machine sees what the plan saw.
        named = os.environ.get("BNNBENCH_DATA")
        chosen = given or (Path(named) if named else None)
        return chosen.expanduser().absolute() if chosen else None


class Config(Section):
    """The configuration of a reproduction."""

    scale: Scale = "laptop"
    papers: Annotated[list[str], Field(min_length=1)] | Literal["all"] = "all"
    experiments: list[str] = Field([], description="names or patterns (`binarized/*`); empty: all of the papers")
    variants: list[str] = Field([], description="names or patterns of variants; empty: all that the scale has")
    seeds: SeedList | None = Field(None, description="seeds to run; null: those of the scale")
    params: dict[str, dict[str, Any]] = Field({}, description="per experiment: parameters to override")
    add_variants: dict[str, dict[str, dict[str, Any]]] = Field(
        {}, description="per experiment: variants of your own by name, with the parameters that make them"
    )
    data: DataConfig = Field(default_factory=DataConfig)
    kernels: bool | None = Field(None, description="time the kernels; null: not at smoke scale")
    results: Path = Path("results")
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def folder(self) -> Path:
        """The results of this scale."""
        return self.results.expanduser() / self.scale

    def times_kernels(self) -> bool:
        """Whether the workflow times the kernels."""
        return self.scale != "smoke" if self.kernels is None else self.kernels

    def cache_dir(self) -> Path:
        """Where downloads are kept."""
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return (self.data.cache or Path(home) / "bnnbench").expanduser()

    def may_download(self) -> bool:
        """Whether data sets may be fetched from their official addresses."""
        return self.scale == "paper" if self.data.download is None else self.data.download

    def may_use_bundled(self) -> bool:
        """Whether stand-ins that ship inside installed packages may be used."""
        return self.scale != "paper" if self.data.bundled is None else self.data.bundled


def load(source: str = str(DEFAULT_PATH), changes: Mapping[str, Any] | None = None) -> Config:
    """The configuration in a file, or in JSON text, with `changes` to its top keys; without the default file: defaults.

    The workflow hands its jobs the text, so that they need no file and see what the plan saw.
    """
    if source.startswith("{"):
        try:
            values = json.loads(source)
        except ValueError as error:
            raise UserError(f"{name(source)}: not valid JSON: {error}") from error
    elif Path(source).exists():
        values = read_yaml(Path(source))
    elif Path(source) == DEFAULT_PATH:
        values = {}
    else:
        raise UserError(f"{source}: no such file")
    return validate({**values, **(changes or {})}, name(source))


def name(source: str) -> str:
    """What errors call a configuration."""
    return "the workflow's configuration" if source.startswith("{") else source


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping; anything else is one line that says where."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise UserError(f"{path}: not valid YAML{where}: {getattr(error, 'problem', error)}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UserError(f"{path}: must hold keys with values (scale: laptop), not a {type(values).__name__}")
    return values


def validate(values: Mapping[str, Any], where: str) -> Config:
    """The configuration that `values` holds; `where` names their origin in errors."""
    return parse(Config, values, where)


M = TypeVar("M", bound=BaseModel)


def parse(model: type[M], values: Mapping[str, Any], where: str, prefix: str = "") -> M:
    """`values` as a `model`; the first mistake becomes one line: where, which key, what is possible."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        # An unknown key comes first: it often explains the missing one.
        first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
        raise UserError(f"{where}: {_sentence(model, first, prefix)}") from None


def _sentence(model: type[BaseModel], error: Any, prefix: str) -> str:
    path = [
        str(part) for part in error["loc"] if not str(part).startswith(("list[", "literal[", "function-", "constr"))
    ]
    name = (prefix + ".".join(path)).rstrip(".: ")  # a mistake in how keys go together has no path
    value = error["input"]
    explain: dict[str, Callable[[], str]] = {
        "extra_forbidden": lambda: _unknown_key(model, path, prefix),
        "literal_error": lambda: f"{name} {value!r} is not one of {_choices(error['ctx']['expected'])}",
        "missing": lambda: f"{name} is missing",
        "value_error": lambda: f"{name}: {error['ctx']['error']}",
        "list_type": lambda: f"{name} is {value!r}; it must be a list: [{value}]",
        "dict_type": lambda: f"{name} is {value!r}; it must hold keys with values",
        "too_short": lambda: f"{name} is empty; name at least one",
    }
    other = f"{name} is {value!r}: {error['msg'][0].lower()}{error['msg'][1:]}"
    return explain[error["type"]]() if error["type"] in explain else other


def _choices(expected: str) -> str:
    return expected.replace("'", "").replace(" or ", ", ")


def _unknown_key(model: type[BaseModel], path: list[str], prefix: str) -> str:
    for part in path[:-1]:
        field = model.model_fields.get(part)
        if field is not None and isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            model = field.annotation
    return unknown("key", prefix + ".".join(path), sorted(model.model_fields), path[-1])


def unknown(kind: str, name: str, known: list[str], last: str | None = None) -> str:
    """`no key 'scal'; did you mean 'scale'?`, or the list of what there is."""
    close = difflib.get_close_matches(last or name, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known) or 'none'}"
    return f"no {kind} {name!r}; {hint}"
