"""MLflow's database: whole before anybody sees it, set aside where it is none, and one line for all else."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import environment
from mlflow.tracking import MlflowClient

from bnnbench.errors import UserError
from bnnbench.harness import tracking_store


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "m.db"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
    tracking_store._wrong_with.cache_clear()
    yield path
    tracking_store._wrong_with.cache_clear()


def opened(path: Path) -> list[str]:
    with tracking_store.client(path.with_name("lock")) as (client, mended):
        client.search_experiments()
        return mended


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "m.db"
    MlflowClient(f"sqlite:///{path}").create_experiment("mine")
    return path.read_bytes()


def test_a_database_is_made_and_nothing_else_stays(database: Path) -> None:
    assert opened(database) == []
    assert sorted(path.name for path in database.parent.iterdir()) == [".m.db.lock", "m.db"]


def test_a_process_killed_while_it_makes_one_leaves_none(database: Path) -> None:
    code = (
        "from pathlib import Path; from bnnbench.harness import tracking_store as t\nwith t.client(Path('lock')): pass"
    )
    for wait in (0.0, 0.3, 0.8):
        process = subprocess.Popen([sys.executable, "-c", code], cwd=database.parent, env=made_by(database))
        deadline = time.monotonic() + 60
        while not list(database.parent.glob(".m.db.*.partial")) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(wait)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        if database.exists():  # it was made before the signal came
            database.unlink()
    assert opened(database) == []
    assert not list(database.parent.glob(".m.db.*.partial*"))


def made_by(database: Path) -> dict[str, str]:
    return {**environment(), "MLFLOW_TRACKING_URI": f"sqlite:///{database}"}


@pytest.mark.parametrize("kind", ["empty", "noise", "torn", "half made", "folder"])
def test_what_is_no_whole_database_is_set_aside(database: Path, whole: bytes, kind: str) -> None:
    if kind == "folder":
        database.mkdir()
    else:
        contents = {"empty": b"", "noise": b"no database at all" * 50, "torn": whole[: len(whole) // 3]}
        database.write_bytes(contents.get(kind, whole))
    if kind == "half made":  # as a killed migration leaves it: the tables are there, and no version
        with sqlite3.connect(database) as connection:
            connection.execute("delete from alembic_version")
    (said,) = opened(database)
    assert "it was set aside as m.db.damaged" in said
    assert database.with_name("m.db.damaged").exists()
    assert opened(database) == []


def test_a_database_with_runs_is_never_set_aside(database: Path, whole: bytes) -> None:
    database.write_bytes(whole)
    MlflowClient(f"sqlite:///{database}").create_run("0")
    with sqlite3.connect(database) as connection:
        connection.execute("update alembic_version set version_num = 'bd07f7e963c5'")
    code = (
        "from pathlib import Path; from bnnbench.harness import tracking_store as t\nwith t.client(Path('lock')): pass"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=database.parent,
        env=made_by(database),
        capture_output=True,
        text=True,
        check=False,
    )
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("bnnbench.errors.UserError: MLFLOW_TRACKING_URI sqlite:///")
    assert not list(database.parent.glob("*.damaged"))


def test_the_database_of_another_program_is_left_alone(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("create table songs (title text)")
    with pytest.raises(UserError, match=r"m\.db: a database, but not MLflow's; name another one"):
        opened(database)
    assert database.exists()


def test_two_writers_with_folders_of_their_own_make_one_database(database: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from bnnbench.harness import tracking_store as t\n"
        "with t.client(Path(sys.argv[1])) as (client, _): client.create_experiment(sys.argv[1])"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, name], cwd=database.parent, env=made_by(database))
        for name in "ab"
    ]
    assert [writer.wait(120) for writer in writers] == [0, 0]
    names = {found.name for found in MlflowClient(f"sqlite:///{database}").search_experiments()}
    assert {"a", "b"} <= names


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (sqlite3.OperationalError("database is locked\n[SQL: ...]"), "in use by another program"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "cannot be written"),
        (sqlite3.OperationalError("unable to open database file"), "its path may have 500 characters"),
        (OSError(28, "No space left on device"), "free space"),
        (ValueError(""), "ValueError"),
    ],
)
def test_what_to_do_is_said_in_one_line(error: Exception, said: str) -> None:
    assert said in tracking_store.reason(error)
    assert "\n" not in tracking_store.reason(error)
