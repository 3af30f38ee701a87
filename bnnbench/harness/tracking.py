"""Copies results and running curves into MLflow, with a single writer and incrementally, so it can be repeated.

Jobs never open MLflow: this module reads the files that they write. Each job is one run, which its tag `bnnbench.job`
identifies. So a database can be deleted and rebuilt, and a job that is killed and run again does not appear twice.
"""

import json
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnnbench.errors import UserError
from bnnbench.harness import collect, drawing, environment, history, paper, tracking_store
from bnnbench.harness.config import unknown
from bnnbench.harness.files import read_regular, write_atomic
from bnnbench.harness.paper import Published
from bnnbench.harness.plan import Job, Plan
from bnnbench.harness.result import Result
from bnnbench.harness.statistics import mean_interval

if TYPE_CHECKING:
    from mlflow.entities import Metric, Run
    from mlflow.tracking import MlflowClient

BATCH = 1000  # the largest number of metrics that MLflow accepts in one call
VALUE_LIMIT = 500  # characters of a parameter
TAG_LIMIT = 5000  # characters of a tag
JOB, SCALE, RESULTS, STATE = "bnnbench.job", "bnnbench.scale", "bnnbench.results", "bnnbench.state"


@dataclass
class Tracked:
    """What one call of `track` wrote."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    failed: list[str] = field(default_factory=list)
    """Jobs that could not be tracked, with the reason."""
    mended: list[str] = field(default_factory=list)
    """What was first repaired in the database."""


def track(plan: Plan, papers: list[str] | None = None) -> Tracked:
    """Copies the jobs of `papers` (`None`: all) into MLflow: finished ones completely, running ones as they are now.

    A job that cannot be tracked is named in the returned value, and the others are still tracked. `UserError` where the
    store itself cannot be used.
    """
    for name in papers or []:
        if name not in plan.papers():
            raise UserError(unknown("paper", name, plan.papers()))
    jobs = [job for job in plan.jobs if papers is None or job.paper in papers]
    with tracking_store.client(plan.config.results / ".tracking.lock") as (client, mended):
        done = Tracked(mended=mended)
        for experiment in sorted({f"{job.paper}/{job.experiment}" for job in jobs}):
            members = [job for job in jobs if f"{job.paper}/{job.experiment}" == experiment]
            experiment_id = _experiment(client, experiment)
            runs = _runs(client, experiment_id, plan)
            for job in members:
                _try_job(client, experiment_id, plan, job, runs.get(job.id), done)
        return done


def _try_job(
    client: "MlflowClient", experiment_id: str, plan: Plan, job: Job, run: "Run | None", done: Tracked
) -> None:
    from mlflow.exceptions import MlflowException

    try:
        _track_job(client, experiment_id, plan, job, run, done)
    except (MlflowException, OSError, ValueError, TypeError, UserError) as error:
        client.search_experiments(max_results=1)  # raises if the store fails, and not this job
        done.failed.append(f"{job.id}: {tracking_store.reason(error)}")


def link(port: int, plan: Plan) -> str:
    """The address of the first experiment's runs in MLflow's UI at `port`, in the view for model training."""
    client = tracking_store.connect()
    name = f"{plan.jobs[0].paper}/{plan.jobs[0].experiment}"
    with tracking_store.one_line():
        experiment_run = client.get_experiment_by_name(name)
    where = f"experiments/{experiment_run.experiment_id}/runs" if experiment_run else "experiments"
    return f"http://127.0.0.1:{port}/#/{where}?workflowType=machine_learning&compareRunsMode=CHART"


def _experiment(client: "MlflowClient", name: str) -> str:
    known = client.get_experiment_by_name(name)
    if known is not None:
        if known.lifecycle_stage == "deleted":
            client.restore_experiment(known.experiment_id)
        return str(known.experiment_id)
    paper_name, _, experiment = name.partition("/")
    spec = paper.get(paper_name).spec
    note = f"{spec.experiments[experiment].title}\n\n{spec.title} ({spec.authors}; {spec.venue} {spec.year})"
    tags = {"mlflow.experimentKind": "custom_model_development", "mlflow.note.content": note}
    return str(client.create_experiment(name, tags=tags))


def _runs(client: "MlflowClient", experiment_id: str, plan: Plan) -> dict[str, "Run"]:
    runs: dict[str, Run] = {}
    token: str | None = None
    wanted = f"tags.`{SCALE}` = '{plan.config.scale}' and tags.`{RESULTS}` = '{_results_id(plan)}'"
    while True:
        page = client.search_runs([experiment_id], wanted, page_token=token)
        for run in page:
            job = run.data.tags[JOB]
            if job in runs:  # written twice from two machines, between which the lock does not work
                client.delete_run(run.info.run_id)
            else:
                runs[job] = run
        token = page.token
        if not token:
            return runs


def _track_job(
    client: "MlflowClient", experiment_id: str, plan: Plan, job: Job, run: "Run | None", done: Tracked
) -> None:
    record, _ = collect.read(plan, job)
    rows = list(history.read(plan.folder(job) / "history.jsonl").rows)
    if record is None and not rows:
        return
    state, before = _state(plan, job, record, rows), _parse_state(run)
    if run is not None and before is not None and {**state, "figures": 0} == {**before, "figures": 0}:
        _log_figures(client, run, plan, job, state, before, done)
        return
    already = _rows_that_stand(before, rows)
    if run is not None and already is None:
        client.delete_run(run.info.run_id)
        run = None
    if run is None:
        run = _create(client, experiment_id, plan, job)
        done.created += 1
    else:
        done.updated += 1
    run_id = run.info.run_id
    _log(client, run_id, list(_curve_metrics(rows[already or 0 :])))
    if record is not None:
        _finish(client, run_id, plan, job, record)
    elif state["status"] == "failed":
        client.set_tag(run_id, "bnnbench.reason", (collect.read_failure(plan, job) or "")[:TAG_LIMIT])
        client.set_terminated(run_id, "FAILED")
    client.set_tag(run_id, STATE, json.dumps(state))


def _log_figures(
    client: "MlflowClient",
    run: "Run",
    plan: Plan,
    job: Job,
    state: dict[str, Any],
    before: dict[str, Any],
    done: Tracked,
) -> None:
    """Adds the figures that were drawn after the run had been finished."""
    if state["figures"] == before.get("figures") or state["status"] == "running":
        done.unchanged += 1
        return
    for path in _figures(plan, job):
        client.log_artifact(run.info.run_id, str(path), "figures")
    client.set_tag(run.info.run_id, STATE, json.dumps(state))
    done.updated += 1


def _state(plan: Plan, job: Job, record: Result | None, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The state that a run shows; where it is unchanged, nothing is written."""
    failed = record is None and collect.read_failure(plan, job) is not None
    return {
        "key": job.key,
        "published": [row.compared for row in _published(job)],
        "figures": [int(1000 * path.stat().st_mtime) for path in _figures(plan, job)],
        "rows": len(rows),
        "last": rows[-1]["time"] if rows else 0.0,
        "status": record.status if record is not None else "failed" if failed else "running",
        "finished": 0.0 if record is None else record.finished,
    }


