"""The cache of compiled kernels: whatever happens to it costs time, and never a product."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import pytest
from conftest import environment

from bnnbench.kernels.cpu import compiled as caching
from bnnbench.kernels.cpu.compiled import compiled


def _triple(x: int) -> int:
    return 3 * x + 1


def fresh() -> Any:
    """The function as another process would compile or load it."""
    return compiled(_triple)


def cached(dispatcher: Any) -> bool:
    """Whether the first call took the code from the disk; checks what it computes."""
    assert dispatcher(7) == 22
    return bool(sum(dispatcher.stats.cache_hits.values()))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    return tmp_path


def kept(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_code_is_kept_and_taken(folder: Path) -> None:
    assert not cached(fresh())
    assert len(kept(folder)) == 1
    assert cached(fresh())


def _flip(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "truncated": lambda content: content[: len(content) // 2],
    "garbage": lambda content: b"garbage" * 100,
    "zeros": lambda content: bytes(len(content)),
    "a bit of the code": lambda content: _flip(content, len(content) // 2),
    "a bit of the checksum": lambda content: _flip(content, 0),
    "the last byte": lambda content: content[:-1],
    "something behind": lambda content: content + b"x",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_code_is_compiled_again_and_replaced(folder: Path, damage: str) -> None:
    cached(fresh())
    (path,) = kept(folder)
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    assert not cached(fresh())
    assert cached(fresh())


def test_code_that_cannot_be_replaced_is_compiled_in_memory(folder: Path) -> None:
    cached(fresh())
    (path,) = kept(folder)
    path.unlink()
    path.mkdir()
    for _ in range(2):
        assert not cached(fresh())
    path.rmdir()
    os.mkfifo(path)  # to read it would wait for ever
    assert not cached(fresh())
    assert cached(fresh())


def test_a_link_to_nowhere_or_to_itself_is_replaced(folder: Path) -> None:
    cached(fresh())
    (path,) = kept(folder)
    for place in ("nowhere", path.name):
        path.unlink()
        path.symlink_to(place)
        assert not cached(fresh())
        assert cached(fresh())


def test_a_folder_that_vanishes_is_made_again(folder: Path) -> None:
    dispatcher = fresh()
    for path in folder.iterdir():
        path.rmdir()
    assert not cached(dispatcher)
    assert cached(fresh())


def test_code_of_other_sources_is_not_taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached(fresh())
    monkeypatch.setattr(caching, "FINGERPRINT", "another")
    assert not cached(fresh())
    assert cached(fresh())
    assert len(kept(folder)) == 1, "what is stale is overwritten"


def test_signatures_have_files_of_their_own(folder: Path) -> None:
    dispatcher: Any = fresh()
    assert (dispatcher(7), dispatcher(0.5)) == (22, 2.5)
    assert len(kept(folder)) == 2
    again: Any = fresh()
    assert (again(0.5), again(7)) == (2.5, 22)
    assert sum(again.stats.cache_hits.values()) == 2


PRODUCT = """
import resource, signal
import numpy as np
from bnnbench import kernels
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
print(kernels.unpack(kernels.pack(-np.ones((1, 70), np.float32))).sum())
"""


@pytest.mark.parametrize("size", [0, 5000])
def test_a_full_disk_costs_no_product_and_leaves_no_debris(tmp_path: Path, size: int) -> None:
    values = {**environment(), "NUMBA_CACHE_DIR": str(tmp_path)}
    script = [sys.executable, "-c", PRODUCT.format(size=size)]
    done = subprocess.run(script, env=values, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("-70.0\n", "")
    assert kept(tmp_path) == []


@pytest.mark.parametrize("home", ["", "/nowhere/at/all", "/proc"])
def test_without_a_home_kernels_compute(tmp_path: Path, home: str) -> None:
    values = environment()
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HOME"):
        values.pop(name, None)
    values |= {"HOME": home} if home else {}
    script = [sys.executable, "-c", PRODUCT.format(size=2**30)]
    done = subprocess.run(script, env=values, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("-70.0\n", "")
    assert list(tmp_path.iterdir()) == []
