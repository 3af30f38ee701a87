"""The device that a job computes on; on a machine with several GPUs each job locks one."""

import ctypes
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

from bnnbench.errors import UserError
from bnnbench.harness.files import locked

VISIBLE = "CUDA_VISIBLE_DEVICES"


@cache
def _installed() -> int:
    """The number of GPUs, from NVML: a CUDA call here would fix the visible devices before a job has chosen one."""
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return 0
    count = ctypes.c_uint(0)
    if nvml.nvmlInit_v2() != 0 or nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
        return 0
    return count.value


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them."""
    if _installed() == 0:
        return []
    named = os.environ.get(VISIBLE)
    return [str(i) for i in range(_installed())] if named is None else [gpu for gpu in named.split(",") if gpu.strip()]


def choose(wanted: str, gpus: int) -> tuple[str, str]:
    """The device of a job that asks for `gpus` GPUs, and the reason to skip it (empty where it can run).

    `wanted` is `device` of the configuration. `auto` uses a GPU only for jobs that ask for one. `cpu` runs even those
    on the CPU. `cuda` assumes that there is a GPU where the job will run, as a cluster's login node has none.
    """
    if wanted == "cpu" or gpus == 0:
        return "cpu", ""
    if wanted == "auto" and not visible_gpus():
        return "cuda", "needs a GPU and this machine has none (set device: cpu to run it on the CPU all the same)"
    return "cuda", ""


@contextmanager
def gpu(on_wait: Callable[[], None] | None = None, processes: int = 1) -> Iterator[None]:
    """Makes one GPU the only visible one and locks it for this process, one of `processes` on this machine that do so.

    Where a scheduler has left just one GPU visible, it is used without a lock. The context must be entered before torch
    is imported, as torch reads the variable only once.
    """
    gpus = visible_gpus()
    if not gpus:
        raise UserError("device: cuda: this process sees no GPU; use device: auto or device: cpu")
    if len(gpus) < processes:
        raise UserError(f"{processes} processes and {len(gpus)} GPUs here; start one process a GPU (--nproc-per-node)")
    with ExitStack() as stack:
        if len(gpus) > 1:
            os.environ[VISIBLE] = _lock_one(gpus, stack, on_wait)
        yield


def _lock_one(gpus: list[str], stack: ExitStack, on_wait: Callable[[], None] | None) -> str:
    """Locks the first free GPU, or waits for the first GPU where none is free."""
    for name in gpus:
        try:
            stack.enter_context(locked(_lock_path(name), wait=False))
        except BlockingIOError:
            continue
        return name
    stack.enter_context(locked(_lock_path(gpus[0]), on_wait))
    return gpus[0]


def _lock_path(name: str) -> Path:
    return Path(tempfile.gettempdir()) / f"bnnbench-{os.getuid()}-gpu-{name.strip()}.lock"
