"""Numba's compiler as the CPU kernels use it: without the GIL, cached on disk, and never a stale or damaged kernel."""

import hashlib
import pickle
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba import njit
from numba.core import caching
from numba.core.serialize import dumps

from bnnbench.kernels.cpu.target import target
from bnnbench.kernels.disk import keep_code, kept_code

SOURCES = ("codegen.py", "target.py", "../packed.py")  # they make the code of kernels in other files
FINGERPRINT = hashlib.blake2b(
    b"".join((Path(__file__).parent / name).read_bytes() for name in SOURCES), digest_size=8
).hexdigest()
_FunctionCache: Any = caching.FunctionCache


class _Files:
    """A file for each kernel, signature and processor, in place of Numba's index and numbered files.

    Processes that start at once could give the same number to different code there.
    """

    def __init__(self, folder: str, name: str, source: Any) -> None:
        self._folder, self._name = Path(folder), name
        self._origin = (source, FINGERPRINT, numba.__version__, llvmlite.__version__)

    def _at(self, key: Any) -> tuple[Path, bytes]:
        which = hashlib.sha256(repr((key[:2], target())).encode()).hexdigest()[:32]
        return self._folder / f"{self._name}.{which}.nbc", repr((key, self._origin)).encode()

    def load(self, key: Any) -> Any:
        code = kept_code(*self._at(key))
        return None if code is None else pickle.loads(code)

    def save(self, key: Any, data: Any) -> None:
        path, origin = self._at(key)
        keep_code(path, dumps(data), origin)


class _Cache(_FunctionCache):  # type: ignore[misc]
    """Numba's cache of a function, which may fail in whatever way: a kernel is then compiled in memory."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file = _Files(self._cache_path, self._impl.filename_base, self._impl.locator.get_source_stamp())

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        with suppress(Exception):
            return super().load_overload(sig, target_context)
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(Exception):
            super().save_overload(sig, data)


def compiled(function: Callable[..., Any], *, fastmath: bool = False) -> Any:
    """Compiles `function` at its first call; where nothing can be kept it is compiled anew in each process."""
    dispatcher: Any = njit(nogil=True, fastmath=fastmath)(function)
    with suppress(Exception):  # a read-only installation and home, or none
        dispatcher._cache = _Cache(dispatcher.py_func)
    return dispatcher