def _results_id(plan: Plan) -> str:
    """An id kept in the results folder, so that checkouts that share a server do not change each other's runs."""
    path = plan.config.results / ".id"
    with suppress(OSError, UnicodeDecodeError):
        if re.fullmatch("[0-9a-f]{32}", known := read_regular(path).decode()):
            return known
    new = uuid.uuid4().hex
    write_atomic(path, new)
    return new


def _rows_that_stand(before: dict[str, Any] | None, rows: list[dict[str, Any]]) -> int | None:
    """The number of rows that a running run already shows; `None` where it must be rewritten as curves were rewound."""
    if before is None or before["status"] != "running" or before["rows"] > len(rows):
        return None
    last = rows[before["rows"] - 1]["time"] if before["rows"] else 0.0
    return int(before["rows"]) if last == before["last"] else None


def _parse_state(run: "Run | None") -> dict[str, Any] | None:
    if run is None or STATE not in run.data.tags:
        return None
    try:
        state = json.loads(run.data.tags[STATE])
    except ValueError:
        return None
    return state if isinstance(state, dict) and {"key", "rows", "last", "status"} <= state.keys() else None


def _create(client: "MlflowClient", experiment_id: str, plan: Plan, job: Job) -> "Run":
    started = plan.folder(job) / "history.jsonl"
    tags = {
        JOB: job.id,
        "bnnbench.key": job.key,
        "bnnbench.paper": job.paper,
        "bnnbench.experiment": job.experiment,
        "bnnbench.variant": job.variant,
        SCALE: job.scale,
        RESULTS: _results_id(plan),
    }
    start = int(1000 * (started.stat().st_ctime if started.exists() else time.time()))
    name = f"{job.variant}{f'@{job.seeds[0]}' if job.seed_per_job else ''} · {job.scale}"
    run = client.create_run(experiment_id, start_time=start, tags=tags, run_name=name)
    from mlflow.entities import Param

    values = {**job.params.model_dump(mode="json"), "seeds": list(job.seeds)}
    params = [Param(key, str(value)[:VALUE_LIMIT]) for key, value in values.items()]
    client.log_batch(run.info.run_id, params=params)
    return run


