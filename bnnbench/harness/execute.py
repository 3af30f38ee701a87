"""Computes one job seed by seed, continues from where a killed run stopped, and writes the record last."""

import math
import os
import resource
import shutil
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bnnbench.errors import Diverged, UserError
from bnnbench.harness import data, device, environment, history, paper, processes, registry, result
from bnnbench.harness.caught import result_warnings
from bnnbench.harness.experiment import Experiment, Metric, Outcome
from bnnbench.harness.files import clear, is_as_written, is_file, locked, produce_atomic, read_json, seal, write_json
from bnnbench.harness.plan import Job, Plan
from bnnbench.harness.processes import ALONE, Team
from bnnbench.harness.result import DataRecord, MetricRecord, Record, Result, SeedRecord
from bnnbench.harness.run import CHECKPOINT_SECONDS, Progress, Run, SharedStore, seed_global_streams
from bnnbench.harness.values import check_part, columns, number, text

RUNNING = "running.json"
"""A file that exists while a job computes; where it remains without a held lock, the job was killed."""


def execute(
    plan: Plan, job: Job, progress: Progress | None = None, checkpoint_seconds: float = CHECKPOINT_SECONDS
) -> Result:
    """The result of `job`: read where it exists and is current, computed otherwise.

    Two processes never compute the same job at once: the second waits and then reads the result. The processes that
    torchrun starts compute a job together: the leader calls this function, and the others call `accompany`. An
    exception of the experiment is written to `failure.json` and raised again.
    """
    team = ALONE if job.skip else processes.team()
    folder, path = plan.folder(job), plan.result(job)
    on_wait = progress.waiting if progress else None
    with _together(job, team, progress), locked(folder / ".lock", on_wait) as lock:
        current = _readable(job, path)
        if current is not None:
            _forget_attempt(folder)
            team.share(())
            return current
        check = partial(_check_place, folder, lock)
        if job.skip:
            captured = environment.note(plan.config.folder())
            done = _compose(plan, job, [], [], captured=captured, status="skipped", reason=job.skip)
        else:
            try:
                with processes.named_losses():
                    done = _compute(plan, job, folder, progress, checkpoint_seconds, team, check)
            except Exception as error:
                _note_failure(folder, error, team)
                raise
        check()
        done = result.write(path, done)
        _forget_attempt(folder)
        shutil.rmtree(folder / "partial", ignore_errors=True)
        return done


def _check_place(folder: Path, lock: int) -> None:
    """Raises `UserError` where the folder with this job's lock is gone: a partial result must not be written."""
    if not is_file(folder / ".lock", lock):
        raise UserError(f"{folder}: was moved or deleted while its job ran; run the job again")


def _forget_attempt(folder: Path) -> None:
    for name in ("failure.json", RUNNING):
        clear(folder / name)


