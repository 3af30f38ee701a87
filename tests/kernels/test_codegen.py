"""What the CPU kernels compile to, and that narrower processors get right numbers too."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, environment
from kept import KEPT

from bnnbench.kernels.cpu.target import AVX2, AVX512, Target, default

CHECK = """
import numpy as np
from bnnbench import kernels
from bnnbench.kernels.cpu.target import target
rng = np.random.default_rng(0)
sign = lambda x: np.where(x >= 0, 1, -1)
for m, n, k in [(1, 1, 1), (7, 33, 65), (13, 70, 300), (300, 64, 128)]:
    a, b = rng.standard_normal((m, k)), rng.standard_normal((n, k))
    y = sign(a) @ sign(b).T
    x, w = kernels.pack(a), kernels.prepare(b, backend="cpu")
    assert np.array_equal(kernels.matmul(x, w), y)
    t = kernels.Threshold(rng.integers(-3, 4, n).astype(np.int32), rng.random(n) < 0.5)
    assert np.array_equal(kernels.unpack(kernels.linear(x, w, t)) == 1, (y >= t.at_least) ^ t.flip)
    pixels = rng.integers(0, 256, (m, k), np.uint8)
    assert np.array_equal(kernels.matmul(kernels.bit_planes(pixels), w), pixels.astype(int) @ sign(b).T)
images, filters = rng.standard_normal((2, 6, 5, 40)), rng.standard_normal((35, 40, 3, 3))
with kernels.use_backend("reference"):
    expected = kernels.conv2d(kernels.pack(images), kernels.prepare(filters), padding=1)
