"""Compiles CUDA sources to cubins with NVRTC, for any architecture and without a device, and caches them on disk.

CuPy's own `RawModule` cannot target sm_90a, so its NVRTC binding is called directly, and `launch` loads the cubin.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from bnnbench.kernels import disk

ARCHES = ("sm_75", "sm_80", "sm_86", "sm_90a", "sm_100", "sm_110", "sm_120")
OPTIONS = ("--std=c++17", "--ptxas-options=-v")

Defines = Mapping[str, str | int]

# What becomes of a product, by variant.
RESULTS: Mapping[str, Defines] = {
    "int32": {"OUT": "int"},
    "int16": {"OUT": "short"},
    "float32": {"OUT": "float"},
    "bits": {"BITS": 1},
}
# Tile of a block, and where operands are staged: STAGES times CHUNKS chunks of 128 bits of every row. Eight chunks are
# 32 KiB a stage of `mma` (sm_86, sm_89, sm_120 have 99 KiB a block; two blocks of three stages fit Hopper) and 48 of
# `wgmma`.
_SQUARE: Defines = {"ROWS": 128, "COLUMNS": 128, "THREADS": 128}
MMA: Mapping[str, Defines] = {
    "sm_75": {**_SQUARE, "FORM": "XOR", "CHUNKS": 4, "STAGES": 2},
    "sm_80": {**_SQUARE, "FORM": "AND", "CHUNKS": 8, "STAGES": 4},
    "sm_86": {**_SQUARE, "FORM": "AND", "CHUNKS": 8, "STAGES": 3},
    "sm_90a": {**_SQUARE, "FORM": "AND", "CHUNKS": 8, "STAGES": 3},
    "sm_100": {**_SQUARE, "FORM": "BYTES", "CHUNKS": 8, "STAGES": 3},
    "sm_120": {**_SQUARE, "FORM": "BYTES", "CHUNKS": 8, "STAGES": 3},
}
WGMMA: Mapping[str, Defines] = {
    "sm_90a": {"ROWS": 128, "COLUMNS": 256, "THREADS": 256, "FORM": "AND", "CHUNKS": 8, "STAGES": 4}
}


@dataclass(frozen=True)
class Kernel:
    """A source file: the parts in front of it, its variants (name -> definitions), the definitions of architectures."""

    parts: tuple[str, ...]
    variants: Mapping[str, Defines]
    arches: Mapping[str, Defines]


_EVERYWHERE: Mapping[str, Defines] = {arch: {"THREADS": 256} for arch in ARCHES}
_CARRY_SAVE: Mapping[str, Defines] = {arch: {"ROWS": 64, "COLUMNS": 128, "THREADS": 256} for arch in ARCHES}
_PLAIN: Mapping[str, Defines] = {"": {}}
_FORMS: Mapping[str, Defines] = {"AND": {"XOR": 1, "FORM": 0}, "XOR": {"XOR": 1, "FORM": 1}}
_LIMIT_MMA: Mapping[str, Defines] = {arch: {"THREADS": 128} for arch in ("sm_80", "sm_86", "sm_90a")}
_LIMIT_WGMMA: Mapping[str, Defines] = {arch: {**tile, "STAGES": 1} for arch, tile in WGMMA.items()}
KERNELS: Mapping[str, Kernel] = {
    "pack": Kernel(
        ("common", "ptx", "pack"),
        {
            "float64": {"RAW": "u64", "INFINITY_BITS": "0x7ff0000000000000"},
            "float32": {"RAW": "u32", "INFINITY_BITS": "0x7f800000"},
            "float16": {"RAW": "u16", "INFINITY_BITS": "0x7c00"},
            "bfloat16": {"RAW": "u16", "INFINITY_BITS": "0x7f80"},
            "uint8": {"BYTES8": 1},
        },
        _EVERYWHERE,
    ),
    "ones": Kernel(("common", "ptx", "ones"), _PLAIN, _EVERYWHERE),
    "max_pool": Kernel(("common", "max_pool"), _PLAIN, _EVERYWHERE),
    "naive": Kernel(("common", "naive"), _PLAIN, _EVERYWHERE),
    "gemv": Kernel(
        ("common", "ptx", "gemv"),
        {f"{result}-{rows}": {**made, "MR": rows} for result, made in RESULTS.items() for rows in (1, 8)},
        _EVERYWHERE,
    ),
    "carry_save": Kernel(("common", "ptx", "carry_save"), RESULTS, _CARRY_SAVE),
    "mma": Kernel(("common", "ptx", "tile", "mma"), RESULTS, MMA),
    "wgmma": Kernel(("common", "ptx", "ptx_wgmma", "descriptor", "tile", "wgmma"), RESULTS, WGMMA),
    "limit_mma": Kernel(("common", "ptx", "limit_mma"), _FORMS, _LIMIT_MMA),
    "limit_wgmma": Kernel(("common", "ptx", "ptx_wgmma", "descriptor", "limit_wgmma"), {"AND": {}}, _LIMIT_WGMMA),
}


def shipped() -> Iterator[tuple[str, str, str]]:
    """Every (kernel, variant, architecture) that can be asked for."""
    for name, kernel in KERNELS.items():
        for variant in kernel.variants:
            for arch in kernel.arches:
                yield name, variant, arch


def arch_of(capability: tuple[int, int]) -> str | None:
    """The architecture whose cubins run on a chip: the nearest one below of the same generation."""
    known = {(int(arch.strip("sm_a")) // 10, int(arch.strip("sm_a")) % 10): arch for arch in ARCHES}
    fitting = [chip for chip in known if chip[0] == capability[0] and chip[1] <= capability[1]]
    return known[max(fitting)] if fitting else None


@dataclass(frozen=True)
class Build:
    """The cubin, and the compiler's log, which has the registers and spills of every kernel."""

    cubin: bytes
    log: str


