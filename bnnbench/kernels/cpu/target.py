"""What this processor's vectors can do, by LLVM's feature flags; virtual machines misreport its name."""

import os
import re
from dataclasses import dataclass, replace
from functools import cache

from bnnbench.errors import UserError
from bnnbench.kernels.disk import tuned, tuning_file, warn

WIDTHS = (8, 16, 32)  # outputs of a tile in one row: whole bytes of bits, and a panel has 32
TILE = "BNNBENCH_CPU_TILE"  # "6x4": rows and vectors, to try another tile


@dataclass(frozen=True)
class Target:
    """lanes: 64-bit numbers of a vector. rows, vectors: of the register tile, rows x (vectors * lanes) outputs."""

    name: str
    lanes: int
    rows: int
    vectors: int

    @property
    def width(self) -> int:
        """Outputs of a tile in one row."""
        return self.lanes * self.vectors


AVX512 = Target("avx512-vpopcntdq", lanes=8, rows=6, vectors=4)  # 24 accumulators, 4 weights, 1 input: 29 of 32
AVX2 = Target("avx2", lanes=4, rows=2, vectors=4)
VECTOR128 = Target("128-bit vectors", lanes=2, rows=2, vectors=4)
SCALAR = Target("scalar popcnt", lanes=1, rows=1, vectors=8)


@cache
def target() -> Target:
    """The widest target that this process may use, with the tile that was measured to be best here, if one was.

    Raises `UserError` where `$BNNBENCH_CPU_TILE` names no tile that the kernels can have.
    """
    detected = default()
    if TILE in os.environ:
        shape = re.fullmatch(r"(\d+)x(\d+)", os.environ[TILE], re.ASCII)
        named = _with_tile(detected, int(shape[1]), int(shape[2])) if shape else None
        if named is None:
            shapes = ", ".join(f"rows x {width // detected.lanes}" for width in WIDTHS if width >= detected.lanes)
            raise UserError(f"{TILE} is {os.environ[TILE]!r}; it must be {shapes}, with 1 to 6 rows")
        return named
    measured = tuned(detected.name)
    rows, vectors = measured.get("rows", detected.rows), measured.get("vectors", detected.vectors)
    chosen = _with_tile(detected, rows, vectors)
    if chosen is None:
        warn(f"{tuning_file()}: {detected.name} has no tile of {rows} x {vectors} vectors; the built-in one is taken")
    return chosen or detected


def _with_tile(base: Target, rows: int, vectors: int) -> Target | None:
    """The target with another tile; `None` where the kernels cannot have it."""
    changed = replace(base, rows=rows, vectors=vectors)
    return changed if 1 <= rows <= 6 and changed.width in WIDTHS else None


@cache
def default() -> Target:
    """The widest target, with its built-in tile; `NUMBA_CPU_FEATURES` restricts it as it restricts Numba."""
    features = _features()
    if {"avx512f", "avx512vpopcntdq"} <= features:
        return AVX512
    if "avx2" in features:
        return AVX2
    # Without AVX2, counting a scalar at a time by popcnt is 1.6 times faster than vectors that count through tables.
    if "neon" in features or ("ssse3" in features and "popcnt" not in features):
        return VECTOR128
    return SCALAR


def _features() -> frozenset[str]:
    from numba.core import config
    from numba.core.registry import cpu_target

    # As Numba itself read them from the environment.
    named, cpu = getattr(config, "CPU_FEATURES", None), getattr(config, "CPU_NAME", None)
    if named is None and cpu in (None, "", "host"):
        named = cpu_target.target_context.codegen()._tm_features
    flags = [flag.strip() for flag in (named or "").split(",")]
    return frozenset(flag[1:] for flag in flags if flag.startswith("+"))


def describe() -> str:
    """One line for people: the path and its vectors."""
    chosen = target()
    origin = "" if chosen == default() else ", measured here"
    return f"{chosen.name}, {chosen.lanes} lanes of 64 bits, tiles of {chosen.rows} x {chosen.width}{origin}"
