"""What the CPU kernels compile to, and that narrower processors get right numbers too."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, environment

from bnnbench.kernels.cpu.target import AVX512, target

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
X86_64_V3 = "+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+avx,+avx2,+bmi,+bmi2,+fma,+lzcnt,+cx16"


def run(cache: Path, **variables: str) -> subprocess.Popen[str]:
    values = {**environment(), "NUMBA_CACHE_DIR": str(cache), **variables}
    return subprocess.Popen(
        [sys.executable, "-c", CHECK], env=values, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="names x86 features")
@pytest.mark.parametrize(
    ("features", "lanes"),
    [(X86_64_V3, 4), ("+sse,+sse2,+sse3,+ssse3,+sse4.1", 2), ("+sse,+sse2,+popcnt", 1)],
    ids=["avx2", "128-bit", "scalar"],
)
def test_the_same_source_serves_narrower_processors(tmp_path: Path, features: str, lanes: int) -> None:
    process = run(tmp_path, NUMBA_CPU_NAME="x86-64", NUMBA_CPU_FEATURES=features)
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert output.split() == [str(lanes)]


@pytest.mark.parametrize("tile", ["1x1", "3x2", "6x1"])
def test_other_tiles_give_the_same_numbers(tmp_path: Path, tile: str) -> None:
    process = run(tmp_path, BNNBENCH_CPU_TILE=tile)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors


def test_processes_that_start_at_once_do_not_trip_over_the_cache(tmp_path: Path) -> None:
    for _ in range(2):  # an empty cache, then a warm one
        processes = [run(tmp_path) for _ in range(4)]
        for process in processes:
            _, errors = process.communicate(timeout=240)
            assert process.returncode == 0, errors


@pytest.mark.skipif(target() is not AVX512, reason="this processor has no AVX-512 popcount")
def test_the_inner_loop_is_24_popcounts_of_512_bits_without_stack_traffic(tmp_path: Path) -> None:
    script = (
        "import numpy as np; from bnnbench import kernels; from bnnbench.kernels.cpu import gemm; "
        "kernels.matmul(kernels.pack(np.ones((6, 64))), kernels.prepare(np.ones((32, 64)))); "
        "print('\\n'.join(gemm.rows_times_panels.inspect_asm().values()))"
    )
    values = {**environment(), "NUMBA_CACHE_DIR": str(tmp_path)}  # code from the cache cannot be looked at
    text = subprocess.run([sys.executable, "-c", script], env=values, capture_output=True, text=True, check=True).stdout
    blocks = re.split(r"^\.?L[\w$.]*:|^\s+j\w+\s.*$", text, flags=re.MULTILINE)  # up to a label or a jump
    inner = [block for block in blocks if len(re.findall(r"vpopcntq\s+%zmm", block)) >= 24]
    assert inner
    for block in inner:
        assert "rsp" not in block
        assert not re.search(r"vpopcntq\s+%[xy]mm", block)


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
