"""The cost of a method: time and memory of its fit, time of its predictions, and what it stores for them."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

T = TypeVar("T")
PROCESS = Path("/proc/self")
MEGABYTE = 2**20
OPAQUE = (str, bytes, int, float, complex, type, torch.dtype, torch.device, torch.Generator, ModuleType)


class Cost(NamedTuple):
    """The cost of a computation; memory is that of the device, and `None` where it cannot be measured."""

    seconds: float
    cpu_seconds: float
    peak_megabytes: float | None
    """The peak of memory during the computation, minus the memory before it."""

    def of_fit(self) -> dict[str, float]:
        """The measures of a fit's time and memory (`measures.COST`)."""
        times = {"fit_seconds": self.seconds, "fit_cpu_seconds": self.cpu_seconds}
        return times if self.peak_megabytes is None else {**times, "fit_memory": self.peak_megabytes}


def measured(compute: Callable[[], T], device: str) -> tuple[T, Cost]:
    """What `compute` returns, and its cost on a device ("cpu", "cuda")."""
    before = _start_of_peak(device)
    start, start_cpu = time.perf_counter(), time.process_time()
    result = compute()
    if device == "cuda":
        torch.cuda.synchronize()
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - start_cpu
    peak = None if before is None else max(0.0, _peak(device) - before)
    return result, Cost(seconds, cpu_seconds, peak)


def _start_of_peak(device: str) -> float | None:
    """The megabytes in use now, after resetting the peak; `None` where the system does not measure it."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated() / MEGABYTE
    try:
        (PROCESS / "clear_refs").write_text("5")  # on Linux this resets the peak of the resident memory
        return _resident("VmRSS")
    except OSError:
        return None


def _peak(device: str) -> float:
    return torch.cuda.max_memory_allocated() / MEGABYTE if device == "cuda" else _resident("VmHWM")


def _resident(name: str) -> float:
    lines = (PROCESS / "status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))


def stored_bits(kept: Any) -> int:
    """Bits of all tensors and arrays that an object holds at any depth; each piece of memory counts once."""
    pieces: dict[int, int] = {}
    for array in _arrays(kept, set()):
        if isinstance(array, Tensor):
            storage = array.untyped_storage()
            pieces[storage.data_ptr()] = storage.nbytes()
        else:
            owner = array
            while isinstance(owner.base, np.ndarray):
                owner = owner.base
            pieces[owner.ctypes.data] = owner.nbytes
    return 8 * sum(pieces.values())


def _arrays(kept: Any, seen: set[int]) -> Iterator[Any]:
    """Tensors and arrays below an object: in containers, attributes and the parts of a net."""
    if id(kept) in seen or kept is None or isinstance(kept, OPAQUE):
        return
    seen.add(id(kept))
    if isinstance(kept, Tensor | np.ndarray):
        yield kept
        return
    for part in _parts(kept):
        yield from _arrays(part, seen)


def _parts(kept: Any) -> list[Any]:
    if isinstance(kept, Mapping):
        return list(kept.values())
    if isinstance(kept, list | tuple | set | frozenset):
        return list(kept)
    if isinstance(kept, nn.Module):
        own = [*kept._parameters.values(), *kept._buffers.values(), *kept._modules.values()]
        return [*own, *(value for name, value in vars(kept).items() if not name.startswith("_"))]
    named = [getattr(kept, field.name) for field in fields(kept)] if is_dataclass(kept) else []
    return [*named, *getattr(kept, "__dict__", {}).values()]
