"""MLflow holds one run a job, whatever happens in between."""

from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from bnnbench.errors import UserError
from bnnbench.harness import config, execute, history, plan, tracking


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as MLflow makes it, made once: it takes seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def client(empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    path = tmp_path / "mlflow.db"
    path.write_bytes(empty_database.read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
    return MlflowClient(tracking_uri=f"sqlite:///{path}")


@pytest.fixture
def made(toy: Path, tmp_path: Path) -> plan.Plan:
    return make(tmp_path)


def make(tmp_path: Path, **values: Any) -> plan.Plan:
    chosen = {"papers": ["toy"], "scale": "smoke", "results": str(tmp_path / "results"), **values}
    return plan.make(config.validate(chosen, "file"), "file")


def runs(client: MlflowClient) -> dict[str, Run]:
    names = [e.experiment_id for e in client.search_experiments() if e.name.startswith("toy/")]
    found = client.search_runs(names)
    assert len({run.data.tags[tracking.JOB] for run in found}) == len(found), "a job has more than one run"
    return {run.data.tags[tracking.JOB]: run for run in found}


def curve(client: MlflowClient, run: Run, name: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]


def test_a_run_carries_what_the_job_left(client: MlflowClient, made: plan.Plan) -> None:
    record = execute.execute(made, made.job("toy/walk/plain"))
    tracking.track(made)
    run = runs(client)["toy/walk/plain"]
    values = [seed.metrics["end"] for seed in record.seeds]
    assert run.data.metrics["final/end"] == pytest.approx(sum(values) / 3)
    assert run.data.metrics["published/end"] == 1.5
    assert run.data.metrics["difference/end"] == pytest.approx(sum(values) / 3 - 1.5)
    assert run.data.params["steps"] == "20"
    assert run.info.status == "FINISHED"
    assert run.data.tags["bnnbench.scale"] == "smoke"
    rows = [row for row in history.read(made.folder(made.jobs[0]) / "history.jsonl").rows if row["seed"] == 1]
    assert curve(client, run, "curves/position/seed-1") == [(row["step"], row["position"]) for row in rows]


def test_recalled_numbers_are_not_compared(client: MlflowClient, made: plan.Plan) -> None:
    execute.execute(made, made.job("toy/walk/shifted"))
    tracking.track(made)
    assert "published/end" not in runs(client)["toy/walk/shifted"].data.metrics


def test_tracking_twice_changes_nothing(client: MlflowClient, made: plan.Plan) -> None:
    execute.execute(made, made.job("toy/walk/plain"))
    assert tracking.track(made).created == 1
    before = runs(client)
    again = tracking.track(made)
    assert (again.created, again.updated, again.unchanged) == (0, 0, 1)
    assert {run.info.run_id for run in runs(client).values()} == {run.info.run_id for run in before.values()}


def test_a_recomputed_job_replaces_its_run(client: MlflowClient, made: plan.Plan, tmp_path: Path) -> None:
    execute.execute(made, made.job("toy/walk/plain"))
    tracking.track(made)
    other = make(tmp_path, params={"toy/walk": {"steps": 5}})
    execute.execute(other, other.job("toy/walk/plain"))
    tracking.track(other)
    run = runs(client)["toy/walk/plain"]
    assert run.data.params["steps"] == "5"
    assert len(curve(client, run, "curves/position/seed-0")) == 5


def test_a_running_job_is_followed(client: MlflowClient, made: plan.Plan) -> None:
    job = made.job("toy/walk/plain")
    path = made.folder(job) / "history.jsonl"
    path.parent.mkdir(parents=True)
    row = {"seed": 0, "time": 1000.0, "position": 0.5}
    history.append(path, {**row, "step": 1})
    tracking.track(made)
    first = runs(client)[job.id]
    assert first.info.status == "RUNNING"
    history.append(path, {**row, "step": 2, "time": 1001.0})
    with path.open("a") as file:
        file.write('{"seed": 0, "step": 3')  # being written
    assert tracking.track(made).updated == 1
    second = runs(client)[job.id]
    assert second.info.run_id == first.info.run_id
    assert [step for step, _ in curve(client, second, "curves/position/seed-0")] == [1, 2]


def test_rewound_curves_are_written_anew(client: MlflowClient, made: plan.Plan) -> None:
    job = made.job("toy/walk/plain")
    path = made.folder(job) / "history.jsonl"
    path.parent.mkdir(parents=True)
    for step in range(1, 6):
        history.append(path, {"seed": 0, "step": step, "time": 1000.0 + step, "position": float(step)})
    tracking.track(made)
    history.rewind(path, 0, "", 3)
    for step in range(4, 8):  # computed again after a kill, later than the first time
        history.append(path, {"seed": 0, "step": step, "time": 2000.0 + step, "position": float(step)})
    tracking.track(made)
    found = curve(client, runs(client)[job.id], "curves/position/seed-0")
    assert found == [(step, float(step)) for step in range(1, 8)]


def test_a_writer_killed_half_way_leaves_no_second_run(
    client: MlflowClient, made: plan.Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute.execute(made, made.job("toy/walk/plain"))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tracking, "_finish", killed)
        with pytest.raises(KeyboardInterrupt):
            tracking.track(made)
    tracking.track(made)
    run = runs(client)["toy/walk/plain"]
    assert run.info.status == "FINISHED"
    assert len(curve(client, run, "curves/position/seed-0")) == 20


def test_a_deleted_database_is_rebuilt(
    client: MlflowClient, made: plan.Plan, tmp_path: Path, empty_database: Path
) -> None:
    for job in made.jobs:
        execute.execute(made, job)
    tracking.track(made)
    before = {name: run.data.metrics for name, run in runs(client).items()}
    fresh = tmp_path / "fresh.db"
    fresh.write_bytes(empty_database.read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{fresh}")
        tracking.track(made)
    after = {name: run.data.metrics for name, run in runs(MlflowClient(tracking_uri=f"sqlite:///{fresh}")).items()}
    assert after == before


def test_an_unreachable_server_is_one_line(made: plan.Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(UserError, match=r"MLFLOW_TRACKING_URI http://127\.0\.0\.1:9: ") as caught:
        tracking.track(made)
    assert "\n" not in str(caught.value)


def test_the_fault_of_one_job_does_not_keep_the_others_out(
    client: MlflowClient, made: plan.Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    for job in made.jobs:
        execute.execute(made, job)
    before = tracking._finish

    def faulty(*arguments: Any) -> None:
        if arguments[3].variant == "plain":
            raise ValueError("this one is refused")
        before(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(tracking, "_finish", faulty)
        done = tracking.track(made)
    assert done.failed == ["toy/walk/plain: this one is refused"]
    assert {"toy/walk/shifted", "toy/still/default"} <= set(runs(client))
    assert tracking.track(made).failed == []
    assert "final/end" in runs(client)["toy/walk/plain"].data.metrics


@pytest.mark.parametrize("state", ["{broken", "[]", "{}", '{"key": 1}'])
def test_a_tag_that_somebody_changed_means_a_new_run(client: MlflowClient, made: plan.Plan, state: str) -> None:
    execute.execute(made, made.job("toy/walk/plain"))
    tracking.track(made)
    client.set_tag(runs(client)["toy/walk/plain"].info.run_id, tracking.STATE, state)
    assert tracking.track(made).created == 1
    assert runs(client)["toy/walk/plain"].info.status == "FINISHED"


def test_a_damaged_id_of_the_results_folder_is_made_anew(client: MlflowClient, made: plan.Plan) -> None:
    execute.execute(made, made.job("toy/still/default"))
    (made.config.results / ".id").write_bytes(b"\xff' or 1 = 1")
    assert tracking.track(made).created == 1
