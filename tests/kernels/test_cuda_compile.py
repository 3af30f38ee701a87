"""Every CUDA kernel is compiled for every architecture, and the machine code is looked at; without a GPU."""

import pickle
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import pytest
from kept import kept

from bnnbench.kernels.cuda import compile, device, launch
from bnnbench.kernels.cuda.compile import ARCHES, KERNELS, Build, arch_of, build, cubin

# Bytes of shared memory that a block may have.
SHARED = {"sm_75": 64, "sm_80": 163, "sm_86": 99, "sm_90a": 227, "sm_100": 227, "sm_110": 227, "sm_120": 99}
MMA = {
    "XOR": r"BMMA\.88128\.XOR\.POPC",
    "AND": r"BMMA\.168256\.AND\.POPC",
    "BYTES": r"IMMA\.16832\.S8\.S8",
}
CALLED = ("limit_mma", "XOR", "sm_90a")  # not native there, which this kernel is to show
CALL = re.compile(r"\bCALL\S* `\(\$")  # of a function; jumps inside the kernel may be written as calls, too


def _nvrtc_is_missing() -> str:
    try:
        compile.version()
    except RuntimeError as error:
        return str(error)
    return ""


pytestmark = pytest.mark.skipif(bool(_nvrtc_is_missing()), reason=_nvrtc_is_missing())


@cache
def built(name: str, variant: str, arch: str) -> Build:
    """What this source is with this compiler; the same source is not compiled again by later runs."""
    origin = (compile.source(name), compile.options(name, variant, arch), compile.version())
    found = kept(f"{name}-{variant}-{arch}", lambda: pickle.dumps(build(name, variant, arch)), *origin)
    again: Build = pickle.loads(found)
    return again


def nvdisasm() -> str | None:
    try:
        inside = [path for path in files("nvidia-cuda-nvdisasm") or [] if path.name == "nvdisasm"]
    except PackageNotFoundError:
        inside = []
    return str(inside[0].locate()) if inside else shutil.which("nvdisasm")


def disassembly(found: Build, folder: Path) -> str:
    tool = nvdisasm()
    if tool is None:
        pytest.skip("nvdisasm is missing (pip install nvidia-cuda-nvdisasm)")

    def disassembled() -> bytes:
        path = folder / "kernel.cubin"
        path.write_bytes(found.cubin)
        return subprocess.run([tool, "-c", str(path)], check=True, capture_output=True).stdout

    return kept("disassembly", disassembled, found.cubin, _version(tool)).decode()


