"""The progress of a run of the workflow and its remaining time, read from the results folder."""

import re
from dataclasses import dataclass

from bnnbench.harness import timings
from bnnbench.harness.execute import RUNNING
from bnnbench.harness.files import is_locked, read_json
from bnnbench.harness.plan import Job, Plan

STEP_SECONDS = 3.0
"""Overhead of any step, on one core: mostly the start of Python."""
TIMING_SECONDS = 60.0
"""Time to time the kernels, on all cores."""
PRIOR_SECONDS = 60.0
"""The weight of the plan's estimates against the observed speed, in seconds of observation."""
STEPS = re.compile(r"(\d+) of (\d+) steps|total +(\d+)")


@dataclass(frozen=True)
class Look:
    """The state of a run: how many of its jobs are done, which are running, and the estimated seconds that remain."""

    done: int
    total: int
    running: tuple[str, ...]
    seconds_left: float


class WholeRun:
    """A run that begins at `now`, in seconds since the epoch, on `cores` cores."""

    def __init__(self, plan: Plan, cores: int, now: float) -> None:
        """Determines the work: jobs without a result, and the timings of kernels where they are requested."""
        self.plan, self.cores, self.begun = plan, cores, now
        self.waiting = [job for job in plan.jobs if not plan.result(job).exists()]
        self.timing = plan.config.times_kernels() and not timings.path(plan).exists()
        self.steps = (0, 0)

    def read(self, line: str) -> None:
        """Reads the counts of steps from a line of Snakemake's log."""
        if match := STEPS.match(line):
            self.steps = int(match[1] or 0), int(match[2] or match[3])

    def look(self, now: float) -> Look:
        """The state at `now`. The assumed speed moves from that of the plan's estimates to the observed one."""
        done = [job for job in self.waiting if self.plan.result(job).exists()]
        running = {job.id: started for job in self.waiting if (started := self._started(job)) is not None}
        work = sum(map(_core_seconds, self.waiting)) + self._other_work()
        credit = sum(map(_core_seconds, done)) + self._other_work(done=len(done))
        for job in self.waiting:
            if job.id in running:
                seen = job.resources.threads * max(now - running[job.id], 0.0)
                credit += min(seen, 0.9 * _core_seconds(job))
        elapsed = max(now - self.begun, 0.0)
        speed = (credit + self.cores * PRIOR_SECONDS) / (elapsed + PRIOR_SECONDS)
        return Look(len(done), len(self.waiting), tuple(running), max(work - credit, 0.0) / speed)

    def _other_work(self, done: int | None = None) -> float:
        """Core-seconds of all steps but jobs; given the number `done` of finished jobs, only of the finished steps."""
        finished, total = self.steps
        steps = max(total - len(self.waiting), 0) if done is None else max(finished - done, 0)
        timed = self.timing and (done is None or timings.path(self.plan).exists())
        return STEP_SECONDS * steps + (self.cores * TIMING_SECONDS if timed else 0.0)

    def _started(self, job: Job) -> float | None:
        """When a running job began; `None` for a job that is not running, even if a killed process left its file."""
        folder = self.plan.folder(job)
        try:
            started = read_json(folder / RUNNING)["started"]
            return float(started) if is_locked(folder / ".lock") else None
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _core_seconds(job: Job) -> float:
    return STEP_SECONDS + (0.0 if job.skip else 60 * job.resources.minutes * job.resources.threads)
