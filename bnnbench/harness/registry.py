"""Papers, methods and data sets, found through entry points; the project's own are registered in the same way."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from pkgutil import walk_packages
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel

from bnnbench.errors import UserError
from bnnbench.harness.config import unknown
from bnnbench.harness.data import Dataset

NAME = re.compile(r"[a-z0-9][a-z0-9._=+-]{0,99}")
"""Names that become parts of paths and of Snakemake's targets."""
NAME_RULE = "it must begin with a-z or 0-9 and may hold only a-z, 0-9 and . _ = + -, at most 100 of them"


class Named(Protocol):
    """A declaration of a paper: a claim or a figure."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def experiments(self) -> tuple[str, ...]: ...  # noqa: D102


T = TypeVar("T")
N = TypeVar("N", bound=Named)
PAPERS, METHODS, DATASETS = "bnnbench.papers", "bnnbench.methods", "bnnbench.datasets"


@cache
def paper_folders() -> dict[str, tuple[str, Path]]:
    """For each paper, its package and the folder with its `paper.yaml`; this does not import the paper."""
    folders: dict[str, tuple[str, Path]] = {}
    for point in _points(PAPERS):
        try:
            spec = find_spec(point.value)
        except Exception as error:
            raise UserError(f"entry point {PAPERS}:{point.name}: {point.value}: {_one_line(error)}") from error
        folder = Path(spec.origin).parent if spec is not None and spec.origin else None
        if folder is None or not (folder / "paper.yaml").exists():
            raise UserError(f"entry point {PAPERS}:{point.name}: package {point.value} holds no paper.yaml")
        if point.name in folders and folders[point.name][0] != point.value:
            raise UserError(f"paper {point.name!r} is registered by {folders[point.name][0]} and by {point.value}")
        folders[point.name] = (point.value, folder)
    return folders


@cache
def datasets() -> dict[str, Dataset]:
    """Every registered data set, by name. An entry point refers to one data set or to several."""
    by_name: dict[str, Dataset] = {}
    for point in _points(DATASETS):
        loaded = _load(point)
        for dataset in loaded if isinstance(loaded, Iterable) else [loaded]:
            if not hasattr(dataset, "locate"):
                raise UserError(
                    f"entry point {DATASETS}:{point.name}: {point.value} holds no data set, but {dataset!r}"
                )
            if dataset.name in by_name and by_name[dataset.name] is not dataset:
                raise UserError(f"data set {dataset.name!r} is registered twice (again by {point.value})")
            by_name[dataset.name] = dataset
    return by_name


def dataset(name: str) -> Dataset:
    """The data set called `name`; an unknown name raises `UserError` with the nearest known one."""
    known = datasets()
    if name not in known:
        raise UserError(unknown("data set", name, sorted(known)))
    return known[name]


class Method(Protocol):
    """An inference method, as `bnnbench.bayes.method` defines it."""

    params: type[BaseModel]

    def fit(self, *arguments: Any, **options: Any) -> Any:
        """The posterior of a net's parameters."""


def methods() -> dict[str, EntryPoint]:
    """Entry points of inference methods, not yet imported."""
    points: dict[str, EntryPoint] = {}
    for point in _points(METHODS):
        if point.name in points and points[point.name].value != point.value:
            raise UserError(f"method {point.name!r} is registered by {points[point.name].value} and by {point.value}")
        points[point.name] = point
    return points


_usable: ContextVar[tuple[str, ...] | None] = ContextVar("usable", default=None)


@contextmanager
def only_methods(names: Sequence[str]) -> Iterator[None]:
    """A context for running jobs in which `method` gives only `names`: other code is not part of the job's key."""
    token = _usable.set(tuple(names))
    try:
        yield
    finally:
        _usable.reset(token)


def method(name: str) -> Method:
    """The inference method called `name`; an unknown name raises `UserError` with the nearest known one."""
    known, usable = methods(), _usable.get()
    if usable is not None and name in known and name not in usable:
        raise UserError(f"method {name!r} is used and not declared; let `methods()` of the parameters name it")
    if name not in known:
        raise UserError(unknown("method", name, sorted(known)))
    loaded = _load(known[name])
    if not hasattr(loaded, "fit") or not hasattr(loaded, "params"):
        raise UserError(f"entry point {METHODS}:{name}: {known[name].value} holds no method, but {loaded!r}")
    chosen: Method = loaded
    return chosen


def members(module_name: str, kind: type[T]) -> list[T]:
    """The objects of class `kind` in a module or in the modules of a package; none where there is no module.

    The objects of one module are in the order of its source.
    """
    try:
        if find_spec(module_name) is None:
            return []
        module = import_module(module_name)
        below = [part.name for part in walk_packages(getattr(module, "__path__", ()), f"{module_name}.")]
        modules = [module, *map(import_module, below)]
    except Exception as error:  # importing another package's module may raise anything
        raise UserError(f"module {module_name} cannot be imported: {_one_line(error)}") from error
    objects = [value for module in modules for value in vars(module).values() if isinstance(value, kind)]
    return list({id(value): value for value in objects}.values())  # an object that several modules import counts once


def declared(module_name: str, kind: type[N], experiments: Sequence[str]) -> list[N]:
    """The claims or figures of a paper, ordered by the first of the `experiments` that each of them needs."""
    objects = members(module_name, kind)
    place = {name: k for k, name in enumerate(experiments)}
    for member in objects:
        if not NAME.fullmatch(member.name):
            raise UserError(f"module {module_name}: name {member.name!r}: {NAME_RULE}")
        if [other.name for other in objects].count(member.name) > 1:
            raise UserError(f"module {module_name}: two are called {member.name!r}; give one of them another name")
    return sorted(
        objects, key=lambda member: min((place.get(name, len(place)) for name in member.experiments), default=0)
    )


def _one_line(error: Exception) -> str:
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg} ({Path(error.filename or '').name}, line {error.lineno})"
    return f"{type(error).__name__}: {error}"


@cache
def _points(group: str) -> tuple[EntryPoint, ...]:
    """The entry points of a group, sorted by name; cached, as a query takes 10 ms and a plan makes one per job."""
    return tuple(sorted(entry_points(group=group), key=lambda point: (point.name, point.value)))


def _load(point: EntryPoint) -> Any:
    try:
        return point.load()
    except Exception as error:
        raise UserError(f"entry point {point.group}:{point.name}: {point.value}: {_one_line(error)}") from error
