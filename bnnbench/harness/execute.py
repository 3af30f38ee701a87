"""Computes one job: seed after seed, from where a killed run left off, and writes its record last."""

import json
import math
import os
import random
import resource
import shutil
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bnnbench.errors import UserError
from bnnbench.harness import data, device, environment, paper, processes, registry, result
from bnnbench.harness.experiment import Diverged, Experiment, Metric, Outcome
from bnnbench.harness.files import locked, produce_atomic, write_json
from bnnbench.harness.plan import Job, Plan
from bnnbench.harness.processes import ALONE, Team
from bnnbench.harness.result import DataRecord, MetricRecord, Result, SeedRecord
from bnnbench.harness.run import CHECKPOINT_SECONDS, Progress, Run, Shelf
from bnnbench.harness.seeds import derive


def execute(
    plan: Plan, job: Job, progress: Progress | None = None, checkpoint_seconds: float = CHECKPOINT_SECONDS
) -> Result:
    """The result of `job`: read where it is already there and current, computed otherwise.

    Two processes never compute the same job at once: the second waits, and then finds the result. The processes that
    torchrun starts compute it together: this is the leader's part, `accompany` that of the others.
    An exception of the experiment is noted in `failure.json` and raised.
    """
    team = ALONE if job.skip else processes.team()
    folder, path = plan.folder(job), plan.result(job)
    with _together(job, team, progress), locked(folder / ".lock", progress.waiting if progress else None):
        current = _readable(path)
        if current is not None:
            team.share(())
            return current
        if job.skip:
            captured = environment.note(plan.config.folder())
            done = _compose(plan, job, [], [], captured=captured, status="skipped", reason=job.skip)
        else:
            try:
                with processes.named_losses():
                    done = _compute(plan, job, folder, progress, checkpoint_seconds, team)
            except Exception as error:
                _note_failure(folder, error, team)
                raise
        (folder / "failure.json").unlink(missing_ok=True)
        result.write(path, done)
        for partial in folder.parent.glob("*/partial"):  # of this job, and of earlier ones that were given up
            shutil.rmtree(partial, ignore_errors=True)
        return done


def accompany(plan: Plan, job: Job) -> None:
    """What the processes of a team do that do not lead it: they compute along with `execute` and write nothing.

    An exception here is noted in `failure.json` all the same, since the leader only sees a lost connection.
    """
    if job.skip:
        return
    team = processes.team()
    folder = plan.folder(job)
    with _together(job, team):
        try:
            with processes.named_losses():
                _compute_along(plan, job, folder, team)
        except Exception as error:
            _note_failure(folder, error, team)
            raise


def _compute_along(plan: Plan, job: Job, folder: Path, team: Team) -> None:
    _prepare(job)
    declared = paper.get(job.paper).declaration(job.experiment)
    seeds: tuple[int, ...] = team.share(())
    for seed in seeds:
        _seed_global_streams(seed)
        run = Run(seed, job.device, folder, _loader(plan), team=team)
        with suppress(Diverged):  # so does the leader, which records it
            declared(job.params, run)


@contextmanager
def _together(job: Job, team: Team, progress: Progress | None = None) -> Iterator[None]:
    """A team's processes each take a GPU and are connected before the leader decides anything."""
    if team.size > 1 and not paper.get(job.paper).declaration(job.experiment).parallel:
        raise UserError(f"{job.id} is computed by one process: start it with `bnnbench run`, not under torchrun")
    with ExitStack() as stack:
        if team.size > 1 and job.device == "cuda":
            stack.enter_context(device.gpu(progress.waiting if progress else None, team.here))
        stack.enter_context(processes.joined(team, job.device))
        yield


def _readable(path: Path) -> Result | None:
    try:
        return result.read(path) if path.exists() else None
    except UserError:
        return None


def _note_failure(folder: Path, error: Exception, team: Team = ALONE) -> None:
    """The reason for people. In a team the first failure counts: the others follow from it."""
    path = folder / "failure.json"
    if team.size > 1 and path.exists():
        return
    where = "" if team.size == 1 else f"process {team.rank + 1} of {team.size}: "
    name = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
    reason = f"{where}{name}{error}".splitlines()[0]
    with suppress(UserError):  # the disk may be what is wrong
        write_json(path, {"reason": reason, "traceback": traceback.format_exc()})


def _compute(
    plan: Plan, job: Job, folder: Path, progress: Progress | None, checkpoint_seconds: float, team: Team
) -> Result:
    with ExitStack() as stack:
        if job.device == "cuda" and team.size == 1:
            stack.enter_context(device.gpu(progress.waiting if progress else None))
        _prepare(job)
        captured = environment.note(plan.config.folder())  # now: the code may change while the job runs
        declared = paper.get(job.paper).declaration(job.experiment)
        used: dict[str, DataRecord] = {}
        finished = {seed: _seed_record(folder, seed) for seed in job.seeds}
        if team.size > 1:
            (folder / "failure.json").unlink(missing_ok=True)  # of an earlier attempt: the first failure counts
            used = {name: _describe(plan, name) for name in job.datasets}  # downloaded once, before all read
        order = _from(job.seeds, plan.jobs.index(job))
        waiting = team.share(tuple(seed for seed in order if finished[seed] is None))
        for seed in waiting:
            shelf = Shelf(plan.config.folder() / "shared", job.basis, job.identities)
            run = Run(seed, job.device, folder, _loader(plan, used), progress, checkpoint_seconds, team, shelf)
            finished[seed] = _seed(declared, job, run, folder)
        seeds = [record for record in finished.values() if record is not None]
        records = [used[name] if name in used else _describe(plan, name) for name in job.datasets]
        return _compose(plan, job, seeds, records, captured=captured, metrics=declared.metrics, processes=team.size)


