"""The real workflow, run as a user runs it, with the paper of another package."""

import fcntl
import gzip
import json
import os
import shutil
import signal
import sqlite3
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, Command, command_in, environment, install_toy

from bnnbench.harness.files import locked

TOY: dict[str, Any] = {"scale": "smoke", "papers": ["toy"]}


REPRODUCE = ("bnnbench", "reproduce")
ONLY_JOBS = ("snakemake", "--until", "experiment")
"""The workflow up to the results of its jobs: what is made of them costs more than the jobs of the toy."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose configuration asks for the toy paper at smoke scale."""
    return check_out(tmp_path)


def check_out(folder: Path) -> Path:
    for name in ("workflow", "profiles", "config"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "Snakefile", folder)
    configure(folder)
    return folder


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout after `bnnbench reproduce`, which said what is in `said.txt`; all processes share it and only read."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "reproduced"
    with locked(folder.with_suffix(".lock")):
        if not (folder / "said.txt").exists():
            check_out(install_toy(folder).parent)
            done = command_in(folder)(*REPRODUCE)
            assert done.returncode == 0, done.stdout + done.stderr
            (folder / "said.txt").write_text(done.stdout + done.stderr)
    return folder


@pytest.fixture
def finished(toy_folder: Path, reproduced: Path) -> Path:
    """A checkout of one's own in which all is done, but for MLflow's database, which holds paths of the other one."""
    without = shutil.ignore_patterns("mlflow.db", "mlruns", "said.txt")
    return shutil.copytree(reproduced, toy_folder.parent, ignore=without, dirs_exist_ok=True)


def configure(checkout: Path, **values: Any) -> None:
    (checkout / "config/config.yaml").write_text(yaml.safe_dump({**TOY, **values}))


def results(checkout: Path) -> dict[str, dict[str, Any]]:
    """The latest record of each job."""
    paths = [
        path for name in ("result", "skipped") for path in (checkout / "results/smoke").glob(f"*/*/*/*/{name}.json")
    ]
    latest = sorted((json.loads(path.read_text()) for path in paths), key=lambda record: record["finished"])
    return {record["job"]: record for record in latest}


def written(checkout: Path) -> dict[Path, int]:
    """When each record of a job was written."""
    return {path: path.stat().st_mtime_ns for path in (checkout / "results/smoke").glob("*/*/*/*/result.json")}


def curves(checkout: Path, variant: str) -> list[str]:
    lines: list[str] = []
    for path in (checkout / "results/smoke/toy/walk" / variant).glob("*/history.jsonl"):
        lines += path.read_text().splitlines()
    return lines


def metrics(checkout: Path) -> dict[str, list[dict[str, float]]]:
    return {name: [seed["metrics"] for seed in record["seeds"]] for name, record in results(checkout).items()}


def tracked_runs(checkout: Path) -> list[str]:
    with sqlite3.connect(checkout / "mlflow.db") as database:
        query = (
            "select t.value from tags t join runs r on r.run_uuid = t.run_uuid "
            "where t.key = 'bnnbench.job' and r.lifecycle_stage = 'active' order by 1"
        )
        return [row[0] for row in database.execute(query)]


JOBS = ["toy/still/default", "toy/walk/plain", "toy/walk/shifted"]


def test_reproduce_makes_everything_and_ends_in_a_scorecard(reproduced: Path) -> None:
    folder = reproduced / "results/smoke"
    assert sorted(results(reproduced)) == JOBS
    assert tracked_runs(reproduced) == JOBS
    for name in ("report/index.html", "report/toy.html", "results.parquet", "figures/toy/path.svg"):
        assert (folder / name).stat().st_size > 0
    assert json.loads((folder / "claims/toy.json").read_text())[0]["verdict"] == "reproduced"
    page = (folder / "report/toy.html").read_text()
    assert "The shift moves the end by 2 m." in page
    assert str(Path.home()) not in page

    said = (reproduced / "said.txt").read_text()
    assert "of 3 jobs" in said, "a line of progress"
    assert "Select jobs to execute" not in said
    assert "Select jobs to execute" in (folder / "logs/snakemake.txt").read_text()
    card = said[said.index("Scale smoke") :].splitlines()
    assert len(card) <= 40
    assert ["toy", "1", "-", "-", "-"] in [line.split() for line in card]
    assert card[-1] == "The report: results/smoke/report/index.html"


