"""What compilers made of sources: kept from one run of the tests to the next, and shared by processes of one run."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from conftest import ROOT

from bnnbench.kernels.disk import keep_code, kept_code

KEPT = ROOT / ".pytest_cache" / "kernels"


def place(name: str, *origin: object) -> Path:
    """Where a thing made from `origin`, its sources, options and compiler, has its place."""
    return KEPT / f"{name}-{hashlib.sha256(repr(origin).encode()).hexdigest()[:32]}"


def kept(name: str, make: Callable[[], bytes], *origin: object) -> bytes:
    """What `make` made from `origin`: in this run or, where nothing in `origin` has changed, in an earlier one."""
    path, key = place(name, *origin), repr(origin).encode()
    found = kept_code(path, key)
    if found is None:
        found = make()
        keep_code(path, found, key)
    return found