def _from(seeds: tuple[int, ...], start: int) -> tuple[int, ...]:
    """The seeds in turn from the one at `start`: jobs side by side do not wait for the same shared net."""
    start %= len(seeds)
    return seeds[start:] + seeds[:start]


def _prepare(job: Job) -> None:
    """Threads and determinism: the same seed gives the same bits at the same number of threads."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BNNBENCH_THREADS"):
        os.environ[name] = str(job.resources.threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch

    torch.set_num_threads(job.resources.threads)
    torch.use_deterministic_algorithms(True)
    if job.device == "cuda" and not torch.cuda.is_available():
        raise UserError(
            f"{job.id}: this torch ({torch.__version__}) has no CUDA; install a CUDA build or set device: cpu"
        )


def _loader(plan: Plan, used: dict[str, DataRecord] | None = None) -> Callable[[str], Any]:
    """What `Run.data` calls; `used` collects the records of what was read."""

    def load(name: str) -> Any:
        dataset = registry.dataset(name)
        source = data.obtain(dataset, plan.config)
        loaded = dataset.load(source)
        if used is not None and name not in used:
            used[name] = data.read_record(plan.config, dataset, source)
        return loaded

    return load


def _describe(plan: Plan, name: str) -> DataRecord:
    dataset = registry.dataset(name)
    return data.read_record(plan.config, dataset, data.obtain(dataset, plan.config))


def _seed(declared: Experiment[Any], job: Job, run: Run, folder: Path) -> SeedRecord:
    _seed_global_streams(run.seed)
    run.forget()
    try:
        outcome = declared(job.params, run)
        for name, value in outcome.metrics.items():
            if not math.isfinite(value):
                raise Diverged(f"{name} is {value} at the end")
    except Diverged as diverged:
        outcome, status, reason = Outcome({}), "diverged", str(diverged)
    else:
        status, reason = "ok", ""
    tables = [_write_table(folder, run.seed, name, columns) for name, columns in outcome.tables.items()]
    wall, cpu, joules = run.spent()
    record = SeedRecord.model_validate(
        {
            "seed": run.seed,
            "status": status,
            "reason": reason,
            "metrics": {name: float(value) for name, value in outcome.metrics.items()},
            "tables": tables,
            "warnings": list(outcome.warnings),
            "wall_seconds": wall,
            "cpu_seconds": cpu,
            "energy_joules": joules,
            "resumed": run.resumed,
        }
    )
    write_json(_seed_path(folder, run.seed), record.model_dump())
    run.discard_checkpoint()
    return record


def _warnings(seeds: Sequence[SeedRecord]) -> list[str]:
    """Each warning once, with the seeds that gave it unless all did."""
    by_text: dict[str, list[int]] = {}
    for seed in seeds:
        for text in dict.fromkeys(seed.warnings):
            by_text.setdefault(text, []).append(seed.seed)
    return [
        text if len(of) == len(seeds) else f"seed {', '.join(map(str, of))}: {text}" for text, of in by_text.items()
    ]


def _sum(joules: Iterable[float | None]) -> float | None:
    known = list(joules)
    return None if None in known or not known else sum(value for value in known if value is not None)


def _seed_global_streams(seed: int) -> None:
    """Dropout and the like draw from torch's global stream; libraries may draw from Python's and NumPy's."""
    import numpy as np
    import torch

    np.random.seed(derive(seed, "numpy") % 2**32)  # noqa: NPY002  (the legacy stream is what libraries draw from)
    random.seed(derive(seed, "python"))
    torch.manual_seed(derive(seed, "torch"))


def _seed_path(folder: Path, seed: int) -> Path:
    return folder / "partial" / f"seed-{seed}.json"


def _seed_record(folder: Path, seed: int) -> SeedRecord | None:
    """What a killed run of this job had already finished."""
    try:
        return SeedRecord.model_validate(json.loads(_seed_path(folder, seed).read_text()))
    except (OSError, ValueError, ValidationError):
        return None


def _write_table(folder: Path, seed: int, name: str, columns: Mapping[str, Sequence[Any]]) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path("tables") / f"seed-{seed}" / f"{name}.parquet"
    produce_atomic(folder / path, lambda partial: pq.write_table(pa.table(dict(columns)), partial))
    return str(path)


def _compose(
    plan: Plan,
    job: Job,
    seeds: list[SeedRecord],
    datasets: list[DataRecord],
    *,
    captured: str,
    metrics: Sequence[Metric] = (),
    status: str = "",
    reason: str = "",
    processes: int = 1,
) -> Result:
    diverged = [seed for seed in seeds if seed.status == "diverged"]
    return Result.model_validate(
        {
            "job": job.id,
            "key": job.key,
            "paper": job.paper,
            "experiment": job.experiment,
            "variant": job.variant,
            "scale": job.scale,
            "params": job.params.model_dump(mode="json"),
            "status": status or ("diverged" if diverged else "ok"),
            "reason": reason or "; ".join(f"seed {seed.seed}: {seed.reason}" for seed in diverged),
            "seeds": [seed.model_dump() for seed in seeds],
            "metrics": {
                m.name: MetricRecord(unit=m.unit, higher_is_better=m.higher_is_better, description=m.description)
                for m in metrics
            },
            "datasets": [record.model_dump() for record in datasets],
            "environment": captured,
            "device": job.device,
            "threads": job.resources.threads,
            "processes": processes,
            "wall_seconds": sum(seed.wall_seconds for seed in seeds),
            "cpu_seconds": sum(seed.cpu_seconds for seed in seeds),
            "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "energy_joules": _sum(seed.energy_joules for seed in seeds),
            "finished": time.time(),
            "warnings": _warnings(seeds),
        }
    )
