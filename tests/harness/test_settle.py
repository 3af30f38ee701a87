"""Settling a claim: what is written down, what is planned from then on, and what the verdict rests on."""

from pathlib import Path

import numpy as np
import pytest
from conftest import forget_registered
from scipy import stats

from bnnbench.errors import UserError
from bnnbench.harness import collect, config, execute, first_stage, mend, plan, settle, verdicts
from bnnbench.harness.claim import judge
from bnnbench.harness.collect import Results
from bnnbench.harness.plan import Plan
from bnnbench.report.content import gather

CLAIMS = """
from bnnbench.harness.claim import Resolution, claim, more_than


@claim("walks", "It walks.", "Table 1", ["toy/walk"], resolution=Resolution({half!r}, "m", "for a test"))
def walks(results):
    return more_than("end", results.interval("toy/walk", "plain", "end"), {bound!r}, "m")


@claim("walks-too", "It walks, too.", "Table 1", ["toy/walk"], resolution=Resolution({half!r}, "m", "for a test"))
def walks_too(results):
    return more_than("end", results.interval("toy/walk", "plain", "end"), {bound!r}, "m")
"""


def made(tmp_path: Path, **changes: object) -> Plan:
    chosen = {"papers": ["toy"], "experiments": ["toy/walk"], "scale": "smoke", "results": str(tmp_path / "results")}
    return plan.make(config.validate({**chosen, **changes}, "file"), "file")


def computed(planned: Plan) -> Plan:
    for job in planned.jobs:
        execute.execute(planned, job)
    collect.collect(planned, "toy/walk")
    return planned


def interval(planned: Plan, claim: str) -> tuple[float, float, float, int]:
    declared = next(one for one in verdicts.claims("toy") if one.name == claim)
    (comparison,) = judge(declared, verdicts.results(planned, "toy", declared)).comparisons
    return comparison.interval.mean, comparison.interval.low, comparison.interval.high, comparison.interval.n


@pytest.fixture
def looked(toy: Path, tmp_path: Path) -> tuple[Plan, float]:
    """Three seeds, and a claim that is open since its bound is their mean; five seeds make it narrow enough."""
    ends = list(Results.load(computed(made(tmp_path)), ["toy/walk"]).values("toy/walk", "plain", "end").values())
    spread = float(np.std(ends, ddof=1))
    half = float(1.0001 * stats.t.ppf(0.975, 2) * spread / np.sqrt(5))
    (toy / "toy_paper" / "claims.py").write_text(CLAIMS.format(half=half, bound=float(np.mean(ends))))
    forget_registered()
    return made(tmp_path), spread


def test_a_first_stage_adds_seeds_that_count_for_its_claim_alone(looked: tuple[Plan, float], tmp_path: Path) -> None:
    before, spread = looked
    (walks, too) = settle.unsettled(before, [])
    assert [one.name for one in (walks, too)] == ["toy/walks", "toy/walks-too"]
    first = interval(before, "walks")
    walks.write_down(before)

    planned = made(tmp_path)
    old, added = ([job for job in planned.jobs if job.is_added == is_added] for is_added in (False, True))
    assert old == list(before.jobs), "what is finished is not computed again"
    assert [job.id for job in added] == ["toy/walk/plain@3", "toy/walk/plain@4"]
    collect.collect(planned, "toy/walk")
    assert interval(planned, "walks") == first, "until all seeds were run the first stage stands"
    assert settle.unsettled(planned, ["walks"])[0].minutes > 0

    after = computed(planned)
    ends = [execute.execute(after, job).seeds[-1].metrics["end"] for job in added]
    ends += list(Results.load(after, ["toy/walk"]).values("toy/walk", "plain", "end").values())
    half = stats.t.ppf(0.975, 2) * spread / np.sqrt(5)
    mean, low, high, n = interval(after, "walks")
    assert (mean, low, high) == pytest.approx((np.mean(ends), np.mean(ends) - half, np.mean(ends) + half))
    assert n == len(ends) == 5
    assert interval(after, "walks-too") == first
    assert made(tmp_path).jobs == after.jobs, "they stay part of the plan"

    study = gather(after).papers[0].studies[0]
    assert [(row.seeds, row.seeds_planned) for row in study.rows] == [(3, 3), (3, 3)]
    assert any("2 jobs of one more seed" in note for note in study.notes)
    assert {"toy/walk/plain@3", "toy/walk/plain@4"} <= {state.job for state in study.jobs if state.status == "ok"}


def test_a_later_look_overwrites_nothing_and_asks_for_no_more(looked: tuple[Plan, float], tmp_path: Path) -> None:
    before, _ = looked
    (walks, _) = settle.unsettled(before, [])
    walks.write_down(before)
    (path,) = first_stage.paths(before.config)
    content = path.read_bytes()
    (stage,) = walks.stages
    larger = stage.model_copy(update={"seeds": list(range(50))})
    assert first_stage.write(before.config, larger) == path
    assert path.read_bytes() == content

    after = computed(made(tmp_path))
    (again,) = settle.unsettled(after, ["toy/walks"])
    assert again.stages == ()
    assert again.verdict != "inconclusive" or "less does not matter" in again.obstacle


def test_a_first_stage_is_of_its_jobs_and_no_others(looked: tuple[Plan, float], tmp_path: Path) -> None:
    before, _ = looked
    settle.unsettled(before, ["walks"])[0].write_down(before)
    assert len(made(tmp_path).stages) == 1
    for changes in ({"params": {"toy/walk": {"steps": 5}}}, {"seeds": [0, 1, 2, 3]}, {"variants": ["shifted"]}):
        assert made(tmp_path, **changes).stages == ()
        assert not any(job.is_added for job in made(tmp_path, **changes).jobs)
    assert len(made(tmp_path).stages) == 1, "going back finds it again"


def test_a_damaged_first_stage_is_set_aside_and_found_again_alike(looked: tuple[Plan, float], tmp_path: Path) -> None:
    before, _ = looked
    walks = settle.unsettled(before, ["walks"])[0]
    walks.write_down(before)
    (path,) = first_stage.paths(before.config)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"[\n  0,", b"[\n  7,"))
    assert made(tmp_path).stages == ()
    assert any(path.name in line for line in mend.mend(made(tmp_path)))
    settle.unsettled(made(tmp_path), ["walks"])[0].write_down(before)
    assert path.read_bytes() == content


def test_an_unknown_claim_is_one_line(looked: tuple[Plan, float]) -> None:
    with pytest.raises(UserError, match=r"no claim 'walk'; did you mean 'toy/walks'\?"):
        settle.unsettled(looked[0], ["walk"])
