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
        with files.locked(path, wait=False):
            pass
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


@given(st.binary(min_size=1, max_size=200), st.data())
def test_a_seal_shows_every_change_until_new_content_is_written(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("sealed") / "file"
    files.write_atomic(path, content)
    assert files.is_as_written(path), "a file without a seal counts as it is"
    files.seal(path)
    assert files.is_as_written(path)
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    other = bytearray(content)
    other[bit // 8] ^= 1 << bit % 8
    path.write_bytes(other)
    assert not files.is_as_written(path)
    files.write_atomic(path, bytes(other))
    assert files.is_as_written(path)
    (path.parent / ".file.seal").write_bytes(b"no digest")
    assert files.is_as_written(path), "a damaged seal costs nothing"
    path.unlink()
    assert not files.is_as_written(path)


def test_nothing_waits_for_the_writer_of_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(OSError, match="not a regular file"):
        files.read_regular(path)
    assert not files.is_as_written(path)
    assert not files.is_locked(path)


def test_a_folder_in_the_place_of_a_file_makes_way(tmp_path: Path) -> None:
    for act in (lambda path: files.write_atomic(path, "new"), files.clear):
        place = tmp_path / "file"
        (place / "inner").mkdir(parents=True)
        act(place)
        assert not place.is_dir()
        place.unlink(missing_ok=True)
    assert len(list(tmp_path.glob("file.damaged*/inner"))) == 2


def test_a_lock_is_not_kept_by_what_its_holder_forked(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    script = HOLDER.replace("time.sleep(60)", "import os; os.fork() or time.sleep(60)")
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert holder.wait(30) == 0, "the holder ends and its child lives on"
        with files.locked(path, wait=False):
            pass
    finally:
        os.killpg(holder.pid, signal.SIGKILL)