def test_what_changed_is_computed_and_nothing_else(finished: Path, command: Command) -> None:
    again = command("snakemake")
    assert again.returncode == 0
    assert "Nothing to be done" in again.stdout + again.stderr

    # one parameter of one experiment: its jobs and no others
    before = results(finished)
    configure(finished, params={"toy/still": {"value": 2.0}})
    assert command(*ONLY_JOBS).returncode == 0
    after = results(finished)
    assert {name for name in JOBS if after[name] != before[name]} == {"toy/still/default"}
    assert after["toy/still/default"]["seeds"][0]["metrics"] == {"end": 2.0}

    # the code that one experiment uses, in a module that it imports: its jobs and no others
    model = finished / "site/toy_paper/model.py"
    model.write_text(model.read_text().replace("1.0", "3.0"))
    assert command("snakemake").returncode == 0
    last = results(finished)
    assert {name for name in JOBS if last[name] != after[name]} == {"toy/walk/plain", "toy/walk/shifted"}
    assert tracked_runs(finished) == JOBS
    assert "Nothing to be done" in command("snakemake").stderr


def test_one_figure_needs_only_its_experiments(checkout: Path, command: Command) -> None:
    assert command("snakemake", "toy_path").returncode == 0
    assert sorted(results(checkout)) == ["toy/walk/plain", "toy/walk/shifted"]
    assert (checkout / "results/smoke/figures/toy/path.svg").exists()


def wait_until(condition: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.05)


