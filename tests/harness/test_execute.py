"""One job: what it records, and that a killed one loses nothing."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import environment, forget_registered

from bnnbench.errors import UserError
from bnnbench.harness import collect, config, execute, history, mend, plan, result
from bnnbench.harness.result import SeedRecord


def make(tmp_path: Path, **values: Any) -> plan.Plan:
    chosen = {"papers": ["toy"], "scale": "smoke", "results": str(tmp_path / "results"), **values}
    return plan.make(config.validate(chosen, "file"), "file")


def computed(tmp_path: Path, job: str = "toy/walk/plain", **values: Any) -> tuple[result.Result, Path]:
    made = make(tmp_path, **values)
    return execute.execute(made, made.job(job), checkpoint_seconds=0), made.folder(made.job(job))


@pytest.mark.usefixtures("toy")
def test_a_result_records_every_seed(tmp_path: Path) -> None:
    record, folder = computed(tmp_path)
    assert record == result.read(folder / "result.json")
    assert (record.status, record.reason) == ("ok", "")
    assert [seed.seed for seed in record.seeds] == [0, 1, 2]
    assert len({seed.metrics["end"] for seed in record.seeds}) == 3
    assert record.metrics["end"].unit == "m"
    assert record.metrics["end"].higher_is_better
    assert record.warnings == ["it is a toy"]
    assert all((folder / table).exists() for seed in record.seeds for table in seed.tables)
    rows = history.read(folder / "history.jsonl").rows
    assert [(row["seed"], row["step"]) for row in rows] == [(s, step) for s in range(3) for step in range(1, 21)]
    assert sorted(path.name for path in folder.iterdir()) == [
        ".history.jsonl.seal",
        ".lock",
        "history.jsonl",
        "result.json",
        "tables",
    ]


@pytest.mark.usefixtures("toy")
def test_the_same_seed_gives_the_same_bits(tmp_path: Path) -> None:
    first, _ = computed(tmp_path / "a")
    second, _ = computed(tmp_path / "b")
    assert [seed.metrics for seed in first.seeds] == [seed.metrics for seed in second.seeds]


@pytest.mark.usefixtures("toy")
def test_seeds_do_not_depend_on_the_seeds_before_them(tmp_path: Path) -> None:
    together, _ = computed(tmp_path / "a")
    alone, _ = computed(tmp_path / "b", seeds=[2])
    assert alone.seeds[0].metrics == together.seeds[2].metrics


@pytest.mark.usefixtures("toy")
def test_variants_share_their_streams(tmp_path: Path) -> None:
    plain, _ = computed(tmp_path)
    shifted, _ = computed(tmp_path, "toy/walk/shifted")
    for a, b in zip(plain.seeds, shifted.seeds, strict=True):
        assert b.metrics["end"] - a.metrics["end"] == pytest.approx(2.0)


@pytest.mark.usefixtures("toy")
def test_a_current_result_is_not_computed_again_and_a_stale_one_is(tmp_path: Path) -> None:
    first, folder = computed(tmp_path)
    before = (folder / "result.json").stat().st_mtime_ns
    assert computed(tmp_path)[0] == first
    again, elsewhere = computed(tmp_path, params={"toy/walk": {"steps": 7}})
    assert again.key != first.key
    assert len(history.read(elsewhere / "history.jsonl").rows) == 3 * 7
    assert computed(tmp_path)[0] == first, "going back to the first parameters finds the first result"
    assert (folder / "result.json").stat().st_mtime_ns == before


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize("content", ["", "{", '{"schema_version": 1}', "[]", "\x00" * 10])
def test_a_broken_record_is_computed_again(tmp_path: Path, content: str) -> None:
    first, folder = computed(tmp_path)
    (folder / "result.json").write_text(content)
    second, _ = computed(tmp_path)
    assert [seed.metrics for seed in second.seeds] == [seed.metrics for seed in first.seeds]


@pytest.mark.usefixtures("toy")
def test_nan_is_recorded_as_diverged_and_other_seeds_go_on(tmp_path: Path) -> None:
    record, folder = computed(tmp_path, params={"toy/walk": {"fault": "nan"}})
    assert record.status == "diverged"
    assert record.reason == "seed 1: position is nan at step 11"
    assert [seed.status for seed in record.seeds] == ["ok", "diverged", "ok"]
    assert record.seeds[1].metrics == {}
    assert [row["step"] for row in history.read(folder / "history.jsonl").rows if row["seed"] == 1] == list(
        range(1, 11)
    )


@pytest.mark.usefixtures("toy")
def test_a_fault_is_noted_raised_and_forgotten_after_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="the walker fell"):
        computed(tmp_path, params={"toy/walk": {"fault": "crash"}})
    made = make(tmp_path, params={"toy/walk": {"fault": "crash"}})
    folder = made.folder(made.job("toy/walk/plain"))
    assert json.loads((folder / "failure.json").read_text())["reason"] == "RuntimeError: the walker fell"
    assert not (folder / "result.json").exists()
    monkeypatch.setenv("TOY_MENDED", "1")
    record, _ = computed(tmp_path, params={"toy/walk": {"fault": "crash"}})
    assert record.status == "ok"
    assert not (folder / "failure.json").exists()


def started(tmp_path: Path, toy: Path, pause: float) -> tuple[subprocess.Popen[str], Path]:
    """`bnnbench run` in a process of its own, slow enough to be killed in the middle."""
    path = tmp_path / "slow.yaml"
    path.write_text(
        f"{{papers: [toy], scale: smoke, results: {tmp_path / 'results'}, params: {{toy/walk: {{pause: {pause}}}}}}}"
    )
    words = ["bnnbench", "run", "toy/walk/plain", "--config", str(path), "--checkpoint-seconds", "0"]
    process = subprocess.Popen(words, env=environment(toy), cwd=tmp_path, text=True, stdout=subprocess.PIPE)
    made = make(tmp_path, params={"toy/walk": {"pause": pause}})
    return process, made.folder(made.job("toy/walk/plain"))


def wait_for_rows(folder: Path, n: int) -> None:
    deadline = time.monotonic() + 60
    while len(history.read(folder / "history.jsonl").rows) < n:
        assert time.monotonic() < deadline, "the job logged nothing"
        time.sleep(0.02)


@pytest.mark.parametrize("moment", [7, 43])  # not the first step of a seed, whose checkpoint may not be there yet
def test_a_killed_job_goes_on_and_gives_the_same_numbers(tmp_path: Path, toy: Path, moment: int) -> None:
    undisturbed, whole = computed(tmp_path / "undisturbed", params={"toy/walk": {"pause": 0.03}})
    process, folder = started(tmp_path, toy, 0.03)
    wait_for_rows(folder, moment)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (folder / "result.json").exists()
    with (folder / "history.jsonl").open("a") as file:
        file.write('{"seed": 0, "st')  # a line torn by the kill
    process, _ = started(tmp_path, toy, 0.03)
    assert process.wait(60) == 0
    record = result.read(folder / "result.json")
    assert [seed.metrics for seed in record.seeds] == [seed.metrics for seed in undisturbed.seeds]
    assert [seed.resumed for seed in record.seeds] == [int(seed == (moment - 1) // 20) for seed in range(3)]

    def curves(path: Path) -> list[tuple[Any, ...]]:
        return [(row["seed"], row["step"], row["position"]) for row in history.read(path / "history.jsonl").rows]

    assert curves(folder) == curves(whole)


def test_a_second_process_waits_for_the_first_and_takes_its_result(tmp_path: Path, toy: Path) -> None:
    first, folder = started(tmp_path, toy, 0.03)
    wait_for_rows(folder, 2)
    second, _ = started(tmp_path, toy, 0.03)
    output = second.communicate(timeout=60)[0]
    assert (first.wait(60), second.returncode) == (0, 0)
    assert "waiting for another process" in output
    assert len(history.read(folder / "history.jsonl").rows) == 60


@pytest.mark.usefixtures("toy")
def test_a_damaged_checkpoint_means_starting_over(tmp_path: Path, toy: Path) -> None:
    undisturbed, _ = computed(tmp_path / "undisturbed", params={"toy/walk": {"pause": 0.03}})
    process, folder = started(tmp_path, toy, 0.03)
    wait_for_rows(folder, 5)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (folder / "partial/seed-0.pt").write_bytes(b"not a checkpoint")
    record, _ = computed(tmp_path, params={"toy/walk": {"pause": 0.03}})
    assert [seed.metrics for seed in record.seeds] == [seed.metrics for seed in undisturbed.seeds]


def test_a_disk_that_fills_up_loses_nothing(tmp_path: Path, toy: Path) -> None:
    undisturbed, _ = computed(tmp_path / "undisturbed")
    path = tmp_path / "toy.yaml"
    path.write_text(f"{{papers: [toy], scale: smoke, results: {tmp_path / 'results'}}}")
    words = ["bnnbench", "run", "toy/walk/plain", "--config", str(path), "--checkpoint-seconds", "0"]

    # Coverage of the child would fill the disk too.
    variables = {name: value for name, value in environment(toy).items() if not name.startswith("COVERAGE")}

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2500, 2500))  # the curves outgrow this in the middle of the job

    done = subprocess.run(
        words, env=variables, cwd=tmp_path, text=True, capture_output=True, preexec_fn=full, check=False
    )
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("bnnbench: ")]
    assert "cannot be written" in line
    assert "Traceback" not in done.stderr
    made = make(tmp_path)
    folder = made.folder(made.job("toy/walk/plain"))
    assert not (folder / "result.json").exists()
    assert subprocess.run(words, env=environment(toy), cwd=tmp_path, check=False, capture_output=True).returncode == 0
    found = result.read(folder / "result.json")
    assert [seed.metrics for seed in found.seeds] == [seed.metrics for seed in undisturbed.seeds]


@pytest.mark.usefixtures("toy")
def test_an_unwritable_folder_is_one_line(tmp_path: Path) -> None:
    made = make(tmp_path, results="/proc/bnnbench")  # not even root may write there
    with pytest.raises(UserError, match=r"/proc/bnnbench.*: cannot be written"):
        execute.execute(made, made.jobs[0])


@pytest.mark.usefixtures("toy")
def test_an_undeclared_metric_is_a_fault(tmp_path: Path, toy: Path) -> None:
    path = toy / "toy_paper" / "still.py"
    path.write_text(path.read_text().replace('{"end": params', '{"ends": params'))
    with pytest.raises(ValueError, match=r"metrics \['ends'\] are not among the declared"):
        computed(tmp_path, "toy/still/default")


def test_python_runs_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "bnnbench", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("bnnbench ")


@pytest.mark.usefixtures("toy")
def test_a_skip_does_not_hide_or_replace_what_was_computed(tmp_path: Path) -> None:
    made = make(tmp_path)
    job = made.job("toy/still/default")
    cannot = replace(job, skip="no GPU here")
    skipped = execute.execute(made, cannot)
    assert (skipped.status, skipped.reason) == ("skipped", "no GPU here")
    computed_later = execute.execute(made, job)
    assert computed_later.status == "ok"
    assert execute.execute(made, cannot) == computed_later


@pytest.mark.usefixtures("toy")
def test_libraries_that_draw_from_numpys_global_stream_are_reproducible(tmp_path: Path, toy: Path) -> None:
    path = toy / "toy_paper" / "still.py"
    path.write_text(path.read_text().replace("params.value}", "__import__('numpy').random.rand()}"))
    first, _ = computed(tmp_path / "a", "toy/still/default")
    second, _ = computed(tmp_path / "b", "toy/still/default")
    assert first.seeds[0].metrics == second.seeds[0].metrics


def test_a_warning_of_some_seeds_names_them() -> None:
    said = {0: ["a", "b"], 1: ["a"], 2: ["b", "a"]}
    seeds = [
        SeedRecord(seed=k, status="ok", warnings=texts, wall_seconds=1, cpu_seconds=1) for k, texts in said.items()
    ]
    assert execute._warnings(seeds) == ["a", "seed 0, 2: b"]


@pytest.mark.usefixtures("toy")
def test_neighbouring_jobs_begin_at_different_seeds(tmp_path: Path) -> None:
    made = make(tmp_path)
    begun = {}
    for name in ("toy/walk/plain", "toy/walk/shifted"):
        record = execute.execute(made, made.job(name))
        rows = history.read(made.folder(made.job(name)) / "history.jsonl").rows
        begun[name] = list(dict.fromkeys(row["seed"] for row in rows))
        assert [seed.seed for seed in record.seeds] == [0, 1, 2]
    assert begun == {"toy/walk/plain": [0, 1, 2], "toy/walk/shifted": [1, 2, 0]}


def read_data(toy: Path, name: str) -> None:
    path = toy / "toy_paper" / "still.py"
    path.write_text(path.read_text().replace("    return Outcome", f"    run.data({name!r})\n    return Outcome"))


@pytest.mark.usefixtures("toy")
def test_data_that_are_not_declared_are_refused(tmp_path: Path, toy: Path) -> None:
    read_data(toy, "digits")
    with pytest.raises(UserError, match=r"toy/still/default: reads data set 'digits', which its parameters do not"):
        computed(tmp_path, "toy/still/default")
    record, _ = computed(tmp_path / "declared", "toy/still/default", params={"toy/still": {"dataset": "digits"}})
    assert [data.name for data in record.datasets] == ["digits"]


@pytest.mark.usefixtures("toy")
def test_methods_that_are_not_declared_are_refused(tmp_path: Path, toy: Path) -> None:
    path = toy / "toy_paper" / "still.py"
    use = "    from bnnbench.harness import registry\n    registry.method('map')\n    return Outcome"
    path.write_text(path.read_text().replace("    return Outcome", use))
    with pytest.raises(UserError, match="method 'map' is used and not declared"):
        computed(tmp_path, "toy/still/default")
    path.write_text(
        path.read_text().replace(
            "    value: float", "    def methods(self):\n        return {'map': {}}\n\n    value: float"
        )
    )
    forget_registered()
    assert computed(tmp_path, "toy/still/default")[0].status == "ok"


@pytest.mark.usefixtures("toy")
def test_numbers_of_numpy_and_torch_and_warnings_become_part_of_the_record(tmp_path: Path, toy: Path) -> None:
    path = toy / "toy_paper" / "still.py"
    lines = [
        "import warnings, numpy as np, torch",
        "from bnnbench.errors import ResultWarning",
        "warnings.warn('a search stopped at its bound', ResultWarning)",
        "run.log(np.int64(1), loss=torch.tensor(0.5), other=np.float32(0.25))",
        "return Outcome({'end': torch.tensor(1.5)}, {'t': {'a': torch.ones(2), 'b': [np.float32(1), 2.0]}})",
    ]
    path.write_text(
        path.read_text().replace('    return Outcome({"end": params.value})', "    " + "\n    ".join(lines))
    )
    record, folder = computed(tmp_path, "toy/still/default")
    assert record.seeds[0].metrics == {"end": 1.5}
    assert record.warnings == ["a search stopped at its bound"]
    assert dict(history.curves(history.read(folder / "history.jsonl").rows[0])) == {"loss": 0.5, "other": 0.25}


def tampered(path: Path, **changes: Any) -> None:
    """The record with other values and a digest that fits, as a program would write it."""
    record = result.read(path)
    result.write(path, record.model_copy(update=changes))


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize("change", ["metric", "key", "job", "variant", "scale", "seed", "doubled", "missing", "table"])
def test_a_record_that_is_not_of_its_job_is_none(tmp_path: Path, change: str) -> None:
    record, folder = computed(tmp_path)
    path, made = folder / "result.json", make(tmp_path)
    first, second, third = record.seeds
    if change == "metric":  # by hand: the digest no longer fits
        content = json.loads(path.read_text())
        content["seeds"][0]["metrics"]["end"] += 1.0
        path.write_text(json.dumps(content))
    elif change == "table":
        (folder / first.tables[0]).unlink()
    elif change in ("seed", "doubled", "missing"):
        other = first.model_copy(update={"seed": 7})
        tampered(
            path, seeds={"seed": [other, second, third], "doubled": [first, first, third], "missing": [first]}[change]
        )
    else:
        tampered(path, **{change: "laptop" if change == "scale" else "another"})
    job = made.job("toy/walk/plain")
    found, why = collect.read(made, job)
    assert found is None
    assert why.startswith("missing: ")
    assert mend.records(made) == [path.with_name("result.json.damaged")]
    assert not path.exists()
    again, _ = computed(tmp_path)
    assert [seed.metrics for seed in again.seeds] == [seed.metrics for seed in record.seeds]


@pytest.mark.usefixtures("toy")
def test_a_seed_record_of_another_job_or_without_its_curves_is_computed_again(tmp_path: Path, toy: Path) -> None:
    whole, _ = computed(tmp_path / "whole", params={"toy/walk": {"pause": 0.01}})
    process, folder = started(tmp_path, toy, 0.01)
    wait_for_rows(folder, 45)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = folder / "partial" / "seed-0.json"
    content = json.loads(kept.read_text())
    content["seed"]["metrics"]["end"] += 1.0
    kept.write_text(json.dumps(content))
    shutil.copy(kept.with_name("seed-1.json"), kept.with_name("seed-2.json"))
    record, folder = computed(tmp_path, params={"toy/walk": {"pause": 0.01}})
    assert [seed.metrics for seed in record.seeds] == [seed.metrics for seed in whole.seeds]
    assert len(history.read(folder / "history.jsonl").rows) == 60


@pytest.mark.usefixtures("toy")
def test_two_runs_of_a_variant_with_other_parameters_leave_each_other_alone(tmp_path: Path, toy: Path) -> None:
    process, folder = started(tmp_path, toy, 0.05)
    wait_for_rows(folder, 3)
    computed(tmp_path, params={"toy/walk": {"steps": 2}})
    assert (folder / "partial").is_dir()
    assert process.wait(120) == 0


@pytest.mark.parametrize("how", ["moved", "deleted"])
def test_a_folder_that_goes_while_its_job_runs_is_an_error(tmp_path: Path, toy: Path, how: str) -> None:
    process, folder = started(tmp_path, toy, 0.05)
    wait_for_rows(folder, 5)
    if how == "moved":
        (tmp_path / "results").rename(tmp_path / "elsewhere")
    else:
        shutil.rmtree(tmp_path / "results")
    assert process.wait(120) == 1
    assert not list(tmp_path.glob("*/smoke/toy/walk/plain/*/result.json"))


def test_a_killed_job_counts_as_failed_until_it_is_run_again(tmp_path: Path, toy: Path) -> None:
    process, folder = started(tmp_path, toy, 0.05)
    made = make(tmp_path, params={"toy/walk": {"pause": 0.05}})
    job = made.job("toy/walk/plain")
    wait_for_rows(folder, 3)
    assert collect.read(made, job)[1] == "missing: it is being computed now"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert collect.read(made, job)[1].startswith("failed: it was killed")
    execute.execute(made, job)
    assert collect.read(made, job)[1] == ""
    assert not (folder / execute.RUNNING).exists()


@pytest.mark.usefixtures("toy")
def test_curves_that_were_lost_afterwards_are_a_warning(tmp_path: Path) -> None:
    _, folder = computed(tmp_path)
    path = folder / "history.jsonl"
    path.write_bytes(b"\xff\xfe\n" + path.read_bytes().split(b"\n", 1)[1])
    made = make(tmp_path)
    collect.collect(made, "toy/walk")
    jobs = collect.Results.load(made, ["toy/walk"]).jobs.set_index("variant")
    assert "of 60 rows of its curves 59 can be read" in jobs.loc["plain", "warnings"]


def experiment_that(toy: Path, *lines: str) -> None:
    """Lets toy/still do this before it ends."""
    path = toy / "toy_paper" / "still.py"
    body = "\n    ".join(lines)
    path.write_text(path.read_text().replace("    return Outcome(", f"    {body}\n    return Outcome("))
    forget_registered()


@pytest.mark.parametrize("code", ["", "0", "'bye'"])
def test_an_experiment_that_exits_has_failed(tmp_path: Path, toy: Path, code: str) -> None:
    experiment_that(toy, f"import sys; sys.exit({code})")
    with pytest.raises(RuntimeError, match=r"toy/still called exit\("):
        computed(tmp_path, "toy/still/default")
    made = make(tmp_path)
    assert "called exit(" in collect.read(made, made.job("toy/still/default"))[1]


@pytest.mark.parametrize(
    ("raised", "reason"),
    [
        ("ValueError()", "failed: ValueError"),
        ("ValueError('\\n\\n  first\\nsecond')", "failed: ValueError: first"),
        ("ValueError('a \\ud800 b')", "failed: ValueError: a ? b"),
        ("ValueError('x' * 10**6)", "failed: ValueError: xxxxx"),
        ("type('Odd', (Exception,), {'__str__': lambda self: 1 / 0})()", "failed: Odd"),
    ],
)
def test_whatever_an_exception_says_the_report_says_one_line(
    tmp_path: Path, toy: Path, raised: str, reason: str
) -> None:
    experiment_that(toy, f"raise {raised}")
    with pytest.raises(Exception):  # noqa: B017, PT011  (the experiment's own, of any class)
        computed(tmp_path, "toy/still/default")
    made = make(tmp_path)
    said = collect.read(made, made.job("toy/still/default"))[1]
    assert said.startswith(reason)
    assert len(said) < 600
    collect.collect(made, "toy/still")
    jobs = collect.Results.load(made, ["toy/still"]).jobs
    assert f"failed: {jobs['reason'][0]}" == said


def test_warnings_of_any_text_and_a_single_one_are_recorded(tmp_path: Path, toy: Path) -> None:
    path = toy / "toy_paper" / "still.py"
    path.write_text(
        path.read_text().replace('return Outcome({"end": params.value})', "return Outcome({}, warnings='a \\ud800 b')")
    )
    record, folder = computed(tmp_path, "toy/still/default")
    assert record.warnings == ["a ? b"]
    assert result.read(folder / "result.json") == record


def test_what_is_no_outcome_is_named(tmp_path: Path, toy: Path) -> None:
    path = toy / "toy_paper" / "still.py"
    path.write_text(path.read_text().replace("return Outcome(", "return dict("))
    with pytest.raises(TypeError, match="toy/still returned dict; it must return an Outcome"):
        computed(tmp_path, "toy/still/default")


@pytest.mark.usefixtures("toy")
def test_folders_where_the_job_keeps_files_make_way(tmp_path: Path) -> None:
    expected, _ = computed(tmp_path / "undisturbed")
    made = make(tmp_path)
    folder = made.folder(made.job("toy/walk/plain"))
    places = ("failure.json", "running.json", "history.jsonl", "partial/seed-0.pt", "partial/seed-0.json")
    for place in (*places, "tables/seed-0/path.parquet"):
        (folder / place).mkdir(parents=True)
    found, _ = computed(tmp_path)
    assert [seed.metrics for seed in found.seeds] == [seed.metrics for seed in expected.seeds]


@pytest.mark.usefixtures("toy")
def test_a_deeply_nested_seed_record_is_computed_again(tmp_path: Path) -> None:
    made = make(tmp_path)
    path = made.folder(made.job("toy/walk/plain")) / "partial/seed-0.json"
    path.parent.mkdir(parents=True)
    path.write_text("[" * 100_000)
    assert computed(tmp_path)[0].status == "ok"
