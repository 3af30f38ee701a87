"""Numba's compiler as the CPU kernels use it: without the GIL, cached on disk, and never a stale kernel."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from numba import njit
from numba.core import caching

SOURCES = ("codegen.py", "target.py")  # they make the code of kernels in other files
FINGERPRINT = hashlib.blake2b(
    b"".join((Path(__file__).parent / name).read_bytes() for name in SOURCES), digest_size=8
).hexdigest()
_FunctionCache: Any = caching.FunctionCache


class _Cache(_FunctionCache):  # type: ignore[misc]
    """Numba looks at the file that holds a function; what emits its code is in others, so their hash joins the key."""

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return (*super()._index_key(sig, codegen), FINGERPRINT)


def compiled(function: Callable[..., Any]) -> Any:
    """Compiles `function` at its first call; where no folder can be written it is compiled anew in each process."""
    dispatcher: Any = njit(nogil=True)(function)
    with suppress(RuntimeError):  # "no locator available": a read-only installation and home
        dispatcher._cache = _Cache(dispatcher.py_func)
    return dispatcher
