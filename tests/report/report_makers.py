"""Results, verdicts and pictures as runs would leave them, written by hand: nothing is trained here."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bnnbench.harness import environment, files, result
from bnnbench.harness.collect import collect
from bnnbench.harness.config import validate
from bnnbench.harness.files import write_json
from bnnbench.harness.plan import Job, Plan, make
from bnnbench.harness.result import DataRecord, MetricRecord, Result, SeedRecord

HERE = environment.capture()
OFFICIAL = DataRecord(name="digits", provenance="official", identity="official:digits", checksum="ab" * 32)
BUNDLED = DataRecord(name="digits", provenance="bundled", identity="bundled:digits", checksum="cd" * 32)


LOST: dict[str, Any] = {"status": "diverged", "reason": "lost", "wall_seconds": 0.0, "cpu_seconds": 0.0}


def toy_plan(folder: Path, **settings: Any) -> Plan:
    """A plan of the toy paper of `tests/conftest.py` with its results in `folder`."""
    values = {"scale": "smoke", "papers": ["toy"], "experiments": ["toy/walk"], "results": str(folder), **settings}
    return make(validate(values, "test"))


def published(toy: Path, *rows: str) -> None:
    """Replaces what the toy paper prints; to be called before a plan is made."""
    header = "experiment,variant,model,dataset,metric,value,std,unit,source,origin,note"
    (toy / "toy_paper" / "published.csv").write_text("\n".join([header, *rows]) + "\n")


def job(plan: Plan, variant: str) -> Job:
    """The (first) job of a variant of `toy/walk`."""
    return next(job for job in plan.jobs if job.variant == variant)


def finish(plan: Plan, job: Job, values: Mapping[int, float], **changes: Any) -> Result:
    """Leaves a result of `job` with one value a seed; `changes` overrides fields of the record."""
    fields: dict[str, Any] = {
        "job": job.id,
        "key": job.key,
        "paper": job.paper,
        "experiment": job.experiment,
        "variant": job.variant,
        "scale": job.scale,
        "params": job.params.model_dump(mode="json"),
        "status": "ok",
        "seeds": [seed(number, {"end": value}) for number, value in values.items()],
        "metrics": {"end": MetricRecord(unit="m", higher_is_better=True)},
        "environment": HERE["id"],
        "wall_seconds": 2.0,
        "cpu_seconds": 1.5,
        "peak_memory_mb": 100.0,
        "finished": 1.8e9,
    }
    made = Result.model_validate({**fields, **changes})
    if made.status != "skipped":  # a record has every seed of its job
        given = {one.seed: one for one in made.seeds}
        lost = {number: SeedRecord(**LOST, seed=number) for number in job.seeds}
        made = made.model_copy(update={"seeds": [given.get(number, lost[number]) for number in job.seeds]})
    result.write(plan.folder(job) / "result.json", made)
    return made


def seed(number: int, metrics: Mapping[str, float]) -> SeedRecord:
    """What one seed gave."""
    return SeedRecord(seed=number, status="ok", metrics=dict(metrics), wall_seconds=1.0, cpu_seconds=0.5)


def fail(plan: Plan, job: Job, reason: str) -> None:
    """Leaves what a job leaves that raised an exception."""
    write_json(plan.folder(job) / "failure.json", {"key": job.key, "reason": reason, "traceback": ""})


def gathered(plan: Plan) -> None:
    """Collects every experiment and captures the environment."""
    files.write_json(plan.config.folder() / "environments" / f"{HERE['id']}.json", HERE)
    for name in {f"{job.paper}/{job.experiment}" for job in plan.jobs}:
        collect(plan, name)


def claims(plan: Plan, *records: Mapping[str, Any]) -> None:
    """Leaves verdicts on the toy paper."""
    basic: dict[str, Any] = {
        "name": "far",
        "statement": "It walks far.",
        "source": "Table 1",
        "experiments": ["toy/walk"],
    }
    basic |= {"origin": "paper", "verdict": "reproduced", "text": "1.5 m", "power": "", "stand_ins": []}
    listed = [{**basic, **record} for record in records]
    write_json(plan.config.folder() / "claims" / "toy.json", listed)


def stored(
    folder: Path,
    values: Mapping[int, Mapping[str, float]],
    *,
    scale: str = "smoke",
    variant: str = "plain",
    place: str = "",
    metrics: Mapping[str, MetricRecord] | None = None,
    lost: Sequence[int] = (),
    **changes: Any,
) -> None:
    """Leaves a result of no plan at all, below `folder`, the results of one scale."""
    names = {name for row in values.values() for name in row}
    fields = {
        "job": f"toy/walk/{place or variant}",
        "key": "k",
        "paper": "toy",
        "experiment": "walk",
        "variant": variant,
        "scale": scale,
        "params": {"steps": 3},
        "status": "ok",
        "seeds": [
            SeedRecord(**LOST, seed=number) if number in lost else seed(number, row) for number, row in values.items()
        ],
        "metrics": metrics or {name: MetricRecord(unit="m", higher_is_better=True) for name in names},
        "environment": "e1",
        **changes,
    }
    result.write(folder / "toy" / "walk" / (place or variant) / "0" / "result.json", Result.model_validate(fields))
