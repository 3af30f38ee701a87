"""Progress of a job or of a whole run: a bar in a terminal, a line now and then in a log."""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Protocol

from bnnbench.harness.run import Progress
from bnnbench.harness.whole_run import Look

LOG_SECONDS = 10.0
WHOLE_RUN_SECONDS = 30.0


class _Lines:
    """Lines for a log file."""

    def __init__(self, job: str) -> None:
        self.job = job
        self.last = time.monotonic()
        self.first: tuple[int, int, float] | None = None

    def waiting(self) -> None:
        _say(f"{self.job}: waiting for another process that holds this job or the GPU")

    def step(self, seed: int, done: int, total: int, values: Mapping[str, float]) -> None:
        now = time.monotonic()
        if self.first is None or self.first[0] != seed:
            self.first = seed, done, now
        if done < total and now - self.last < LOG_SECONDS:
            return
        self.last = now
        _say(f"{self.job} seed {seed}: {done}/{total}{self._left(done, total, now)} {_numbers(values)}")

    def _left(self, done: int, total: int, now: float) -> str:
        """The time that the rest of the seed takes at its mean speed so far."""
        if self.first is None or done == total or done == self.first[1]:
            return ""
        seconds = (total - done) * (now - self.first[2]) / (done - self.first[1])
        return f" ({timedelta(seconds=round(seconds))} left)"


def _say(text: str) -> None:
    with suppress(OSError, ValueError):  # a pipe that was closed or a full disk behind it must not end a job
        print(text, flush=True)


@contextmanager
def show(job: str, n_seeds: int) -> Iterator[Progress]:
    """What draws the progress of `job` while it runs."""
    if not sys.stderr.isatty():
        yield _Lines(job)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    job_name, values = TextColumn("{task.description}", markup=False), TextColumn("{task.fields[values]}", markup=False)
    columns = (job_name, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), values)
    with Bars(*columns, console=Console(stderr=True)) as bars:
        yield _Bar(bars, job, n_seeds)


class _Bar:
    """One bar over the steps of all seeds."""

    def __init__(self, bars: "Bars", job: str, n_seeds: int) -> None:  # type: ignore[name-defined]  # noqa: F821
        self.bars = bars
        self.n_seeds = n_seeds
        self.seeds: list[int] = []
        self.task = bars.add_task(job, total=None, values="")

    def waiting(self) -> None:
        self.bars.update(self.task, values="waiting for another process that holds this job or the GPU")

    def step(self, seed: int, done: int, total: int, values: Mapping[str, float]) -> None:
        if seed not in self.seeds:
            self.seeds.append(seed)
        finished = (len(self.seeds) - 1) * total
        self.bars.update(
            self.task,
            total=self.n_seeds * total,
            completed=finished + done,
            values=f"seed {seed} {_numbers(values)}",
        )


def _numbers(values: Mapping[str, float]) -> str:
    return " ".join(f"{name}={value:.4g}" for name, value in values.items())


class WholeRunProgress(Protocol):
    """What shows a whole run: how far it is, and between two looks a message."""

    def look(self, seen: Look) -> None: ...  # noqa: D102
    def message(self, text: str) -> None: ...  # noqa: D102


@contextmanager
def show_whole_run() -> Iterator[WholeRunProgress]:
    """What draws the progress of a run of the workflow: one line that is drawn anew, or a line every 30 seconds."""
    if not sys.stderr.isatty():
        yield _RunLines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bars
    from rich.table import Column

    text = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))
    with Bars(BarColumn(bar_width=24), text, console=Console(stderr=True, highlight=False), transient=True) as bars:
        yield _RunBar(bars)


class _RunLines:
    """Lines for a log file, at most one every 30 seconds."""

    def __init__(self) -> None:
        self.last = -WHOLE_RUN_SECONDS

    def look(self, seen: Look) -> None:
        now = time.monotonic()
        if now - self.last >= WHOLE_RUN_SECONDS:
            self.last = now
            _say(_state(seen))

    def message(self, text: str) -> None:
        with suppress(OSError, ValueError):
            print(text, file=sys.stderr, flush=True)


class _RunBar:
    """One bar over the time of the whole run."""

    def __init__(self, bars: "Bars") -> None:  # type: ignore[name-defined]  # noqa: F821
        self.bars = bars
        self.begun = time.monotonic()
        self.task = bars.add_task("starting", total=None)

    def look(self, seen: Look) -> None:
        elapsed = time.monotonic() - self.begun
        self.bars.update(
            self.task, total=elapsed + seen.seconds_left, completed=elapsed, description=_state(seen, names=1)
        )

    def message(self, text: str) -> None:
        self.bars.console.print(text, markup=False)


def _state(seen: Look, names: int = 3) -> str:
    """`12 of 60 jobs, some 9 min left; toy/walk/plain and 1 more`: for a terminal only so many names."""
    minutes = seen.seconds_left / 60
    left = f"some {minutes:.0f} min left" if minutes >= 1.5 else "about a minute left"
    more = f" and {len(seen.running) - names} more" if len(seen.running) > names else ""
    finished = "; now tables, figures and pages" if seen.done == seen.total else ""
    running = f"; {', '.join(seen.running[:names])}{more}" if seen.running else finished
    return f"{seen.done} of {seen.total} jobs, {left}{running}"
