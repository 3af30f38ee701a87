"""What this processor's vectors can do: read from LLVM's feature flags, never from the name of the processor."""

from dataclasses import dataclass
from functools import cache


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
    """The widest target that this process may use; `NUMBA_CPU_FEATURES` restricts it as it restricts Numba."""
    features = _features()
    if {"avx512f", "avx512vpopcntdq"} <= features:
        return AVX512
    if "avx2" in features:
        return AVX2
    if {"ssse3", "neon"} & features:
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
    found = target()
    return f"{found.name}, {found.lanes} lanes of 64 bits, tiles of {found.rows} x {found.width}"
