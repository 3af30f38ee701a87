"""Choices measured on a machine: what is timed, what is chosen, and what a damaged file costs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def test_a_tile_that_cannot_be_is_not_taken() -> None:
    default = targets.default()
    disk.keep_tuned(default.name, {"rows": 7, "vectors": default.vectors})
    assert targets.target() == default


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"sm_90a": 3}', b'{"sm_90a": {"rows": "x"}}', b"\xff"])
def test_a_damaged_file_counts_as_none(content: bytes) -> None:
    disk.keep(disk.tuning_file(), content)
    assert disk.tuned("sm_90a") == {}
    assert launch.choose("sm_90a", 132, 9, 4096, 1, dense=True) == "gemv"
    disk.keep_tuned("sm_90a", {"small_batch": 8})
    disk.tuned.cache_clear()
    assert disk.tuned("sm_90a") == {"small_batch": 8}


@given(st.dictionaries(st.integers(1, 50), st.booleans()))
def test_switches_lie_where_one_kernel_stays_ahead(wins: dict[int, bool]) -> None:
    low, high = cuda_tune.last_of_first_run(wins), cuda_tune.first_of_last_run(wins)
    assert all(won for size, won in wins.items() if size <= low or size >= high)
    lost = [size for size, won in wins.items() if not won]
    assert not lost or low < min(lost)
    assert not lost or high > max(lost)
    assert lost or not wins or (low, high) == (max(wins), min(wins))