def accompany(plan: Plan, job: Job) -> None:
    """The part of a team's processes that do not lead it: they compute together with `execute` and write no results.

    An exception here is also written to `failure.json`, since the leader only sees a lost connection.
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
    _prepare(plan, job)
    declared = paper.get(job.paper).declaration(job.experiment)
    seeds: tuple[int, ...] = team.share(())
    for seed in seeds:
        seed_global_streams(seed)
        run = Run(seed, job.device, folder, _loader(plan, job), team=team)
        with (
            suppress(Diverged),
            registry.only_methods([*job.params.methods()]),
        ):  # the leader also diverges, and records it
            declared(job.params, run)


@contextmanager
def _together(job: Job, team: Team, progress: Progress | None = None) -> Iterator[None]:
    """Gives each process of a team a GPU and connects the processes, before the leader decides anything."""
    if team.size > 1 and not paper.get(job.paper).declaration(job.experiment).parallel:
        raise UserError(f"{job.id} is computed by one process: start it with `bnnbench run`, not under torchrun")
    with ExitStack() as stack:
        if team.size > 1 and job.device == "cuda":
            stack.enter_context(device.gpu(progress.waiting if progress else None, team.here))
        stack.enter_context(processes.joined(team, job.device))
        yield


def _readable(job: Job, path: Path) -> Result | None:
    try:
        return result.read_of(job, path) if path.exists() else None
    except UserError:
        return None


def _note_failure(folder: Path, error: Exception, team: Team = ALONE) -> None:
    """Writes down why the job failed. In a team only the first failure is kept, as it causes the others."""
    path = folder / "failure.json"
    if not folder.exists() or (team.size > 1 and path.exists()):
        return
    where = "" if team.size == 1 else f"process {team.rank + 1} of {team.size}: "
    with suppress(UserError, OSError):  # the disk may be the cause of the failure
        write_json(path, {"reason": f"{where}{one_line(error)}", "traceback": text(traceback.format_exc())})
        (folder / RUNNING).unlink(missing_ok=True)


def one_line(error: BaseException) -> str:
    """An exception in one line of at most 500 characters: its class, unless it is a `UserError`, and its text."""
    try:
        said = text(error)
    except Exception:  # the text of an unknown exception may raise anything
        said = ""
    first = next((line.strip() for line in said.splitlines() if line.strip()), "")
    name = "" if isinstance(error, UserError) and first else type(error).__name__
    said = ": ".join(filter(None, [name, first]))
    return said if len(said) <= 500 else f"{said[:499]}…"


def _compute(
    plan: Plan,
    job: Job,
    folder: Path,
    progress: Progress | None,
    checkpoint_seconds: float,
    team: Team,
    check: Callable[[], None],
) -> Result:
    with ExitStack() as stack:
        if job.device == "cuda" and team.size == 1:
            stack.enter_context(device.gpu(progress.waiting if progress else None))
        _forget_attempt(folder)  # in a team the first failure is kept, so an earlier file must be removed
        write_json(folder / RUNNING, {"started": time.time()})
        _prepare(plan, job)
        captured = environment.note(plan.config.folder())  # captured now, as the code may change while the job runs
        declared = paper.get(job.paper).declaration(job.experiment)
        used: dict[str, DataRecord] = {}
        kept = {seed: _seed_record(folder, job, seed) for seed in job.seeds}
        if team.size > 1:
            used = {name: _describe(plan, name) for name in job.datasets}  # downloaded once, before all read it
        order = _from(job.seeds, plan.jobs.index(job))
        for seed in team.share(tuple(seed for seed in order if kept[seed] is None)):
            store = SharedStore(plan.config.folder() / "shared", job.basis, job.identities)
            load = _loader(plan, job, used)
            run = Run(seed, job.device, folder, load, progress, checkpoint_seconds, team, store, check)
            kept[seed] = _seed(declared, job, run, folder)
        finished = [record for record in kept.values() if record is not None]
        check()
        rows = len(history.read(folder / "history.jsonl").rows)
        if rows != sum(record.curve_rows for record in finished):
            raise UserError(f"{folder / 'history.jsonl'}: lost rows while its job ran; run the job again")
        if rows:
            seal(folder / "history.jsonl")
        records = [used[name] if name in used else _describe(plan, name) for name in job.datasets]
        seeds = [record.seed for record in finished]
        return _compose(
            plan,
            job,
            seeds,
            records,
            captured=captured,
            metrics=declared.metrics,
            processes=team.size,
            curve_rows=rows,
        )


def lone_run(plan: Plan, job: Job, seed: int, folder: Path) -> Run:
    """A run outside of any job: it reads the data and the shared results of `job`, and writes to `folder`."""
    store = SharedStore(plan.config.folder() / "shared", job.basis, job.identities)
    return Run(seed, job.device, folder, _loader(plan, job), store=store)


def _from(seeds: tuple[int, ...], start: int) -> tuple[int, ...]:
    """The seeds in cyclic order from the one at `start`, so that parallel jobs do not wait for the same shared net."""
    start %= len(seeds)
    return seeds[start:] + seeds[:start]


def _prepare(plan: Plan, job: Job) -> None:
    """Sets threads and determinism: the same seed gives the same bits with the same number of threads.

    Programs that JAX compiles are cached for later seeds, jobs and runs. Data are arguments of a program instead of
    constants in it (simplified constants), so that all data sets of one shape share the program.
    """
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BNNBENCH_THREADS"):
        os.environ[name] = str(job.resources.threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    os.environ["TORCHINDUCTOR_DETERMINISTIC"] = "1"
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(plan.config.cache_dir() / "jax"))
    os.environ.setdefault("JAX_USE_SIMPLIFIED_JAXPR_CONSTANTS", "1")
    import torch

    torch.set_num_threads(job.resources.threads)
    # `use_deterministic_algorithms(True)` does the same, but takes 2 CPU-seconds to import torch's compiler in order to
    # configure it. Where an experiment compiles, the compiler reads the variable above.
    torch.set_deterministic_debug_mode("error")
    if job.device == "cuda" and not torch.cuda.is_available():
        raise UserError(
            f"{job.id}: this torch ({torch.__version__}) has no CUDA; install a CUDA build or set device: cpu"
        )


def _loader(plan: Plan, job: Job, used: dict[str, DataRecord] | None = None) -> Callable[[str], Any]:
    """The function that `Run.data` calls; `used` collects the records of the data sets that were read.

    Only data sets that the parameters declare are read: others would be neither in the job's key nor in its record.
    """

    def load(name: str) -> Any:
        dataset = registry.dataset(name)
        if name not in (*job.params.datasets(), *job.params.optional_datasets()):
            raise UserError(
                f"{job.id}: reads data set {name!r}, which its parameters do not declare; let their"
                " `datasets()` name it"
            )
        source = data.obtain(dataset, plan.config)
        loaded = dataset.load(source)
        if used is not None and name not in used:
            used[name] = data.read_record(plan.config, dataset, source)
        return loaded

    return load


def _describe(plan: Plan, name: str) -> DataRecord:
    dataset = registry.dataset(name)
    return data.read_record(plan.config, dataset, data.obtain(dataset, plan.config))


def _seed(declared: Experiment[Any], job: Job, run: Run, folder: Path) -> "Kept":
    seed_global_streams(run.seed)
    with result_warnings() as said:
        try:
            with registry.only_methods([*job.params.methods()]):
                outcome = declared(job.params, run)
            warnings = _texts(outcome.warnings)
            metrics = {name: number(value, f"metric {name!r}") for name, value in outcome.metrics.items()}
            for name, value in metrics.items():
                if not math.isfinite(value):
                    raise Diverged(f"{name} is {value} at the end")
        except Diverged as diverged:
            outcome, warnings, metrics, status, reason = Outcome({}), [], {}, "diverged", text(diverged)
        else:
            status, reason = "ok", ""
    tables = [_write_table(folder, run.seed, name, table) for name, table in outcome.tables.items()]
    wall, cpu, joules = run.spent()
    record = SeedRecord.model_validate(
        {
            "seed": run.seed,
            "status": status,
            "reason": reason,
            "metrics": metrics,
            "tables": tables,
            "warnings": list(dict.fromkeys([*warnings, *_texts(said)])),
            "wall_seconds": wall,
            "cpu_seconds": cpu,
            "energy_joules": joules,
            "resumed": run.resumed,
        }
    )
    kept = Kept(key=job.key, seed=record, curve_rows=_curve_rows(folder, run.seed))
    write_json(_seed_path(folder, run.seed), {**kept.model_dump(), "digest": result.digest(kept)})
    run.discard_checkpoints()
    return kept


def _texts(warnings: str | Sequence[str]) -> list[str]:
    """Warnings as texts that files can hold; a single warning need not be in a list."""
    return [text(one) for one in ([warnings] if isinstance(warnings, str) else warnings)]


class Kept(Record):
    """The record of a finished seed, kept while other seeds of its job are not finished."""

    key: str
    seed: SeedRecord
    curve_rows: int
    digest: str = ""


def _curve_rows(folder: Path, seed: int) -> int:
    return sum(row["seed"] == seed for row in history.read(folder / "history.jsonl").rows)


def _warnings(seeds: Sequence[SeedRecord]) -> list[str]:
    """Each warning once, with the seeds that gave it, unless all seeds did."""
    by_text: dict[str, list[int]] = {}
    for seed in seeds:
        for said in dict.fromkeys(seed.warnings):
            by_text.setdefault(said, []).append(seed.seed)
    return [
        said if len(of) == len(seeds) else f"seed {', '.join(map(str, of))}: {said}" for said, of in by_text.items()
    ]


def _sum(joules: Iterable[float | None]) -> float | None:
    known = list(joules)
    return None if None in known or not known else sum(value for value in known if value is not None)


def _seed_path(folder: Path, seed: int) -> Path:
    return folder / "partial" / f"seed-{seed}.json"


def _seed_record(folder: Path, job: Job, seed: int) -> Kept | None:
    """The record of a seed that a killed run of exactly this job had finished, if its curves and tables are intact."""
    try:
        kept = Kept.model_validate(read_json(_seed_path(folder, seed)))
    except (OSError, ValueError, ValidationError):
        return None
    whole = kept.digest == result.digest(kept) and (kept.key, kept.seed.seed) == (job.key, seed)
    tables = all(is_as_written(folder / table) for table in kept.seed.tables)
    return kept if whole and tables and kept.curve_rows == _curve_rows(folder, seed) else None


def _write_table(folder: Path, seed: int, name: str, table: Mapping[str, Sequence[Any]]) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    check_part(name, "table")
    content = columns(table, name)
    try:
        arrow = pa.table(content)
    except pa.ArrowException as error:
        raise ValueError(f"table {name!r}: a column mixes kinds: {str(error).splitlines()[0]}") from error
    path = Path("tables") / f"seed-{seed}" / f"{name}.parquet"
    produce_atomic(folder / path, lambda partial: pq.write_table(arrow, partial))
    seal(folder / path)
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
    curve_rows: int | None = None,
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
            "curve_rows": curve_rows,
        }
    )
