"""Choices measured on a machine: what is timed, what is chosen, and what a damaged file costs."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import environment
from hypothesis import given
from hypothesis import strategies as st

from bnnbench.errors import UserError
from bnnbench.kernels import disk
from bnnbench.kernels.cpu import target as targets
from bnnbench.kernels.cpu import tune
from bnnbench.kernels.cuda import launch
from bnnbench.kernels.cuda import tune as cuda_tune


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(targets.TILE, raising=False)
    for function in (disk.tuned, targets.target):
        function.cache_clear()
    yield
    for function in (disk.tuned, targets.target):
        function.cache_clear()


@pytest.mark.parametrize("target", [targets.AVX512, targets.AVX2, targets.VECTOR128, targets.SCALAR])
def test_every_tile_fills_a_panel_and_fits_the_registers(target: targets.Target) -> None:
    found = tune.tiles(target)
    assert (target.rows, target.vectors) in found
    for rows, vectors in found:
        assert vectors * target.lanes in (8, 16, 32)
        assert rows <= 6
        assert rows * vectors + vectors < tune.REGISTERS[target.lanes]


def test_the_fastest_tile_and_block_are_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    default = targets.default()
    best = tune.tiles(default)[-1]
    calls = []

    def timed(tile: tuple[int, int]) -> dict[int, float]:
        calls.append(tile)
        # The first look at the best tile is disturbed; the second is not.
        slow = tile != best or calls.count(best) == 1
        return {block: 2.0 if slow else 1.0 + (block != 120) for block in tune.BLOCKS}

    monkeypatch.setattr(tune, "_in_child", timed)
    assert tune.tune(lambda _: None) == {"rows": best[0], "vectors": best[1], "block": 120}


def test_a_process_times_the_tile_that_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "numba"))
    spent = tune._in_child(tune.tiles(targets.default())[0])
    assert set(spent) == set(tune.BLOCKS)
    assert all(0 < seconds < 10 for seconds in spent.values())


def test_kept_choices_hold_and_leave_others_alone() -> None:
    default = targets.default()
    disk.keep_tuned("sm_90a", {"small_batch": 8, "wgmma_tiles": 64})
    disk.keep_tuned(default.name, {"rows": 3, "vectors": default.vectors, "block": 60})
    assert targets.target().rows == 3
    assert "measured here" in targets.describe()
    assert launch.choose("sm_90a", 132, 9, 4096, 1, dense=True) == "mma"  # 17 rows without the choice
    assert launch.choose("sm_90a", 132, 1024, 2048, 1, dense=True) == "wgmma"  # 132 tiles without the choice


def test_a_tile_that_cannot_be_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    default = targets.default()
    disk.keep_tuned(default.name, {"rows": 3, "vectors": 5})
    with pytest.warns(UserWarning, match=r"has no tile of 3 x 5 vectors; the built-in one is taken"):
        assert targets.target() == default
    for tile in ("7x4", "0x4", "axb", "2", "", "2x5"):
        targets.target.cache_clear()
        monkeypatch.setenv(targets.TILE, tile)
        with pytest.raises(UserError, match=f"^BNNBENCH_CPU_TILE is '{tile}'; it must be rows x "):
            targets.target()


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"3", b"{", b'{"sm_90a": 3}', b'{"sm_90a": [1]}', b"\xff", b"[" * 100_000]
)
def test_a_damaged_file_counts_as_none(content: bytes) -> None:
    disk.keep(disk.tuning_file(), content)
    with pytest.warns(UserWarning, match=f"^{disk.tuning_file()}"):
        assert disk.tuned("sm_90a") == {}
    assert launch.choose("sm_90a", 132, 9, 4096, 1, dense=True) == "gemv"
    disk.keep_tuned("sm_90a", {"small_batch": 8})
    disk.tuned.cache_clear()
    assert disk.tuned("sm_90a") == {"small_batch": 8}


def test_a_folder_in_place_of_the_file_counts_as_none() -> None:
    disk.tuning_file().mkdir(parents=True)
    with pytest.warns(UserWarning, match="cannot be read"):
        assert disk.tuned("avx2") == {}
    with pytest.raises(UserError, match=r"the measured choices cannot be saved: .*set XDG_CACHE_HOME"):
        disk.keep_tuned("avx2", {"block": 60})
    assert [path.name for path in disk.folder().iterdir()] == ["tuned.json"]


def test_no_file_is_no_reason_to_warn(recwarn: pytest.WarningsRecorder) -> None:
    assert disk.tuned("avx2") == {}
    assert not recwarn


WRONG = st.sampled_from([0, -5, 2**63, 1.0, 60.5, True, None, "60", [60], {"block": 60}, float("nan")])


@given(st.sampled_from(sorted(disk.CHOICES)), WRONG)
def test_a_choice_that_kernels_cannot_have_is_left_out(name: str, value: object) -> None:
    if (name, value) == ("small_batch", 0) and value is not False:
        return  # never the kernel for small batches: a measured choice
    right = {"rows": 3, "vectors": 2, "block": 60, "small_batch": 8, "wgmma_tiles": 5}
    disk.keep(disk.tuning_file(), json.dumps({"avx2": {**right, name: value}}).encode())
    disk.tuned.cache_clear()
    with pytest.warns(UserWarning, match=f"{name} of avx2 is .*; it must be .*, so the built-in choice is taken$"):
        assert disk.tuned("avx2") == {other: choice for other, choice in right.items() if other != name}


def test_a_choice_of_another_name_is_left_out() -> None:
    disk.keep(disk.tuning_file(), b'{"avx2": {"blocks": 60, "rows": 3}}')
    with pytest.warns(UserWarning, match="avx2 has no choice 'blocks'; there are rows, vectors, block"):
        assert disk.tuned("avx2") == {"rows": 3}


@pytest.mark.parametrize("block", [0, -5, 2**40])
def test_products_do_not_depend_on_what_the_file_says(tmp_path: Path, block: int) -> None:
    names = (targets.AVX512, targets.AVX2, targets.VECTOR128, targets.SCALAR)
    disk.keep(disk.tuning_file(), json.dumps({target.name: {"block": block} for target in names}).encode())
    script = (
        "import numpy as np; from bnnbench import kernels; a = np.ones((7, 70)); "
        "print(np.unique(kernels.matmul(kernels.pack(a), kernels.prepare(a))))"
    )
    values = environment() | {"XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=values, capture_output=True, text=True, check=True)
    assert done.stdout == "[70]\n"
    assert len(done.stderr.splitlines()) == 1
    assert f"block of {targets.default().name} is {block}" in done.stderr


@given(st.dictionaries(st.integers(1, 50), st.booleans()))
def test_switches_lie_where_one_kernel_stays_ahead(wins: dict[int, bool]) -> None:
    low, high = cuda_tune.last_of_first_run(wins), cuda_tune.first_of_last_run(wins)
    assert all(won for size, won in wins.items() if size <= low or size >= high)
    lost = [size for size, won in wins.items() if not won]
    assert not lost or low < min(lost)
    assert not lost or high > max(lost)
    assert lost or not wins or (low, high) == (max(wins), min(wins))