@cache
def _version(tool: str) -> str:
    return subprocess.run([tool, "--version"], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize(("name", "arch"), [(name, arch) for name in KERNELS for arch in KERNELS[name].arches])
def test_every_variant_compiles_without_spills(name: str, arch: str) -> None:
    tile = KERNELS[name].arches[arch]
    for variant in KERNELS[name].variants:
        log = built(name, variant, arch).log
        assert "warning" not in log.lower()
        assert "C75" not in log  # "wgmma is serialized"
        spills = re.findall(r"(\d+) bytes spill (?:stores|loads)", log)
        assert spills
        assert set(spills) == {"0"} or (name, variant, arch) == CALLED
        registers = [int(found) for found in re.findall(r"Used (\d+) registers", log)]
        assert max(registers) * int(tile["THREADS"]) <= 65536
        static = max(map(int, re.findall(r"(\d+) bytes smem", log)), default=0)
        assert static + launch._shared_bytes(name, tile) <= 1024 * SHARED[arch]


@pytest.mark.parametrize("arch", KERNELS["mma"].arches)
def test_mma_is_native(arch: str, tmp_path: Path) -> None:
    tile = KERNELS["mma"].arches[arch]
    for variant in KERNELS["mma"].variants:
        code = disassembly(built("mma", variant, arch), tmp_path)
        expected = {"XOR": 256, "AND": 32 * int(tile["CHUNKS"]) // 2, "BYTES": 8 * 32 * int(tile["CHUNKS"]) // 2}
        assert len(re.findall(MMA[str(tile["FORM"])], code)) == expected[str(tile["FORM"])]
        assert not CALL.search(code)


def test_wgmma_is_native_and_asynchronous(tmp_path: Path) -> None:
    for variant in KERNELS["wgmma"].variants:
        code = disassembly(built("wgmma", variant, "sm_90a"), tmp_path)
        assert len(re.findall(r"BGMMA\.64x256x256\.AND\.POPC", code)) == 4
        assert not CALL.search(code)
        # One group stays under way in the loop, and the four products of a stage follow each other without a wait.
        assert len(re.findall(r"WARPGROUP\.DEPBAR\.LE gsb0, 0x1", code)) == 1
        between = re.search(r"BGMMA.*BGMMA", code, re.DOTALL)
        assert between is not None
        assert "DEPBAR" not in between[0]


def test_the_limits_are_products_alone(tmp_path: Path) -> None:
    code = disassembly(built("limit_mma", "AND", "sm_90a"), tmp_path)
    assert len(re.findall(MMA["AND"], code)) == 16
    assert not CALL.search(code)
    code = disassembly(built("limit_wgmma", "AND", "sm_90a"), tmp_path)
    assert len(re.findall(r"BGMMA\.64x256x256\.AND\.POPC", code)) == 4
    loop = re.search(r"BGMMA.*BGMMA", code, re.DOTALL)
    assert loop is not None
    assert not re.search(r"DEPBAR|LDS|BAR\.SYNC", loop[0])


def test_carry_save_counts_half_of_the_words(tmp_path: Path) -> None:
    code = disassembly(built("carry_save", "int32", "sm_90a"), tmp_path)
    # The loop over pairs of words has one count an output, and three ternary operations.
    blocks = re.split(r"\.L_x_\d+:|\bBRA\b", code)
    loop = next(block for block in blocks if len(re.findall(r"\bLDS", block)) == 18 and "POPC" in block)
    assert len(re.findall(r"\bPOPC\b", loop)) == 32
    assert len(re.findall(r"\bLOP3\b", loop)) <= 3 * 32 + 8
    assert not CALL.search(code)


def test_xor_on_hopper_would_call_a_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason for AND, and proof that the check for calls finds them."""
    xor = replace(KERNELS["mma"], arches={"sm_90a": compile.MMA["sm_75"]})
    monkeypatch.setattr(compile, "KERNELS", {**KERNELS, "mma": xor})
    assert CALL.search(disassembly(build("mma", "int32", "sm_90a"), tmp_path))


def test_an_error_shows_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compile, "source", lambda name: "no C++")
    with pytest.raises(RuntimeError, match=r"(?s)ones  does not compile for sm_80.*error"):
        build("ones", "", "sm_80")


def test_cubins_are_cached_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with ThreadPoolExecutor(4) as pool:
        made = set(pool.map(lambda _: cubin("ones", "", "sm_80"), range(4)))
    kept = list((tmp_path / "bnnbench" / "kernels").iterdir())
    assert len(made) == len(kept) == 1
    monkeypatch.setattr(compile, "build", None)  # what was kept needs no compiler
    assert cubin("ones", "", "sm_80") in made
    monkeypatch.setattr(compile, "build", build)
    whole = kept[0].read_bytes()
    for damaged in (b"", whole[:100], whole[:-1], whole[:500] + b"x" + whole[501:]):
        kept[0].write_bytes(damaged)
        assert cubin("ones", "", "sm_80") in made
        assert kept[0].read_bytes() == whole
    monkeypatch.setattr(compile, "OPTIONS", (*compile.OPTIONS, "-DANOTHER"))
    assert cubin("ones", "", "sm_80") in made
    monkeypatch.setenv("XDG_CACHE_HOME", str(kept[0]))  # a file: nothing can be written there
    assert cubin("ones", "", "sm_80") in made


def test_cubins_run_on_later_chips_of_a_generation() -> None:
    chips = {(7, 5): "sm_75", (8, 0): "sm_80", (8, 9): "sm_86", (9, 0): "sm_90a", (10, 3): "sm_100", (12, 1): "sm_120"}
    assert {chip: arch_of(chip) for chip in chips} == chips
    assert arch_of((11, 0)) == "sm_110"
    assert arch_of((7, 0)) is None
    assert arch_of((13, 0)) is None


def test_the_path_follows_rows_planes_and_chip() -> None:
    def path(arch: str, rows: int, columns: int, planes: int = 1, *, dense: bool = True) -> str:
        return launch.choose(arch, 132, rows, columns, planes, dense=dense)

    assert path("sm_90a", 8192, 8192) == "wgmma"
    assert path("sm_90a", 8192, 8192, planes=8) == "mma"
    assert path("sm_90a", 1024, 1024) == "mma"
    assert path("sm_90a", 16, 8192) == "gemv"
    assert path("sm_90a", 16, 8192, dense=False) == "mma"
    assert path("sm_110", 8192, 8192) == "carry_save"
    assert {path(arch, 8192, 8192) for arch in ARCHES} == {"mma", "wgmma", "carry_save"}


def test_a_probe_says_what_is_missing() -> None:
    available, detail = device.probe()
    assert available or "CUDA" in detail
    assert {device.describe(arch) for arch in ARCHES} == {
        *device.FORMS.values(),
        "b1 AND by wgmma",
        "carry-save counting on CUDA cores",
    }


def test_operands_beyond_32_bits_are_refused() -> None:
    with pytest.raises(ValueError, match="too large for one product"):
        launch.dense(2**20, 2**12)