def start(checkout: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        words or ["snakemake"],
        cwd=checkout,
        env=environment(checkout / "site"),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


SLOW = {"params": {"toy/walk": {"pause": 0.05}}}


@pytest.mark.parametrize("orphans", [False, True], ids=["with-its-jobs", "alone"])
def test_a_killed_snakemake_goes_on_and_gives_the_same_numbers(
    checkout: Path, command: Command, reproduced: Path, orphans: bool
) -> None:
    configure(checkout, experiments=["toy/walk"], **SLOW)
    killed = start(checkout, *ONLY_JOBS)
    wait_until(lambda: len(curves(checkout, "shifted")) > 25)
    if orphans:
        os.kill(killed.pid, signal.SIGKILL)  # its jobs live on, and must not be computed beside themselves
    else:
        os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    done = command(*ONLY_JOBS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert metrics(checkout) == walks(reproduced)


def walks(checkout: Path) -> dict[str, list[dict[str, float]]]:
    return {name: seeds for name, seeds in metrics(checkout).items() if name.startswith("toy/walk/")}


def test_what_its_jobs_finish_after_snakemake_was_killed_is_kept(checkout: Path, command: Command) -> None:
    configure(checkout, experiments=["toy/walk"], **SLOW)
    killed = start(checkout, *ONLY_JOBS)
    wait_until(lambda: len(curves(checkout, "shifted")) > 25)
    os.kill(killed.pid, signal.SIGKILL)  # alone: its jobs come to their end without it
    killed.wait()
    wait_until(lambda: "toy/walk/shifted" in results(checkout))
    left = results(checkout)
    done = command(*ONLY_JOBS)
    assert done.returncode == 0, done.stdout + done.stderr
    after = results(checkout)
    assert {name: after[name] for name in left} == left


def test_a_result_computed_by_hand_is_never_computed_again(checkout: Path, command: Command) -> None:
    configure(checkout, experiments=["toy/still"])
    assert command("bnnbench", "run", "toy/still/default").returncode == 0
    by_hand = results(checkout)
    for more in ([], ["--forceall"]):
        assert command(*ONLY_JOBS, *more).returncode == 0
        assert results(checkout) == by_hand


@pytest.mark.parametrize(
    "patterns",
    [
        ["collected/toy/walk/jobs.parquet"],
        ["results.parquet", "claims/toy.json", "figures/toy/*.svg"],  # none of them is made of another one
        ["report/toy.html"],
    ],
)
def test_whatever_is_missing_is_made_again(finished: Path, command: Command, patterns: list[str]) -> None:
    paths = [path for pattern in patterns for path in (finished / "results/smoke").glob(pattern)]
    assert len(paths) == len(patterns)
    for path in paths:
        path.unlink()
    assert command("snakemake", "--quiet", "all").returncode == 0
    assert all(path.exists() for path in paths)


def test_lists_and_keys_on_the_command_line_are_read_as_in_a_file(checkout: Path, command: Command) -> None:
    words = ["seeds=[0, 1]", "papers=[toy]", "scale=smoke", "experiments=[toy/still]"]
    assert command(*ONLY_JOBS, "--config", *words).returncode == 0
    assert [seed["seed"] for seed in results(checkout)["toy/still/default"]["seeds"]] == [0, 1]
    for word, message in (("seeds=0", "it must be a list: [0]"), ("kernels=yes", "read differently")):
        done = command("snakemake", "--config", word)
        assert done.returncode == 1
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    (checkout / "config/config.yaml").write_text("scale: smoke\npapers: [toy]\nscale: laptop\n")
    done = command("snakemake")
    assert "config.yaml: not valid YAML (line 3): key 'scale' is given twice" in done.stderr


def test_a_paper_needs_neither_claims_nor_figures(finished: Path, command: Command) -> None:
    for name in ("claims.py", "figures.py"):
        (finished / "site/toy_paper" / name).unlink()
    for name in ("claims", "figures", "report"):
        shutil.rmtree(finished / "results/smoke" / name)
    done = command("snakemake")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (finished / "results/smoke/report/toy.html").exists()


def test_two_at_once_are_told_apart(checkout: Path, command: Command) -> None:
    configure(checkout, experiments=["toy/walk"], **SLOW)
    first = start(checkout, *ONLY_JOBS)
    wait_until(lambda: len(curves(checkout, "plain")) > 0)
    second = command("snakemake")
    assert second.returncode == 1
    assert "bnnbench: another snakemake is at work in results; wait for it" in second.stderr
    assert "Traceback" not in second.stderr
    assert first.wait(120) == 0


def test_a_failed_job_is_named_in_the_report_and_computed_next_time(checkout: Path, command: Command) -> None:
    configure(checkout, params={"toy/walk": {"fault": "crash"}})
    done = command("snakemake")
    assert done.returncode != 0
    assert sorted(results(checkout)) == ["toy/still/default"]
    page = (checkout / "results/smoke/report/toy.html").read_text()
    assert "RuntimeError: the walker fell" in page
    text = command("bnnbench", "report", "--text").stdout
    assert "the walker fell" in text

    model = checkout / "site/toy_paper/walk.py"
    model.write_text(model.read_text().replace('raise RuntimeError("the walker fell")', "pass"))
    assert command("snakemake", "toy").returncode == 0
    assert "the walker fell" not in (checkout / "results/smoke/report/toy.html").read_text()


def test_a_diverged_job_is_a_result(checkout: Path, command: Command) -> None:
    configure(checkout, experiments=["toy/walk"], params={"toy/walk": {"fault": "nan"}})
    done = command("snakemake", "toy")
    assert done.returncode == 0, done.stdout + done.stderr
    assert results(checkout)["toy/walk/plain"]["status"] == "diverged"
    assert "position is nan at step 11" in (checkout / "results/smoke/report/toy.html").read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("scale: big", "config.yaml: scale 'big' is not one of smoke, laptop, paper"),
        ("params: {toy/walk: {stps: 3}}\npapers: [toy]", "did you mean 'steps'?"),
        ("experiments: [toy/wlk]", "no experiment 'toy/wlk'; did you mean 'toy/walk'?"),
        ("seeds: [0, 0]", "0 is listed more than once"),
    ],
)
def test_a_mistake_in_the_configuration_is_one_line(checkout: Path, command: Command, text: str, message: str) -> None:
    (checkout / "config/config.yaml").write_text(text)
    for words in (["snakemake"], ["bnnbench", "plan"]):
        done = command(*words)
        assert done.returncode == 1
        lines = [line for line in done.stderr.splitlines() if line.startswith("bnnbench: ")]
        assert len(lines) == 1
        assert message in lines[0]
        assert "Traceback" not in done.stdout + done.stderr


