"""Backends: which of them can compute on this machine, and which one is chosen."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from bnnbench.errors import UserError

GROUP = "bnnbench.kernels"
VARIABLE = "BNNBENCH_KERNELS"
_ready: set[str] = set()  # backends known to be available; probing again would take longer than a small product
_chosen: ContextVar[str] = ContextVar("bnnbench_kernels", default="auto")


@dataclass(frozen=True)
class Availability:
    """Whether a backend can compute here: what it uses, or what is missing."""

    available: bool
    detail: str


@dataclass(frozen=True)
class Backend:
    """A named set of operations; `probe` says whether and how it would compute, without raising."""

    name: str
    module: str
    probe: Callable[[], Availability]

    def operations(self) -> Any:
        """The module with the operations; imported when first asked for."""
        return import_module(self.module)


def _reference() -> Availability:
    return Availability(True, "NumPy: the definition of every operation")


def _cpu() -> Availability:
    from importlib.util import find_spec

    if find_spec("numba") is None:
        return Availability(False, "numba is not installed")
    from bnnbench.kernels.cpu.target import describe

    return Availability(True, describe())


def _cupy() -> Availability:
    from importlib.util import find_spec

    if find_spec("cupy") is None:
        return Availability(False, "cupy is not installed")
    from bnnbench.kernels.cuda.device import probe

    available, detail = probe()
    return Availability(available, detail)


OWN = (
    Backend("reference", "bnnbench.kernels.reference", _reference),
    Backend("cpu", "bnnbench.kernels.cpu.backend", _cpu),
    Backend("cupy", "bnnbench.kernels.cuda.backend", _cupy),
)


@cache
def known() -> dict[str, Backend]:
    """All backends by name: this package's and those of the entry point group `bnnbench.kernels`."""
    by_name = {backend.name: backend for backend in OWN}
    for point in entry_points(group=GROUP):
        try:
            backend = point.load()
        except Exception as error:  # a broken entry point must not make the others unavailable
            backend = Backend(point.name, point.value, _broken(f"{type(error).__name__}: {error}"))
        by_name.setdefault(backend.name, backend)
    return by_name


def _broken(reason: str) -> Callable[[], Availability]:
    return lambda: Availability(False, reason)


def backend(name: str) -> Backend:
    """The backend called `name`, ready to compute; raises `ValueError` or `RuntimeError` that says what is wrong."""
    if not isinstance(name, str) or name not in known():
        raise ValueError(f"backend: no backend {name!r}; there are {', '.join(known())}")
    chosen = known()[name]
    if name not in _ready:
        state = chosen.probe()
        if not state.available:
            raise RuntimeError(f"backend {name!r} cannot compute here: {state.detail}")
        _ready.add(name)
    return chosen


def choose(name: str | None, device: str) -> Backend:
    """The backend for arrays on `device` ("cpu" or "cuda"): argument, `use_backend`, `$BNNBENCH_KERNELS`, automatic."""
    wanted = name or _chosen.get()
    if wanted == "auto":
        wanted = os.environ.get(VARIABLE) or "auto"
        if wanted not in ("auto", *known()):
            raise UserError(f"{VARIABLE} is {wanted!r}; it must be auto or one of {', '.join(known())}")
    if wanted != "auto":
        return backend(wanted)
    if device == "cuda":
        return backend("cupy")
    return backend("cpu") if "cpu" in _ready or known()["cpu"].probe().available else backend("reference")


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Computes with the backend `name` inside the block (in this thread and task)."""
    if name != "auto":
        backend(name)
    token = _chosen.set(name)
    try:
        yield
    finally:
        _chosen.reset(token)


def backends() -> list[tuple[str, bool, str]]:
    """Name, availability and detail of every backend."""
    states = [(name, one.probe()) for name, one in known().items()]
    return [(name, state.available, state.detail) for name, state in states]
