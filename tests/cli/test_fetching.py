"""Data that a plan lacks: what the network has comes, and a dead network costs seconds and a line."""

import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bnnbench.cli import fetching
from bnnbench.errors import DataError, UserError
from bnnbench.harness import fetch
from bnnbench.harness.config import validate
from bnnbench.harness.data import Availability
from bnnbench.harness.plan import Plan, make


class Handler(BaseHTTPRequestHandler):
    """Says how many bytes `/N` has, and that there is no other file."""

    def do_HEAD(self) -> None:
        number = self.path.lstrip("/")
        self.send_response(200 if number.isdigit() else 404)
        self.send_header("Content-Length", number if number.isdigit() else "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An address that takes connections and never answers."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(64)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@dataclass(frozen=True)
class Download:
    url: str


@dataclass
class Offered:
    """A data set that notes that it was fetched."""

    name: str
    urls: list[str]
    error: UserError | None = None
    fetched: list[str] = field(default_factory=list)
    downloadable: bool = True

    @property
    def downloads(self) -> list[Download]:
        return [Download(url) for url in self.urls]

    def fetch(self, places: Any, progress: bool = False) -> None:
        self.fetched.append(hashlib.md5(str(places.cache_dir).encode()).hexdigest())
        if self.error:
            raise self.error


@pytest.fixture
def plan(toy: Path, tmp_path: Path) -> Plan:
    return make(validate({"scale": "smoke", "papers": ["toy"], "data": {"cache": str(tmp_path / "cache")}}, "test"))


def said(plan: Plan, monkeypatch: pytest.MonkeyPatch, *datasets: Offered) -> tuple[bool, list[str]]:
    monkeypatch.setattr(fetch, "lacking", lambda _: list(datasets))
    lines: list[str] = []
    return fetching.fetch(plan, lines.append, " (hint)"), lines


def test_it_says_how_much_and_begins_with_the_least(plan: Plan, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    large = Offered("large", [f"{address}/3000000000"])
    small = Offered("small", [f"{address}/1000000", f"{address}/2000000"])
    came, lines = said(plan, monkeypatch, large, small)
    assert came
    assert lines == [
        f"fetching small (3 MB), large (3.0 GB): 3.0 GB in all into {plan.config.cache_dir()} (hint)",
        "small: fetched and verified",
        "large: fetched and verified",
    ]
    assert (len(large.fetched), len(small.fetched)) == (1, 1)


def test_what_is_gone_is_said_and_the_rest_comes(plan: Plan, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gone, there = Offered("gone", [f"{address}/1", f"{address}/none"]), Offered("there", [f"{address}/1000000"])
    came, lines = said(plan, monkeypatch, gone, there)
    assert came
    assert lines[0] == "data that cannot be fetched: gone: HTTP 404"
    assert (gone.fetched, len(there.fetched)) == ([], 1)


@pytest.mark.parametrize("network", ["closed", "silent"])
def test_a_dead_network_costs_seconds_and_a_line(
    plan: Plan, network: str, silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "PATIENCE", 0.3)
    url = silent if network == "silent" else "http://127.0.0.1:1"
    datasets = [Offered(f"set-{k}", [f"{url}/a", f"{url}/b"]) for k in range(20)]
    began = time.monotonic()
    came, lines = said(plan, monkeypatch, *datasets)
    assert not came
    assert time.monotonic() - began < 10 * 0.3, "the patience is for all addresses together, not for each"
    assert len(lines) == 1
    assert "set-0, set-1" in lines[0]
    assert "no answer" in lines[0]
    assert not any(one.fetched for one in datasets)


def test_after_a_download_that_breaks_off_no_other_is_tried(
    plan: Plan, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = Offered("wrong", [f"{address}/1000"], DataError("wrong: another md5"))
    broken = Offered("broken", [f"{address}/2000"], UserError("broken: cannot be downloaded"))
    last = Offered("last", [f"{address}/3000"])
    came, lines = said(plan, monkeypatch, wrong, broken, last)
    assert not came
    assert lines[1:] == [
        "bnnbench: wrong: another md5",
        "bnnbench: broken: cannot be downloaded; no other data are fetched now",
    ]
    assert last.fetched == []


def test_only_what_the_plan_uses_and_this_machine_lacks_is_fetched(plan: Plan, tmp_path: Path) -> None:
    lacks = Availability("mnist", "unavailable", "", "", "not here")
    stands_in = Availability("fashion-mnist", "bundled:digits", "bundled", "digits instead")
    has = Availability("cifar10", "official:cifar10", "official", "", folder=tmp_path)
    broken = Availability("svhn", "broken", "", "a file is missing")
    no_address = Availability("lsun", "unavailable", "", "", "not here")
    data = {one.name: one for one in (lacks, stands_in, has, broken, no_address)}
    assert [one.name for one in fetch.lacking(Plan(plan.config, plan.jobs, data))] == ["mnist", "fashion-mnist"]
