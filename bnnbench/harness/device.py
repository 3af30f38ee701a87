"""Which device a job computes on; on a machine with several GPUs each job locks one."""

import ctypes
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

from bnnbench.errors import UserError
from bnnbench.harness.files import locked


@cache
def gpu_count() -> int:
    """Number of CUDA devices that the driver shows; takes milliseconds and needs no torch."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def choose(wanted: str, gpus: int) -> tuple[str, str]:
    """The device of a job that asks for `gpus` GPUs, and the reason to skip it (empty: run it).

    `wanted` is `device` of the configuration: `auto` uses a GPU only for jobs that ask for one, `cpu` runs even those
    on the CPU, and `cuda` trusts that there is a GPU where the job will run (a cluster's login node has none).
    """
    if wanted == "cpu" or gpus == 0:
        return "cpu", ""
    if wanted == "auto" and gpu_count() == 0:
        return "cuda", "needs a GPU and this machine has none (set device: cpu to run it on the CPU all the same)"
    return "cuda", ""


@contextmanager
def gpu(on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Locks one GPU for this process and makes it the only visible one.

    A scheduler that has already chosen (it set `CUDA_VISIBLE_DEVICES`) is obeyed. Must be entered before torch is
    imported, which reads the variable once.
    """
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        yield
        return
    if gpu_count() == 0:
        raise UserError("device: cuda: this machine shows no GPU; use device: auto or device: cpu")
    with ExitStack() as stack:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(_lock_one(stack, on_wait))
        yield


def _lock_one(stack: ExitStack, on_wait: Callable[[], None] | None) -> int:
    """Locks the first free GPU, or waits for the first one when all are taken."""
    for index in range(gpu_count()):
        try:
            stack.enter_context(locked(_lock_path(index), wait=False))
        except BlockingIOError:
            continue
        return index
    stack.enter_context(locked(_lock_path(0), on_wait))
    return 0


def _lock_path(index: int) -> Path:
    return Path(tempfile.gettempdir()) / f"bnnbench-{os.getuid()}-gpu{index}.lock"
