"""Loads cubins and launches them; chooses the kernel of a product, its grid and the order of its arguments."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from bnnbench.kernels.cuda.compile import KERNELS, MMA, WGMMA, cubin
from bnnbench.kernels.cuda.device import current_arch, processors
from bnnbench.kernels.disk import tuned

SMALL_BATCH = 16  # rows up to which reading the weights takes most of the time
GEMV_ROWS = 8


@dataclass(frozen=True)
class Windows:
    """Where the rows of a left operand lie, in chunks of 128 bits; `common.cu` says how.

    rows, chunks: the operand is [rows, chunks * 128 bits]. plane: chunks from one plane of bits to the next.
    """

    rows: int
    chunks: int
    plane: int
    positions: int
    width: int
    image: int
    down: int
    right: int
    span: int
    jump: int

    def __post_init__(self) -> None:
        if max(self.plane, self.rows) >= 2**31:
            raise ValueError(f"{self.rows} rows in planes of {16 * self.plane} bytes: too large for one product")

    @property
    def place(self) -> tuple[Any, ...]:
        """The last arguments of a kernel that reads windows."""
        parts = (self.positions, self.width, self.image, self.down, self.right, self.span, self.jump)
        return tuple(np.int32(part) for part in parts)


def dense(rows: int, chunks: int) -> Windows:
    """Rows of a matrix, one after the other."""
    some = max(rows, 1)
    return Windows(rows, chunks, rows * chunks, some, some, 0, 0, chunks, max(chunks, 1), 0)


def sliding(
    shape: tuple[int, int, int, int], kernel: tuple[int, int], stride: tuple[int, int], size: tuple[int, int]
) -> Windows:
    """Windows of `kernel` pixels, `size` of them every `stride` pixels, over images [batch, h, w, chunks]."""
    batch, height, width, chunks = shape
    positions, line = size[0] * size[1], width * chunks
    return Windows(
        rows=batch * positions,
        chunks=kernel[0] * kernel[1] * chunks,
        plane=batch * height * line,
        positions=max(positions, 1),
        width=max(size[1], 1),
        image=height * line,
        down=stride[0] * line,
        right=stride[1] * chunks,
        span=max(kernel[1] * chunks, 1),
        jump=line,
    )


def choose(arch: str, multiprocessors: int, rows: int, columns: int, planes: int, *, dense: bool) -> str:
    """The kernel for a product: gemv for few rows, wgmma where its large tiles fill the chip, else what the chip has.

    Both limits can be measured on this machine by `bnnbench kernels tune`.
    """
    measured = tuned(arch)
    if rows <= measured.get("small_batch", SMALL_BATCH) and dense:
        return "gemv"
    enough = measured.get("wgmma_tiles", multiprocessors)
    if arch in WGMMA and planes == 1 and tiles(WGMMA[arch], rows, columns) >= enough:
        return "wgmma"
    return "mma" if arch in MMA else "carry_save"


def product(
    left: Any,
    right: Any,
    right_ones: Any,
    windows: Windows,
    planes: int,
    out: Any,
    result: str,
    table: Any,
    *,
    factor: int = 0,
    flip: Any = None,
    classes: Any = None,
    path: str | None = None,
) -> None:
    """Computes into `out` what `result` names: see `common.cu` for `table`, `factor`, `flip` and `classes`.

    left: words read through `windows`; right: uint64 [n, words] with int32 [n] ones. `path` forces a kernel.
    """
    columns = len(right)
    if windows.rows == 0 or columns == 0:
        return
    arch, count = here()
    name = path or choose(arch, count, windows.rows, columns, planes, dense=classes is None)
    tile = KERNELS[name].arches[arch]
    ones = count_ones(left, windows, planes) if tile.get("FORM", "XOR") != "XOR" else None
    operands = (left, right, ones, right_ones, table, flip, classes, out)
    sizes = (np.int32(windows.rows), np.int32(columns), np.int32(windows.chunks), np.int32(planes))
    arguments = (*operands, *sizes, np.uint64(windows.plane), np.int32(factor), *windows.place)
    if name == "gemv":
        rows = 1 if windows.rows == 1 else GEMV_ROWS
        # Padding bits are written too, so the grid covers whole words of columns where bits are asked for.
        covered = 8 * out.shape[-1] if result == "bits" else -(-columns // 8)
        run(name, f"{result}-{rows}", (covered, -(-windows.rows // rows)), arguments)
    else:
        run(name, result, (tiles(tile, windows.rows, columns),), arguments)


def count_ones(left: Any, windows: Windows, planes: int) -> Any:
    """Ones int32 [rows] of the windows of `left`; each plane counts twice as much as the next."""
    import cupy

    out = cupy.empty(windows.rows, np.int32)
    sizes = (np.int32(windows.rows), np.int32(windows.chunks), np.int32(planes), np.uint64(windows.plane))
    if windows.rows:
        run("ones", "", (-(-windows.rows // 8),), (left, out, *sizes, *windows.place))
    return out


def run(name: str, variant: str, grid: tuple[int, ...], arguments: tuple[Any, ...], entry: str | None = None) -> None:
    """Launches a kernel (the function `entry` of it, by default its name) on the current device and stream."""
    import cupy

    arch, _ = here()
    tile = KERNELS[name].arches[arch]
    function = _function(cupy.cuda.Device().id, name, variant, arch, entry or name)
    given = tuple(np.uint64(0) if argument is None else argument for argument in arguments)
    function(grid, (int(tile["THREADS"]),), given, _shared_bytes(name, tile))


def here() -> tuple[str, int]:
    """Architecture and multiprocessors of the current device."""
    import cupy

    device = cupy.cuda.Device().id
    return current_arch(device), processors(device)


def tiles(tile: Mapping[str, str | int], rows: int, columns: int) -> int:
    """Tiles of a product."""
    return -(-rows // int(tile["ROWS"])) * -(-columns // int(tile["COLUMNS"]))


def _shared_bytes(name: str, tile: Mapping[str, str | int]) -> int:
    if "STAGES" not in tile:
        return 0
    stage = 16 * int(tile["CHUNKS"]) * (int(tile["ROWS"]) + int(tile["COLUMNS"]))
    align = 1024 if name.endswith("wgmma") else 0  # its stages start at a multiple of 1024
    return int(tile["STAGES"]) * stage + align


@cache
def _module(device: int, name: str, variant: str, arch: str) -> Any:
    from cupy.cuda import function

    module = function.Module()
    module.load(cubin(name, variant, arch))
    return module


@cache
def _function(device: int, name: str, variant: str, arch: str, entry: str) -> Any:
    from cupy.cuda import driver

    function = _module(device, name, variant, arch).get_function(entry)
    size = _shared_bytes(name, KERNELS[name].arches[arch])
    if size > 48 * 1024:
        driver.funcSetAttribute(function.ptr, driver.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, size)
    return function
