"""A recording holds the results that it was made of, in six files, and is compared like a results folder."""

from pathlib import Path

import pytest

from bnnbench.errors import UserError
from bnnbench.harness import config, execute, plan, recorded, result
from bnnbench.report.comparison import compare


@pytest.fixture
def made(tmp_path: Path, toy: Path) -> plan.Plan:
    """The toy paper with all its jobs computed."""
    chosen = {"papers": ["toy"], "scale": "smoke", "results": str(tmp_path / "results")}
    found = plan.make(config.validate(chosen, "file"), "file")
    for job in found.jobs:
        execute.execute(found, job)
    return found


def test_a_recording_gives_back_every_number_with_its_bits(made: plan.Plan) -> None:
    paths = recorded.record(made, "mine")
    assert sorted(path.name for path in paths[0].parent.iterdir()) == sorted(recorded.FILES)
    back = {found.job: found for found in recorded.read(paths[0].parent)}
    for job in made.jobs:
        kept, found = result.read(made.result(job)), back[job.id]
        for name in ("key", "params", "status", "environment", "datasets", "warnings", "wall_seconds", "finished"):
            assert getattr(found, name) == getattr(kept, name)
        assert [(one.seed, one.status, one.metrics) for one in found.seeds] == [
            (one.seed, one.status, one.metrics) for one in kept.seeds
        ]
        for name, about in found.metrics.items():
            assert (about.unit, about.higher_is_better) == (
                kept.metrics[name].unit,
                kept.metrics[name].higher_is_better,
            )


def test_a_recording_is_compared_with_the_results_that_it_is_of(made: plan.Plan) -> None:
    folder = recorded.record(made, "mine")[0].parent
    found = compare(folder, made.config.folder())
    assert found.changes
    assert {change.judgement for change in found.changes} == {"unchanged"}
    assert not any((found.only_first, found.only_second, found.statuses, found.params, found.data))


def test_a_job_costs_a_kilobyte_and_a_number_fifty_bytes(made: plan.Plan) -> None:
    """Five papers at laptop scale are some 250 jobs with 5,000 numbers, which have to fit into 500 kB."""
    folder = recorded.record(made, "mine")[0].parent
    lines = (folder / "jobs.jsonl").read_text().splitlines()
    assert max(map(len, lines)) < 1200
    assert (folder / "numbers.csv").stat().st_size / (len((folder / "numbers.csv").read_text().splitlines()) - 1) < 50


@pytest.mark.parametrize("file", recorded.FILES[:4])
def test_a_damaged_recording_is_one_line(made: plan.Plan, file: str) -> None:
    folder = recorded.record(made, "mine")[0].parent
    (folder / file).write_text("nothing\nof,this\n")
    with pytest.raises(UserError, match=r"mine: not a recording of this version \(.*\); record the results again"):
        compare(folder, made.config.folder())
