"""Files are whole or absent; locks end with their process."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnnbench.errors import UserError
from bnnbench.harness import files


@given(st.binary(max_size=5000))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("write") / "deep" / "file"
    files.write_atomic(path, content)
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_and_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    files.write_atomic(path, "old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))  # as a full disk: the write stops in the middle
    try:
        with pytest.raises(UserError, match=r"result\.json: cannot be written: .*; free space") as caught:
            files.write_atomic(path, "x" * 50_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    assert "\n" not in str(caught.value)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written: "):
        files.write_atomic(tmp_path / "file" / "below", "x")


def test_nan_is_not_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "x.json", {"value": float("nan")})
    assert not (tmp_path / "x.json").exists()


HOLDER = """
import sys, time
from pathlib import Path
from bnnbench.harness import files
files.acquire(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def test_a_lock_ends_with_its_killed_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError):
            files.acquire(path, wait=False)
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        os.close(files.acquire(path, wait=False))
    finally:
        holder.kill()


def test_waiting_is_announced_and_ends(tmp_path: Path) -> None:
    path, told = tmp_path / "lock", []
    script = HOLDER.replace("time.sleep(60)", "time.sleep(1)")
    holder = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    holder.stdout.readline()
    start = time.monotonic()
    with files.locked(path, on_wait=lambda: told.append(True)):
        assert time.monotonic() - start > 0.2
    assert told == [True]
    holder.wait()


def test_json_round_trip(tmp_path: Path) -> None:
    value = {"a": [1, 2.5, "é"], "b": None}
    files.write_json(tmp_path / "x.json", value)
    assert json.loads((tmp_path / "x.json").read_text()) == value