def source(name: str) -> str:
    """The complete text of a kernel: its parts, one after the other."""
    folder = files(__package__)
    return "\n".join((folder / f"{part}.cu").read_text(encoding="utf-8") for part in KERNELS[name].parts)


def options(name: str, variant: str, arch: str) -> tuple[str, ...]:
    """Compiler options of a variant for an architecture."""
    kernel = KERNELS[name]
    defines = {**kernel.arches[arch], **kernel.variants[variant]}
    return (f"-arch={arch}", *OPTIONS, *(f"-D{key}={value}" for key, value in defines.items()))


def build(name: str, variant: str, arch: str) -> Build:
    """Compiles a variant; raises `RuntimeError` with the compiler's log where it fails. Needs no device."""
    nvrtc = _nvrtc()
    program = nvrtc.createProgram(source(name), f"{name}.cu", (), ())
    try:
        nvrtc.compileProgram(program, options(name, variant, arch))
        # CuPy's binding drops the last byte, which is zero; without it disassemblers refuse the file.
        return Build(nvrtc.getCUBIN(program) + b"\0", nvrtc.getProgramLog(program))
    except nvrtc.NVRTCError as error:
        log = nvrtc.getProgramLog(program)
        raise RuntimeError(f"{name} {variant} does not compile for {arch}: {error}\n{log}") from error
    finally:
        nvrtc.destroyProgram(program)


def cubin(name: str, variant: str, arch: str) -> bytes:
    """The cubin of a variant, from the disk cache or compiled into it."""
    key = "\0".join((source(name), *options(name, variant, arch), str(version()))).encode()
    path = None
    with suppress(OSError, RuntimeError):  # without a usable cache each process compiles
        path = disk.folder() / f"{name}-{hashlib.sha256(key).hexdigest()[:32]}.cubin"
        if (kept := disk.kept_code(path, key)) is not None:
            return kept
    made = build(name, variant, arch).cubin
    with suppress(OSError):
        if path is not None:
            disk.keep_code(path, made, key)
    return made


@cache
def version() -> tuple[int, int]:
    """NVRTC's version; raises `RuntimeError` that says how to install it where it is missing."""
    try:
        major, minor = _nvrtc().getVersion()
    except Exception as error:  # CuPy and its loader raise several types here, none of them public
        raise RuntimeError(f"NVRTC is missing (pip install nvidia-cuda-nvrtc): {error}") from error
    return major, minor


def _nvrtc() -> Any:
    from cupy.cuda import nvrtc

    return nvrtc