def _curve_metrics(rows: list[dict[str, Any]]) -> Iterator["Metric"]:
    from mlflow.entities import Metric

    for row in rows:
        for name, value in history.curves(row):
            yield Metric(f"curves/{name}/seed-{row['seed']}", value, int(1000 * row["time"]), row["step"])


def _finish(client: "MlflowClient", run_id: str, plan: Plan, job: Job, record: Result) -> None:
    from mlflow.entities import RunTag

    _log(client, run_id, list(_final_metrics(job, record)))
    tags = {
        "bnnbench.status": record.status,
        "bnnbench.reason": record.reason,
        "bnnbench.provenance": ", ".join(f"{data.name}: {data.provenance}" for data in record.datasets),
        "bnnbench.environment": record.environment,
        "bnnbench.warnings": "; ".join(record.warnings),
    }
    if noted := environment.noted(plan.config.folder(), record.environment):
        commit, dirty = noted.get("commit") or "unknown", noted.get("dirty")
        tags |= {"mlflow.source.git.commit": commit, "bnnbench.dirty": str(dirty)}
    client.log_batch(run_id, tags=[RunTag(key, value[:TAG_LIMIT]) for key, value in tags.items()])
    for path in [plan.result(job), *_figures(plan, job)]:
        client.log_artifact(run_id, str(path), "figures" if path.suffix == ".svg" else None)
    status = {"ok": "FINISHED", "skipped": "FINISHED"}.get(record.status, "FAILED")
    client.set_terminated(run_id, status, int(1000 * record.finished))


def _figures(plan: Plan, job: Job) -> Iterator[Path]:
    for figure in drawing.figures(job.paper).values():
        path = drawing.path(plan, job.paper, figure.name)
        if f"{job.paper}/{job.experiment}" in figure.experiments and path.exists():
            yield path


def _final_metrics(job: Job, record: Result) -> Iterator["Metric"]:
    from mlflow.entities import Metric

    when = int(1000 * record.finished)
    for name in record.metrics:
        values = [seed.metrics[name] for seed in record.seeds if name in seed.metrics]
        if not values:
            continue
        interval = mean_interval(values)
        yield Metric(f"final/{name}", interval.mean, when, 0)
        if interval.n > 1:
            yield Metric(f"interval/{name}", interval.half_width, when, 0)
        for published in _published(job):
            if published.metric == name and published.compared is not None:
                yield Metric(f"published/{name}", published.compared, when, 0)
                yield Metric(f"difference/{name}", interval.mean - published.compared, when, 0)
    for name in ("wall_seconds", "cpu_seconds", "peak_memory_mb"):
        yield Metric(f"cost/{name}", getattr(record, name), when, 0)


def _published(job: Job) -> list[Published]:
    """The numbers that this job's variant is compared with."""
    rows = paper.get(job.paper).published()
    return [
        row
        for row in rows
        if row.compared is not None and (row.experiment, row.variant) == (job.experiment, job.variant)
    ]


def _log(client: "MlflowClient", run_id: str, metrics: list["Metric"]) -> None:
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + BATCH])
