"""MLflow's store: a new database is complete before it becomes visible, and a damaged one is set aside."""

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnnbench.errors import UserError
from bnnbench.harness.files import locked, set_aside, writing

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

DEFAULT_URI = "sqlite:///mlflow.db"
SQLITE = "sqlite:///"


def uri() -> str:
    """The address of the store: `$MLFLOW_TRACKING_URI`, or else MLflow's own default in the current folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI


@contextmanager
def client(fallback_lock: Path) -> Iterator[tuple["MlflowClient", list[str]]]:
    """A context in which only this process of bnnbench writes; yields a client and what was repaired for it.

    The lock file is beside a SQLite database, so that writers with different results folders take turns. For a server
    it is `fallback_lock`.
    """
    _prepare()
    path = database()
    lock = fallback_lock if path is None else path.with_name(f".{path.name}.lock")
    with locked(lock):
        mended = _mend(path) if path is not None else []
        with one_line():
            yield connect(), mended


def database() -> Path | None:
    """The file of a SQLite store; `None` for another kind."""
    return Path(uri().removeprefix(SQLITE).partition("?")[0]) if uri().startswith(SQLITE) else None


@contextmanager
def one_line() -> Iterator[None]:
    """Turns errors of MLflow and its database into one line that names the store."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise UserError(f"MLFLOW_TRACKING_URI {uri()}: {reason(error)}") from error


def reason(error: Exception) -> str:
    """What went wrong, with a remedy where one is known."""
    text = " ".join((str(error).splitlines() or [type(error).__name__])[0].split())
    if "database is locked" in text:
        return "the database is in use by another program; close it, or wait, and track again"
    if "unable to open database file" in text:
        return "the database cannot be opened: its folder must let you write, and its path may have 500 characters"
    if "readonly database" in text:
        return "the database cannot be written; give yourself the right to, or name another one"
    if "disk is full" in text or "No space left" in text:
        return "the disk is full; free space and track again"
    return text


def connect() -> "MlflowClient":
    """A client of the store, without any repair."""
    _prepare()
    from mlflow.tracking import MlflowClient

    with one_line():
        client = MlflowClient(tracking_uri=uri())
        client.search_experiments(max_results=1)
    return client


def _prepare() -> None:
    try:
        Path.home()
    except RuntimeError:  # there is neither $HOME nor an account, and MLflow cannot be imported without a home
        os.environ["HOME"] = tempfile.gettempdir()
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # the default makes a user wait for minutes


def _mend(path: Path) -> list[str]:
    """Sets aside a file that is not a complete database, and makes a database where there is none."""
    said = []
    if path.exists() and (wrong := _wrong_with(path, path.stat().st_ino)):
        with writing(path):
            place = set_aside(path)
        said.append(f"{path} {wrong}; it was set aside as {place.name}, and the runs are tracked anew")
    if not path.exists():
        _make(path)
    return said


@cache
def _wrong_with(path: Path, inode: int) -> str:
    """Why a file is unusable: it is not a database, or its creation was interrupted before it held a run; "" if usable.

    Checking a large file takes a second, so each file (`inode`) is checked once.
    """
    if not path.is_file():
        return "is no file"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=20)) as connection:
            (state,) = connection.execute("pragma quick_check(1)").fetchone()
            if state != "ok":
                return "is damaged"
            tables = {name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")}
            if tables and not tables & {"alembic_version", "experiments", "runs"}:
                raise UserError(f"{path}: a database, but not MLflow's; name another one in MLFLOW_TRACKING_URI")
            counted = connection.execute("select count(*) from runs").fetchone() if "runs" in tables else (0,)
            marked = "alembic_version" in tables
            versions = connection.execute("select version_num from alembic_version").fetchall() if marked else []
    except sqlite3.OperationalError:  # locked or not readable: the file may be sound, so MLflow reports the problem
        return ""
    except sqlite3.DatabaseError:
        return "is no database"
    whole = counted[0] or ("experiments" in tables and {version for (version,) in versions} == _heads())
    return "" if whole else "was left half made"


def _heads() -> set[str]:
    """The versions of the schema that this MLflow creates."""
    from alembic.script import ScriptDirectory
    from mlflow.store import db_migrations

    return set(ScriptDirectory(str(Path(db_migrations.__file__).parent)).get_heads())


def _make(path: Path) -> None:
    """Makes the database beside its place and moves it there, so that a killed process leaves no incomplete one."""
    _prepare()
    from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with writing(path), one_line():
        path.parent.mkdir(parents=True, exist_ok=True)
        for old in path.parent.glob(f".{path.name}.*.partial*"):  # left by killed processes, as we hold the lock
            old.unlink(missing_ok=True)
        try:
            make: Any = SqlAlchemyStore  # SqlAlchemyStore has no types
            store = make(f"{SQLITE}{partial}", DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH)
            store.engine.dispose()
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
