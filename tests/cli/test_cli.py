"""The command as a user meets it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Command, environment

from bnnbench.harness import config as configuration
from bnnbench.harness import execute, plan


@pytest.fixture
def smoke(tmp_path: Path) -> str:
    path = tmp_path / "smoke.yaml"
    path.write_text("{scale: smoke, papers: [toy]}")
    return str(path)


@pytest.fixture
def compute(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Computes jobs as `bnnbench run` does, in this process."""
    monkeypatch.chdir(tmp_path)

    def run(config: str, *jobs: str) -> None:
        made = plan.make(configuration.load(config), config)
        for name in jobs:
            execute.execute(made, made.job(name))

    return run


def test_planning_and_listing_load_nothing_heavy(tmp_path: Path) -> None:
    script = (
        "import sys; from typer.testing import CliRunner; from bnnbench.cli.commands import app\n"
        "for words in sys.argv[1:]:\n"
        "    assert CliRunner().invoke(app, words.split()).exit_code == 0, words\n"
        "heavy = {'torch', 'pandas', 'mlflow', 'scipy', 'sklearn', 'matplotlib', 'numpy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    commands = ["list", "list datasets", "plan --scale paper", "data list"]
    done = subprocess.run([sys.executable, "-c", script, *commands], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_list_names_papers_data_sets_and_methods(command: Command) -> None:
    assert "toy/walk: A random walk [smoke, laptop, paper]" in command("bnnbench", "list").stdout
    assert "mnist: MNIST" in command("bnnbench", "list", "datasets").stdout
    assert command("bnnbench", "list", "methods").returncode == 0
    assert "no list of 'paper'; did you mean 'papers'?" in command("bnnbench", "list", "paper").stderr


def test_plan_shows_jobs_resources_and_data(command: Command, smoke: str) -> None:
    text = command("bnnbench", "plan", "--config", smoke).stdout
    assert "3 jobs at scale smoke" in text
    assert "toy/walk" in text
    text = command("bnnbench", "plan", "--config", smoke, "--jobs").stdout
    assert "toy/walk/shifted" in text
    assert "mnist" in command("bnnbench", "plan", "--scale", "smoke").stdout


def test_run_computes_and_says_where(command: Command, smoke: str, tmp_path: Path) -> None:
    done = command("bnnbench", "run", "toy/still/default", "--config", smoke)
    assert done.returncode == 0
    assert done.stdout.startswith("toy/still/default: ok (results/smoke/toy/still/default/")
    (path,) = (tmp_path / "results/smoke/toy/still/default").glob("*/result.json")
    assert json.loads(path.read_text())["status"] == "ok"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "toy/walk/plane"], "no job 'toy/walk/plane'; did you mean 'toy/walk/plain'?"),
        (["plan", "--scale", "huge"], "scale 'huge' is not one of smoke, laptop, paper"),
        (["plan", "--config", "nowhere.yaml"], "nowhere.yaml: no such file"),
        (["data", "verify", "mnits"], "no data set 'mnits'; did you mean 'mnist'?"),
        (["data", "fetch", "imagenet"], "imagenet"),
        (["compare", "a", "b"], "a"),
        (["record", "x/y"], "name 'x/y': it may hold only letters"),
        (["report", "nobody"], "no paper 'nobody'"),
    ],
)
def test_a_mistake_is_one_line_on_stderr(command: Command, words: list[str], message: str) -> None:
    done = command("bnnbench", *words)
    assert done.returncode == 1
    assert done.stderr.startswith("bnnbench: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_compare_tells_what_changed_beyond_its_interval(
    command: Command, compute: Callable[..., None], smoke: str, tmp_path: Path
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("{scale: smoke, papers: [toy], results: other, params: {toy/walk: {shift: 7.0}}}")
    for config in (smoke, str(other)):
        compute(config, "toy/walk/plain", "toy/walk/shifted")
    text = command("bnnbench", "compare", "results/smoke", "other/smoke").stdout
    assert "+7" in text
    assert "shift" in text
    assert "better" in text


def test_a_current_result_is_kept_in_recorded(
    command: Command, compute: Callable[..., None], smoke: str, tmp_path: Path
) -> None:
    assert "nothing computed yet" in command("bnnbench", "record", "first", "--config", smoke).stderr
    compute(smoke, "toy/walk/plain", "toy/walk/shifted", "toy/still/default")
    assert command("bnnbench", "record", "first", "--config", smoke).returncode == 0
    kept = {path.name for path in (tmp_path / "results/recorded/first").iterdir()}
    assert {"numbers.csv", "jobs.jsonl", "claims.json"} < kept
    text = command("bnnbench", "compare", "results/recorded/first", "results/smoke").stdout
    assert "unchanged" in text
    assert "already there" in command("bnnbench", "record", "first", "--config", smoke).stderr


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_ui_serves_mlflow_and_follows_new_results(
    command: Command, compute: Callable[..., None], smoke: str, tmp_path: Path, toy_folder: Path
) -> None:
    compute(smoke, "toy/still/default")
    port = free_port()
    words = ["bnnbench", "ui", "--config", smoke, "--port", str(port), "--every", "0.5"]
    server = subprocess.Popen(
        words, cwd=tmp_path, env=environment(toy_folder), text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert server.stdout is not None
        link = server.stdout.readline()
        assert f"http://127.0.0.1:{port}/#/experiments/" in link
        assert "workflowType=machine_learning" in link
        deadline = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as page:
                    assert page.status == 200
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.5)
        compute(smoke, "toy/walk/plain")
        assert "1 runs created" in server.stdout.readline()
        taken = command("bnnbench", "ui", "--config", smoke, "--port", str(port))
        assert f"port {port} is in use" in taken.stderr
    finally:
        os.kill(server.pid, signal.SIGINT)
        assert server.wait(60) in (0, 1, 130)
    deadline = time.monotonic() + 30  # the server's worker ends a moment after it
    while answers(port):
        assert time.monotonic() < deadline, "the server outlives the command"
        time.sleep(0.2)


def test_a_log_says_how_long_the_rest_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bnnbench.cli import progress

    now = 1000.0
    monkeypatch.setattr("bnnbench.cli.progress.time.monotonic", lambda: now)
    lines = progress._Lines("job")
    for done in (5, 6, 10):  # resumed at step 4: only the speed since then counts
        now += 30
        lines.step(0, done, 20, {"loss": 0.5})
    assert capsys.readouterr().out.splitlines() == [
        "job seed 0: 5/20 loss=0.5",
        "job seed 0: 6/20 (0:07:00 left) loss=0.5",
        "job seed 0: 10/20 (0:02:00 left) loss=0.5",
    ]


def test_a_log_has_a_line_of_the_whole_run_at_most_every_30_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bnnbench.cli import progress
    from bnnbench.harness.whole_run import Look

    now = 1000.0
    monkeypatch.setattr("bnnbench.cli.progress.time.monotonic", lambda: now)
    with progress.show_whole_run() as shown:
        for second in range(70):
            now = 1000.0 + second
            shown.look(Look(second, 99, tuple(f"toy/walk/{k}" for k in range(5)), 600.0 - second))
        shown.message("bnnbench: something is wrong")
    said = capsys.readouterr()
    running = "toy/walk/0, toy/walk/1, toy/walk/2 and 2 more"
    assert said.out.splitlines() == [
        f"{done} of 99 jobs, some {minutes} min left; {running}" for done, minutes in ((0, 10), (30, 10), (60, 9))
    ]
    assert said.err == "bnnbench: something is wrong\n"


def test_the_scorecard_and_the_tables_are_printed_and_fetching_needs_nothing_where_nothing_lacks(
    command: Command, compute: Callable[..., None], smoke: str
) -> None:
    compute(smoke, "toy/walk/plain")
    card = command("bnnbench", "report", "--text", "--config", smoke)
    assert "2 jobs not computed yet: make reproduce CONFIG=" in card.stdout
    assert "The report: results/smoke/report/index.html" in card.stdout
    full = command("bnnbench", "report", "--full", "--no-refresh", "--config", smoke)
    assert "toy/walk at scale smoke" in full.stdout
    assert "The report:" not in full.stdout
    fetched = command("bnnbench", "data", "fetch", "--config", smoke)
    assert (fetched.returncode, fetched.stdout) == (0, "all data of the plan that have an address are here\n")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-"])
def test_closed_outputs_do_not_end_a_job(command: Command, smoke: str, tmp_path: Path, closed: str) -> None:
    done = command("bash", "-c", f"bnnbench run toy/still/default --config {smoke} {closed}")
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert len(list((tmp_path / "results/smoke/toy/still/default").glob("*/result.json"))) == 1


@pytest.mark.parametrize("words", ["list papers", "plan"])
def test_an_output_that_is_full_is_one_line(command: Command, words: str) -> None:
    done = command("bash", "-c", f"bnnbench {words} > /dev/full")
    assert done.returncode == 1
    assert done.stderr == "bnnbench: what is printed cannot be written: No space left on device; free space there\n"


@pytest.mark.parametrize("words", [["plan", "--config"], ["compare", "."]])
def test_a_name_longer_than_any_file_has_is_one_line(command: Command, words: list[str]) -> None:
    done = command("bnnbench", *words, "a" * 800)
    assert done.returncode == 1
    assert done.stderr.startswith("bnnbench: ")
    assert len(done.stderr.splitlines()) == 1
