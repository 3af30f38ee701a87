"""Runs the CUDA sources on the CPU: each variant becomes a shared library of its source and `cuda_emulator.h`."""

import ctypes
import shutil
import subprocess
from dataclasses import dataclass, field
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
from kept import place

from bnnbench.kernels.cuda import compile, launch

EMULATOR = Path(__file__).with_name("cuda_emulator.h")
COMPILER = shutil.which("g++")
MARGIN = 64  # words around an output that must stay as they were


class _NoArray:
    """No array is of this type: the emulator's are NumPy arrays."""


@dataclass
class Emulator:
    """Takes the place of the device for `bnnbench.kernels.cuda.backend`, whose arrays become NumPy arrays."""

    arch: str
    processors: int = 1
    late: int = 3
    seed: int = 0
    launched: list[str] = field(default_factory=list)
    outputs: list[tuple[Any, Any]] = field(default_factory=list)

    def cupy(self) -> Any:
        """What the backend uses of CuPy."""
        used = {
            "asarray": np.asarray,
            "asnumpy": np.asarray,
            "ascontiguousarray": np.ascontiguousarray,
            "empty": self.empty,
            "zeros": np.zeros,
        }
        stream = SimpleNamespace(synchronize=lambda: None)
        cuda = SimpleNamespace(get_current_stream=lambda: stream)
        return SimpleNamespace(**used, cuda=cuda, ndarray=_NoArray, __spec__=ModuleSpec("cupy", None))

    def here(self) -> tuple[str, int]:
        """Takes the place of `launch.here`."""
        return self.arch, self.processors

    def empty(self, shape: Any, dtype: Any) -> Any:
        """A poisoned array between margins."""
        count = int(np.prod(shape)) * np.dtype(dtype).itemsize
        whole = np.full(count + 16 * MARGIN, 0xA5, np.uint8)
        found = whole[8 * MARGIN : 8 * MARGIN + count].view(dtype).reshape(shape)
        self.outputs.append((whole, found))
        return found

    def check_margins(self) -> None:
        """Nothing was written outside of an output."""
        for whole, found in self.outputs:
            assert (whole[: 8 * MARGIN] == 0xA5).all()
            assert (whole[8 * MARGIN + found.nbytes :] == 0xA5).all()

    def run(
        self, name: str, variant: str, grid: tuple[int, ...], arguments: tuple[Any, ...], entry: str | None = None
    ) -> None:
        """Takes the place of `launch.run`."""
        self.launched.append(name)
        tile = compile.KERNELS[name].arches[self.arch]
        kept = [_argument(argument) for argument in arguments]
        pointers = (ctypes.c_void_p * len(kept))(*(ctypes.cast(ctypes.pointer(a), ctypes.c_void_p) for a in kept))
        shared = launch._shared_bytes(name, tile)
        self.seed += 1
        gx, gy = (*grid, 1)[:2]
        self._library(name, variant, entry or name).emulate(
            gx, gy, int(tile["THREADS"]), shared, self.late, self.seed, pointers
        )

    def _library(self, name: str, variant: str, entry: str) -> Any:
        return ctypes.CDLL(str(_compiled(name, variant, entry, self.arch)))


def _argument(value: Any) -> Any:
    if value is None or isinstance(value, np.ndarray):
        return ctypes.c_void_p(None if value is None else value.ctypes.data)
    return {np.int32: ctypes.c_int32, np.uint64: ctypes.c_uint64}[type(value)](int(value))


@cache
def _compiled(name: str, variant: str, entry: str, arch: str) -> Path:
    """The shared library of a variant; one that an earlier run made of the same text is taken."""
    assert COMPILER is not None
    kernel = compile.KERNELS[name]
    folder = Path(compile.__file__).parent
    parts = [part for part in kernel.parts if part not in ("ptx", "ptx_wgmma")]
    text = "\n".join((folder / f"{part}.cu").read_text() for part in parts)
    # In a namespace, since kernels have names that the emulator uses, too.
    source = f"""#include <algorithm>
#include "{EMULATOR}"
namespace kernels {{
{text}
}}
extern "C" void emulate(unsigned gx, unsigned gy, int threads, unsigned shared, int late, unsigned seed,
                        void** arguments) {{
  emulator::run(kernels::{entry}, gx, gy, threads, shared, late, seed, arguments);
}}
"""
    flags = ["-std=c++17", "-O1", "-shared", "-fPIC", "-w", "-U_FORTIFY_SOURCE", "-fno-strict-aliasing"]
    extra = ["-DWGMMA"] * (name == "wgmma") + ["-DSYNCHRONOUS"] * (arch == "sm_75")
    made = [option for option in compile.options(name, variant, arch) if option.startswith("-D")]
    command = [COMPILER, *flags, *extra, *made]
    version = subprocess.run([COMPILER, "--version"], check=True, capture_output=True, text=True).stdout
    path = place(f"{name}-{variant}-{entry}-{arch}.so", source, EMULATOR.read_text(), command, version)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=path.parent) as new:  # other processes see the library when it is whole
            written, library = Path(new, "kernel.cpp"), Path(new, "kernel.so")
            written.write_text(source)
            subprocess.run([*command, str(written), "-o", str(library)], check=True)
            library.replace(path)
    return path
