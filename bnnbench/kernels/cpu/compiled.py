"""Numba's compiler as the CPU kernels use it: without the GIL, cached on disk, and never a stale kernel."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from numba import njit
from numba.core import caching

from bnnbench.kernels.cpu.target import target

SOURCES = ("codegen.py", "target.py")  # they make the code of kernels in other files
FINGERPRINT = hashlib.blake2b(
    b"".join((Path(__file__).parent / name).read_bytes() for name in SOURCES), digest_size=8
).hexdigest()
_FunctionCache: Any = caching.FunctionCache


class _Cache(_FunctionCache):  # type: ignore[misc]
    """Numba watches the file of a function; what emits its code is in others: their hash and the tile join the key."""

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return (*super()._index_key(sig, codegen), FINGERPRINT, target())


def compiled(function: Callable[..., Any]) -> Any:
    """Compiles `function` at its first call; where no folder can be written it is compiled anew in each process."""
    dispatcher: Any = njit(nogil=True)(function)
    with suppress(RuntimeError):  # "no locator available": a read-only installation and home
        dispatcher._cache = _Cache(dispatcher.py_func)
    return dispatcher
