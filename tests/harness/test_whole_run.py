"""How far a run is and how long it takes still, from files that jobs leave."""

import time
from pathlib import Path

import pytest

from bnnbench.harness import files
from bnnbench.harness.config import validate
from bnnbench.harness.plan import Plan, make
from bnnbench.harness.whole_run import STEP_SECONDS, WholeRun


@pytest.fixture
def plan(toy: Path, tmp_path: Path) -> Plan:
    """Three jobs of estimated 6 s, 6 s and 300 s."""
    return make(validate({"scale": "smoke", "papers": ["toy"], "results": str(tmp_path)}, "test"))


def test_the_estimates_count_until_something_is_seen(plan: Plan) -> None:
    whole = WholeRun(plan, cores=2, now=1000.0)
    work = 6 + 6 + 300 + 3 * STEP_SECONDS
    assert whole.look(1000.0).seconds_left == pytest.approx(work / 2)
    assert whole.look(1000.0).total == 3


def test_what_was_seen_scales_the_estimates(plan: Plan) -> None:
    """After an hour in which one job of estimated 300 s ended, the rest takes some hundred times its estimate."""
    whole = WholeRun(plan, cores=2, now=1000.0)
    still = plan.job("toy/still/default")
    files.write_json(plan.result(still), {})
    seen = whole.look(1000.0 + 3600.0)
    assert (seen.done, seen.total) == (1, 3)
    speed = (300 + STEP_SECONDS) / 3600.0
    assert seen.seconds_left == pytest.approx((12 + 2 * STEP_SECONDS) / speed, rel=0.5)


def test_jobs_that_were_there_at_the_beginning_are_no_part_of_the_run(plan: Plan) -> None:
    files.write_json(plan.result(plan.jobs[0]), {})
    assert WholeRun(plan, 2, 0.0).look(0.0).total == 2


def test_only_a_job_whose_lock_is_held_is_running(plan: Plan) -> None:
    whole = WholeRun(plan, 2, time.time())
    killed, alive = plan.jobs[:2]
    for job in (killed, alive):
        files.write_json(plan.folder(job) / "running.json", {"started": time.time()})
    with files.locked(plan.folder(alive) / ".lock"):
        assert whole.look(time.time()).running == (alive.id,)


def test_steps_of_the_workflow_that_are_no_jobs_count_too(plan: Plan) -> None:
    whole = WholeRun(plan, 1, 0.0)
    before = whole.look(0.0).seconds_left
    whole.read("total           23")
    whole.read("anything else")
    assert whole.look(0.0).seconds_left == pytest.approx(before + 20 * STEP_SECONDS)


def test_nothing_is_left_once_all_is_done(plan: Plan) -> None:
    whole = WholeRun(plan, 1, 0.0)
    whole.read("23 of 23 steps (100%) done")
    for job in plan.jobs:
        files.write_json(plan.result(job), {})
    assert whole.look(50.0).seconds_left == 0.0
