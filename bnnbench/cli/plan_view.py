"""The plan and the data sets as tables for the terminal."""

from collections import defaultdict
from typing import TYPE_CHECKING

from rich.table import Table

from bnnbench.harness import data, registry
from bnnbench.harness.config import Config

if TYPE_CHECKING:
    from bnnbench.harness.plan import Job, Plan


def summary(plan: "Plan") -> list[Table]:
    """One row an experiment, and the data sets that they need."""
    groups: dict[str, list[Job]] = defaultdict(list)
    for job in plan.jobs:
        groups[f"{job.paper}/{job.experiment}"].append(job)
    table = Table(title=f"{len(plan.jobs)} jobs at scale {plan.config.scale}", title_justify="left")
    for column in ("experiment", "variants", "seeds", "jobs", "threads", "memory", "GPUs", "CPU time", "skipped"):
        table.add_column(column, justify="left" if column in ("experiment", "skipped") else "right")
    for name, jobs in groups.items():
        first = jobs[0].resources
        table.add_row(
            name,
            str(len({job.variant for job in jobs})),
            str(len({seed for job in jobs for seed in job.seeds})),
            str(len(jobs)),
            str(first.threads),
            f"{first.memory_mb / 1000:.1f} GB",
            str(first.gpus),
            _minutes(sum(job.resources.minutes for job in jobs)),
            _skipped(jobs),
        )
    return [table, _data_table(plan)]


def jobs(plan: "Plan") -> list[Table]:
    """One row a job."""
    table = Table(title=f"{len(plan.jobs)} jobs at scale {plan.config.scale}", title_justify="left")
    for column in ("job", "seeds", "estimate", "key", "skipped"):
        table.add_column(column, overflow="fold")
    for job in plan.jobs:
        table.add_row(job.id, " ".join(map(str, job.seeds)), _minutes(job.resources.minutes), job.key, job.skip)
    return [table]


def datasets(config: Config) -> Table:
    """Every registered data set and where it would come from."""
    table = Table(title=f"Data sets at scale {config.scale}", title_justify="left")
    for column in ("data set", "task", "from", "what", "folder"):
        table.add_column(column, overflow="fold")
    for name, dataset in sorted(registry.datasets().items()):
        availability = data.availability(dataset, config)
        origin, what = availability.provenance or "not here", availability.note or availability.unavailable
        table.add_row(name, dataset.task, origin, what, str(availability.folder or ""))
    return table


def _data_table(plan: "Plan") -> Table:
    table = Table(title="Data", title_justify="left")
    for column in ("data set", "from", "what"):
        table.add_column(column, overflow="fold")
    for name, availability in sorted(plan.data.items()):
        table.add_row(name, availability.provenance or "not here", availability.note or availability.unavailable)
    return table


def _skipped(jobs: "list[Job]") -> str:
    skipped = [job for job in jobs if job.skip]
    return f"{len(skipped)}: {skipped[0].skip}" if skipped else ""


def _minutes(minutes: float) -> str:
    if minutes < 1:
        return f"{60 * minutes:.0f} s"
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.0f} h"