def test_results_that_cannot_be_written_are_one_line(checkout: Path, command: Command) -> None:
    (checkout / "results").write_text("a file where the folder should be")
    done = command("snakemake")
    assert done.returncode != 0
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def digits(folder: Path) -> None:
    """MNIST files of the right names and sizes whose content is not MNIST."""
    folder.mkdir(parents=True)
    for split, n in (("train", 60000), ("t10k", 10000)):
        header = bytes([0, 0, 8, 3]) + n.to_bytes(4, "big") + (28).to_bytes(4, "big") * 2
        (folder / f"{split}-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + bytes(n * 784), 1))
        header = bytes([0, 0, 8, 1]) + n.to_bytes(4, "big")
        (folder / f"{split}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(header + bytes(n), 1))


def test_wrong_data_stop_the_jobs_that_need_them_and_no_others(checkout: Path, command: Command) -> None:
    digits(checkout / "data/mnist")
    still = {"toy/still": {"dataset": "mnist"}}
    configure(checkout, params=still, data={"dir": str(checkout / "data")})
    done = command(*ONLY_JOBS)
    assert done.returncode != 0
    output = done.stdout + done.stderr
    assert "train-images-idx3-ubyte.gz" in output
    assert "md5" in output
    assert "Traceback" not in output
    assert sorted(results(checkout)) == ["toy/walk/plain", "toy/walk/shifted"]


def test_data_that_cannot_be_had_are_a_skip_with_the_command_to_fetch_them(checkout: Path, command: Command) -> None:
    (checkout / "data").mkdir()
    places = {"dir": str(checkout / "data"), "cache": str(checkout / "cache"), "bundled": False}
    configure(checkout, experiments=["toy/still"], params={"toy/still": {"dataset": "mnist"}}, data=places)
    done = command("snakemake", "toy")
    assert done.returncode == 0, done.stdout + done.stderr
    record = results(checkout)["toy/still/default"]
    assert record["status"] == "skipped"
    assert record["reason"].endswith("run: bnnbench data fetch mnist")
    assert "bnnbench data fetch mnist" in (checkout / "results/smoke/report/toy.html").read_text()


def test_a_result_that_is_missing_damaged_or_of_another_run_is_computed_again(finished: Path, command: Command) -> None:
    expected = metrics(finished)
    (path,) = (finished / "results/smoke/toy/walk/plain").glob("*/result.json")
    path.unlink()
    assert command(*ONLY_JOBS).returncode == 0
    assert metrics(finished) == expected

    path.write_text(path.read_text()[:100])
    done = command(*ONLY_JOBS)
    assert done.returncode == 0
    assert "a damaged file was set aside" in done.stderr
    assert metrics(finished) == expected

    # a job run by hand with other parameters, outside the workflow
    other = finished / "other.yaml"
    other.write_text("{scale: smoke, papers: [toy], params: {toy/walk: {steps: 5}}}")
    assert command("bnnbench", "run", "toy/walk/plain", "--config", str(other)).returncode == 0
    before = written(finished)
    assert command(*ONLY_JOBS).returncode == 0
    assert written(finished) == before
    shutil.copy(other, finished / "config/config.yaml")
    assert command(*ONLY_JOBS).returncode == 0
    assert results(finished)["toy/walk/shifted"]["params"]["steps"] == 5
    text = command("bnnbench", "report", "--text").stdout
    assert "missing" not in text
    assert "stale" not in text


def test_a_typo_in_the_data_folder_costs_nothing_once_corrected(checkout: Path, command: Command) -> None:
    (checkout / "data").mkdir()

    def place(name: str) -> None:
        still = {"toy/still": {"dataset": "digits"}}
        configure(checkout, experiments=["toy/still"], params=still, data={"dir": str(checkout / name)})

    place("data")
    assert command(*ONLY_JOBS).returncode == 0
    before = results(checkout)
    place("typo")
    done = command(*ONLY_JOBS)
    assert done.returncode != 0
    assert "there is no such data folder" in done.stdout + done.stderr
    place("data")
    assert command(*ONLY_JOBS).returncode == 0
    assert results(checkout) == before


def test_a_faulty_claim_is_shown_and_takes_nothing_with_it(finished: Path, command: Command) -> None:
    claims = finished / "site/toy_paper/claims.py"
    claims.write_text(
        claims.read_text()
        + """

@claim("faulty", "A claim whose test is wrong.", "Table 1", ["toy/walk"])
def faulty(results):
    return 1 / 0
"""
    )
    assert command("snakemake", "toy").returncode == 0
    page = (finished / "results/smoke/report/toy.html").read_text()
    assert "the test of this claim failed: ZeroDivisionError" in page
    assert "reproduced" in page


@pytest.mark.parametrize("text", ["def broken(:", "import nowhere_at_all", "1 / 0"])
def test_a_module_that_cannot_be_imported_is_one_line(checkout: Path, command: Command, text: str) -> None:
    for name in ("still.py", "figures.py"):
        path = checkout / "site/toy_paper" / name
        before = path.read_text()
        path.write_text(text + "\n")
        done = command("snakemake", "--dry-run")
        assert done.returncode == 1
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("bnnbench: ")]
        assert f"toy_paper.{name[:-3]}" in line
        assert "Traceback" not in done.stderr
        path.write_text(before)


def test_settle_runs_the_seeds_of_a_first_stage_and_no_others(finished: Path, command: Command) -> None:
    before = results(finished)
    ends = [seed["end"] for seed in metrics(finished)["toy/walk/plain"]]
    mean, spread = statistics.mean(ends), statistics.stdev(ends)
    half = 4.303 * spread / 4**0.5  # four seeds are as narrow: 4.3027 is the quantile of t with 2 degrees of freedom
    claims = finished / "site/toy_paper/claims.py"
    claims.write_text(
        claims.read_text().replace("import at_least", "import Resolution, at_least, more_than")
        + f"""

@claim("walks", "It walks.", "Table 1", ["toy/walk"], resolution=Resolution({half!r}, "m", "for a test"))
def walks(results):
    return more_than("end", results.interval("toy/walk", "plain", "end"), {mean!r}, "m")
"""
    )
    asked = command("bnnbench", "settle")
    assert asked.returncode == 0, asked.stderr
    assert "toy/walks: 4 seeds" in asked.stdout
    short = command("bnnbench", "settle", "walks", "--minutes", "0.01")
    assert "not within the 0.0 min that are left" in short.stdout
    assert results(finished) == before, "without minutes, or with too few, it only says what it would take"
    assert not (finished / "results/smoke/settled").exists()

    done = command("bnnbench", "settle", "walks", "--minutes", "5")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "n = 4, settled by the spread of the first 3" in done.stdout
    after = results(finished)
    assert after.keys() - before.keys() == {"toy/walk/plain@3"}
    assert {name: after[name] for name in before} == before

    assert command("snakemake", "--quiet", "all").returncode == 0
    assert results(finished) == after, "the workflow finds all of it done"
    verdicts = json.loads((finished / "results/smoke/claims/toy.json").read_text())
    assert "n = 4" in verdicts[1]["text"]
    assert "toy/walk/plain@3" in tracked_runs(finished)


def test_vary_computes_the_choices_of_a_claim_and_says_whether_it_stands(finished: Path, command: Command) -> None:
    path = finished / "site/toy_paper/paper.yaml"
    choice = (
        "choices: {shift: {parameter: shift, alternatives: {paper: 2.0, code: 0.5}, source: T, variants: [shifted]}}"
    )
    path.write_text(path.read_text().replace("    variants:\n", f"    {choice}\n    variants:\n", 1))
    done = command("bnnbench", "vary", "toy/shift-shows")
    assert done.returncode == 0, done.stdout + done.stderr
    planned, paper, code, last = done.stdout.splitlines()
    assert planned.startswith("toy/shift-shows as planned: reproduced")
    assert paper.startswith("with shift = 2.0 (paper; T): reproduced")
    assert code.startswith("with shift = 0.5 (code; T): contradicted")
    assert last == "the verdict does not stand: reproduced as planned, contradicted with shift = 0.5 (code; T)"
    again = command("bnnbench", "vary", "toy/shift-shows")
    assert (again.stdout, again.stderr) == (done.stdout, ""), "all of it is there"


def test_reproduce_has_the_status_of_snakemake_and_shows_errors_of_one_line(checkout: Path, command: Command) -> None:
    digits(checkout / "data/mnist")
    still = {"toy/still": {"dataset": "mnist"}, "toy/walk": {"fault": "crash"}}
    configure(checkout, params=still, data={"dir": str(checkout / "data")})
    done = command(*REPRODUCE)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if "md5" in line]
    assert line.startswith("bnnbench: ")
    assert "the workflow ended with status 1" in done.stderr
    assert "failed: toy/walk/plain" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr

    configure(checkout, papers=["toi"])
    done = command(*REPRODUCE)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "did you mean 'toy'" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_a_reproduction_that_is_stopped_goes_on_and_gives_the_same_numbers(
    checkout: Path, command: Command, reproduced: Path, number: signal.Signals
) -> None:
    configure(checkout, experiments=["toy/walk"], **SLOW)
    stopped = start(checkout, *REPRODUCE)
    wait_until(lambda: len(curves(checkout, "shifted")) > 25)
    os.killpg(stopped.pid, number)  # as the terminal does
    output, _ = stopped.communicate(timeout=60)
    assert stopped.returncode != 0
    assert "Traceback" not in output
    assert command(*REPRODUCE).returncode == 0
    assert metrics(checkout) == walks(reproduced)
    assert tracked_runs(checkout) == ["toy/walk/plain", "toy/walk/shifted"]


def test_a_second_reproduction_waits_for_nobody(checkout: Path, command: Command) -> None:
    lock = checkout / "results" / ".workflow.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        second = command(*REPRODUCE)
    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr.startswith("bnnbench: another snakemake is at work in results; wait for it")