found = kernels.conv2d(kernels.pack(images), kernels.prepare(filters, backend="cpu"), padding=1)
assert np.array_equal(found, expected)
print(target().lanes)
"""
PRODUCT = """
import numpy as np
from bnnbench import kernels
x, w = kernels.pack(np.ones((3, 70))), kernels.prepare(-np.ones((5, 70)), backend="cpu")
assert np.array_equal(kernels.matmul(x, w), np.full((3, 5), -70))
"""
X86_64_V3 = "+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+avx,+avx2,+bmi,+bmi2,+fma,+lzcnt,+cx16"


def run(cache: Path, script: str = CHECK, **variables: str) -> subprocess.Popen[str]:
    values = {**environment(), "NUMBA_CACHE_DIR": str(cache), **variables}
    return subprocess.Popen(
        [sys.executable, "-c", script], env=values, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="names features of x86, which other processors do not have")
@pytest.mark.parametrize(
    ("features", "lanes"),
    [(X86_64_V3, 4), ("+sse,+sse2,+sse3,+ssse3,+sse4.1", 2), ("+sse,+sse2,+popcnt", 1)],
    ids=["avx2", "128-bit", "scalar"],
)
def test_the_same_source_serves_narrower_processors(features: str, lanes: int) -> None:
    process = run(KEPT / "numba", NUMBA_CPU_NAME="x86-64", NUMBA_CPU_FEATURES=features)
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert output.split() == [str(lanes)]


@pytest.mark.parametrize(("rows", "width"), [(1, 8), (3, 16), (2, 32)])
def test_other_tiles_give_the_same_numbers(rows: int, width: int) -> None:
    process = run(KEPT / "numba", BNNBENCH_CPU_TILE=f"{rows}x{width // default().lanes}")
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors


@pytest.mark.slow
def test_processes_that_start_at_once_do_not_trip_over_the_cache(tmp_path: Path) -> None:
    for damage in (0, 0, 100):  # an empty cache, a warm one, a damaged one
        for path in tmp_path.rglob("*.nbc") if damage else ():
            os.truncate(path, damage)
        processes = [run(tmp_path, PRODUCT) for _ in range(3)]
        for process in processes:
            _, errors = process.communicate(timeout=240)
            assert process.returncode == 0, errors


LOOK = """
import numpy as np
from numba import typeof
from bnnbench.kernels import reference
from bnnbench.kernels.cpu import backend, gemm, target
from bnnbench.kernels.packed import PackedWeights
kernel = gemm.rows_times_panels
gemm.rows_times_panels = lambda *given: kernel.compile(tuple(typeof(value) for value in given))  # compiled, never run
rows = reference.pack_bits(np.ones((32, 64), bool))
weights = PackedWeights(32, 64, (1, 1), "cpu", backend.layout(rows[:, None]))
table = backend.table(np.zeros((1, 32), np.int32), np.zeros(32, bool), 2, None)
backend.dense(rows[None, :6], weights, table, threads=1)
print(target.target().name)
print(*kernel.inspect_asm().values(), sep="\\n")
"""
X86_64_V4 = f"{X86_64_V3},+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl"


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="Numba emits code for the kind of processor that it runs on")
@pytest.mark.parametrize(
    ("target", "features", "count", "width"),
    [(AVX512, f"{X86_64_V4},+avx512vpopcntdq", "vpopcntq", "z"), (AVX2, X86_64_V3, "vpsadbw", "y")],
    ids=["avx512", "avx2"],
)
def test_the_inner_loop_counts_whole_vectors(
    tmp_path: Path, target: Target, features: str, count: str, width: str
) -> None:
    """Also for processors that this one is not: code for them can be compiled here, if not run."""
    values = {**environment(), "NUMBA_CACHE_DIR": str(tmp_path)}  # code from the cache cannot be looked at
    values |= {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": features, "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", LOOK], env=values, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    name, _, text = done.stdout.partition("\n")
    assert name == target.name
    blocks = re.split(r"^\.?L[\w$.]*:|^\s+j\w+\s.*$", text, flags=re.MULTILINE)  # up to a label or a jump
    counters = target.rows * target.vectors
    inner = [block for block in blocks if len(re.findall(rf"{count}\s+.*%{width}mm\d+$", block, re.M)) >= counters]
    assert inner
    for block in inner:
        # AVX2 counts by tables, for which its 16 registers do not leave room; AVX-512 has 32 and counts by itself.
        assert "rsp" not in block or target == AVX2
        assert not re.search(rf"{count}\s+.*%[{'xyz'.replace(width, '')}]mm", block)


def test_a_changed_emitter_is_compiled_anew(tmp_path: Path) -> None:
    """Numba's cache watches the file of a function; the code of these comes from another one."""
    package = tmp_path / "site" / "bnnbench"
    shutil.copytree(ROOT / "bnnbench", package, ignore=shutil.ignore_patterns("__pycache__"))
    script = (
        "import numpy as np; from bnnbench import kernels; "
        "print(kernels.matmul(kernels.pack(np.ones((1, 64))), kernels.prepare(-np.ones((1, 64))))[0, 0])"
    )
    values = {**environment(), "PYTHONPATH": str(tmp_path / "site"), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}

    def product() -> str:
        words = [sys.executable, "-c", script]
        return subprocess.run(words, cwd=tmp_path, env=values, capture_output=True, text=True, check=True).stdout

    assert product() == "-64\n"
    path = package / "kernels/cpu/codegen.py"
    later = path.stat().st_mtime + 10  # Python itself looks at whole seconds and the size
    path.write_text(path.read_text().replace("builder.sub(self._column(w)", "builder.add(self._column(w)"))
    os.utime(path, (later, later))
    assert product() == "192\n"


def test_without_a_folder_for_the_cache_kernels_are_compiled_in_memory(tmp_path: Path) -> None:
    package = tmp_path / "site" / "bnnbench"
    shutil.copytree(ROOT / "bnnbench", package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "kernels/cpu/__pycache__").write_text("a file, so that no folder can be made here")
    values = {**environment(), "PYTHONPATH": str(tmp_path / "site"), "HOME": "/proc", "XDG_CACHE_HOME": "/proc"}
    values["PYTHONDONTWRITEBYTECODE"] = "1"
    values.pop("NUMBA_CACHE_DIR", None)
    words = [sys.executable, "-c", CHECK]  # run elsewhere: the current folder comes first on the path
    done = subprocess.run(words, cwd=tmp_path, env=values, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_importing_the_api_loads_neither_numba_nor_torch_nor_cupy() -> None:
    script = "import sys, bnnbench.kernels; print({'numba', 'torch', 'cupy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
