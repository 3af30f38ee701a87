"""The validated `config/config.yaml`: what to reproduce, at which scale, and where data and results are."""

import difflib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, ValidationError, field_validator

from bnnbench.errors import UserError
from bnnbench.harness import strict_yaml

Scale = Literal["smoke", "laptop", "paper"]
SCALES: tuple[Scale, ...] = get_args(Scale)
DEFAULT_PATH = Path("config/config.yaml")
SHOWN = 30
"""The number of known names that an error message about an unknown name lists."""


T = TypeVar("T", int, str)


def _no_repeats(values: list[T]) -> list[T]:
    if repeated := sorted({value for value in values if values.count(value) > 1}):
        raise ValueError(f"{repeated[0]} is listed more than once; each must be different")
    return values


def _expanded(path: Path) -> Path:
    """A path with `~` replaced; `~name` without such a user is an error, and so is a path that looks like an option."""
    if str(path).startswith("-") or any(ord(character) < 32 for character in str(path)):
        raise ValueError(f"{str(path)!r} cannot be the name of a folder here; begin it with ./ or choose another name")
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError(f"{str(path)!r}: there is no such home directory; give the path in full") from None


def _no_pattern(path: Path) -> Path:
    if re.search(r"[{}]", str(path)):
        raise ValueError(f"{str(path)!r} holds braces, which Snakemake takes for a pattern; choose another folder")
    return path


Seed = Annotated[int, Strict(), Field(ge=0, le=2**63 - 1)]
SeedList = Annotated[list[Seed], Field(min_length=1), AfterValidator(_no_repeats)]
Folder = Annotated[Path, AfterValidator(_expanded)]


class Section(BaseModel):
    """A mapping in a YAML file; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataConfig(Section):
    """Where data sets may come from; `null` leaves the choice to the scale."""

    dir: Folder | None = Field(
        None, validate_default=True, description="your own folder of data sets; $BNNBENCH_DATA where null"
    )
    cache: Folder | None = Field(None, description="downloads; ~/.cache/bnnbench where null")
    download: bool | None = Field(None, description="fetch from the official address; null: at paper scale only")
    bundled: bool | None = Field(None, description="use stand-ins of installed packages; null: not at paper scale")

    @field_validator("dir")
    @classmethod
    def _from_environment(cls, given: Path | None) -> Path | None:
        # Resolved once, so that a job on another machine uses the same folder as the plan.
        named = os.environ.get("BNNBENCH_DATA")
        chosen = given or (_expanded(Path(named)) if named else None)
        return chosen.absolute() if chosen else None


class Config(Section):
    """The configuration of a reproduction."""

    scale: Scale = "laptop"
    papers: Annotated[list[str], Field(min_length=1), AfterValidator(_no_repeats)] | Literal["all"] = "all"
    experiments: list[str] = Field([], description="names or patterns (`binarized/*`); empty: all of the papers")
    variants: list[str] = Field([], description="names or patterns of variants; empty: all that the scale has")
    seeds: SeedList | None = Field(None, description="seeds to run; null: those of the scale")
    params: dict[str, dict[str, Any]] = Field({}, description="per experiment: parameters to override")
    add_variants: dict[str, dict[str, dict[str, Any]]] = Field(
        {}, description="per experiment: variants of your own by name, with the parameters that make them"
    )
    data: DataConfig = Field(default_factory=DataConfig)
    kernels: bool | None = Field(None, description="time the kernels; null: not at smoke scale")
    results: Annotated[Folder, AfterValidator(_no_pattern)] = Path("results")
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def folder(self) -> Path:
        """The folder with the results of this scale."""
        return self.results / self.scale

    def lock(self) -> Path:
        """The lock file of the workflow that is running in this results folder."""
        return self.results / ".workflow.lock"

    def times_kernels(self) -> bool:
        """Whether the workflow times the kernels."""
        return self.scale != "smoke" if self.kernels is None else self.kernels

    def cache_dir(self) -> Path:
        """The folder for downloads: as configured, or else in $XDG_CACHE_HOME or ~/.cache; in /tmp without a home."""
        return self.data.cache or user_cache() / "bnnbench"

    def may_download(self) -> bool:
        """Whether data sets may be fetched from their official addresses."""
        return self.scale == "paper" if self.data.download is None else self.data.download

    def may_use_bundled(self) -> bool:
        """Whether stand-ins that ship inside installed packages may be used."""
        return self.scale != "paper" if self.data.bundled is None else self.data.bundled


def user_cache() -> Path:
    """$XDG_CACHE_HOME or ~/.cache; a folder in /tmp where there is no home."""
    if named := os.environ.get("XDG_CACHE_HOME"):
        return Path(named)
    try:
        return Path.home() / ".cache"
    except RuntimeError:  # there is neither $HOME nor an account
        return Path(tempfile.gettempdir()) / f"cache-{os.getuid()}"


def load(source: str = str(DEFAULT_PATH), changes: Mapping[str, Any] | None = None) -> Config:
    """The configuration in a file or in JSON text, with `changes` to its top keys.

    Where the default file does not exist, the configuration is the default one. The workflow gives its jobs the text,
    so that they need no file and use the same configuration as the plan.
    """
    if source.startswith("{"):
        try:
            values = json.loads(source)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{name(source)}: not valid JSON: {error}") from error
    elif Path(source) == DEFAULT_PATH and not DEFAULT_PATH.exists():
        values = {}
    else:
        values = read_yaml(Path(source))
    return validate({**values, **(changes or {})}, name(source))


def load_for_workflow(files: Iterable[Path], words: Iterable[str], where: str) -> Config:
    """The configuration of a workflow: its files, each of which overrides the earlier ones, then `key=value` arguments.

    Snakemake also reads them, but it takes the last value of a key that is given twice, reads `010` as 8, and reads
    every list on the command line as a list of texts.
    """
    values: dict[str, Any] = {}
    for path in files:
        values = merged(values, read_yaml(path))
    for word in words:
        key, _, text = word.partition("=")
        values = merged(values, {key: strict_yaml.load(text, f"--config {key}")})
    return validate(values, where)


def merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with `changes`; where both hold a mapping, its keys are merged in the same way."""
    both = dict(values)
    for key, change in changes.items():
        old = both.get(key)
        both[key] = merged(old, change) if isinstance(old, Mapping) and isinstance(change, Mapping) else change
    return both


def nested(key: str, value: Any) -> dict[str, Any]:
    """`{"a": {"b": value}}` for the key `a.b`."""
    first, _, rest = key.partition(".")
    return {first: nested(rest, value) if rest else value}


def name(source: str) -> str:
    """The name of a configuration in error messages."""
    return "the workflow's configuration" if source.startswith("{") else source


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; anything else raises `UserError` with one line that names the place."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 (byte {error.start}); save it in that encoding") from error
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    values = strict_yaml.load(text, str(path))
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UserError(f"{path}: must hold keys with values (scale: laptop), not a {type(values).__name__}")
    return values


def validate(values: Mapping[str, Any], where: str) -> Config:
    """The configuration that `values` holds; `where` names their origin in errors."""
    return parse(Config, values, where)


M = TypeVar("M", bound=BaseModel)


def parse(model: type[M], values: Mapping[str, Any], where: str, prefix: str = "", texts: bool = False) -> M:
    """`values` as a `model`; the first mistake raises `UserError` with one line: where, which key, what is possible.

    With `texts` all values are texts, as in a CSV file, and numbers are parsed from them.
    """
    try:
        if texts:
            return model.model_validate_strings(dict(values))
        parsed = model.model_validate(dict(values))
        for key, given, kind in _misread(dict(values), parsed):
            raise UserError(f"{where}: {prefix}{key} is {given!r}, where {kind} belongs")
        return parsed
    except ValidationError as error:
        # An unknown key comes first: it often explains the missing one.
        first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        raise UserError(f"{where}: {_sentence(model, first, prefix)}") from None


def _misread(given: Any, read: Any, key: str = "") -> Iterator[tuple[str, Any, str]]:
    """Values that pydantic converted too leniently: texts to numbers, and truth values to numbers or the reverse."""
    if isinstance(given, Mapping) and isinstance(read, BaseModel | Mapping):
        parts = read if isinstance(read, Mapping) else dict(read)
        for name, value in given.items():
            yield from _misread(value, parts.get(name), f"{key}.{name}" if key else str(name))
    elif isinstance(given, list | tuple) and isinstance(read, list | tuple):
        for k, (value, part) in enumerate(zip(given, read, strict=False)):
            yield from _misread(value, part, f"{key}.{k}")
    elif isinstance(read, bool) and not isinstance(given, bool):
        yield key, given, "true or false"
    elif isinstance(read, int | float) and not isinstance(read, bool) and isinstance(given, str | bool):
        yield key, given, "a number"


def _sentence(model: type[BaseModel], error: Any, prefix: str) -> str:
    path = [
        str(part) for part in error["loc"] if not str(part).startswith(("list[", "literal[", "function-", "constr"))
    ]
    name = (prefix + ".".join(path)).rstrip(".: ")  # a mistake in a combination of keys has no path
    value = error["input"]
    explain: dict[str, Callable[[], str]] = {
        "extra_forbidden": lambda: _unknown_key(model, path, prefix),
        "literal_error": lambda: f"{name} {value!r} is not one of {_choices(error['ctx']['expected'])}",
        "missing": lambda: f"{name} is missing",
        "value_error": lambda: f"{name}: {error['ctx']['error']}",
        "list_type": lambda: f"{name} is {value!r}; it must be a list: [{value}]",
        "dict_type": lambda: f"{name} is {value!r}; it must hold keys with values",
        "too_short": lambda: f"{name} is empty; name at least one",
        "recursion_loop": lambda: f"{name} contains itself",
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
    different = list(dict.fromkeys(known))
    rest = f" and {len(different) - SHOWN} more" if len(different) > SHOWN else ""
    hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(different[:SHOWN]) or 'none'}{rest}"
    return f"no {kind} {name!r}; {hint}"
