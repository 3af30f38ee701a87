"""What a report shows is what results hold: every number, every job and every reason, each once."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
import report_makers as made
from scipy import stats

from bnnbench.errors import UserError
from bnnbench.harness import paper
from bnnbench.harness.data import Availability, record_path
from bnnbench.harness.files import write_json
from bnnbench.harness.result import MetricRecord
from bnnbench.report import numbers, page
from bnnbench.report.content import Content, gather
from bnnbench.report.records import Row

PRINTED = "walk,plain,walker,-,end,1.5,,m,Table 1,paper,"


def row(content: Content, variant: str) -> Row:
    return next(row for row in content.papers[0].studies[0].rows if row.variant == variant)


def test_intervals_and_differences_are_those_of_scipy(toy: Path, tmp_path: Path) -> None:
    made.published(toy, PRINTED)
    plan = made.toy_plan(tmp_path, seeds=[0, 1, 2, 3])
    draw = random.Random(7)
    values = {number: draw.gauss(2, 1) for number in range(4)}
    made.finish(plan, made.job(plan, "plain"), values)
    made.gathered(plan)
    cell = row(gather(plan), "plain").cells[0]
    low, high = stats.ttest_1samp(list(values.values()), 0.0).confidence_interval(0.95)
    against = stats.ttest_1samp([value - 1.5 for value in values.values()], 0.0).confidence_interval(0.95)
    assert cell.ours is not None
    assert cell.ours.n == 4
    assert [cell.ours.low, cell.ours.high] == pytest.approx([low, high])
    difference = cell.published[0].difference
    assert difference is not None
    assert [difference.low, difference.high] == pytest.approx(list(against))


def test_a_value_of_another_data_set_is_compared_with_nothing(toy: Path, tmp_path: Path) -> None:
    made.published(
        toy,
        "still,default,here,Fashion-MNIST,end,1.5,,m,Table 1,paper,",
        "still,default,elsewhere,MNIST,end,1.5,,m,Table 1,paper,",
        "still,default,on what no data set is called,street scenes,end,1.5,,m,Table 1,paper,",
    )
    settings = {"experiments": ["toy/still"], "params": {"toy/still": {"dataset": "fashion-mnist"}}}
    plan = made.toy_plan(tmp_path, **settings)
    made.finish(plan, plan.jobs[0], {0: 1.0})
    made.gathered(plan)
    shown = row(gather(plan), "default").cells[0].published
    assert [one.why_not for one in shown] == ["", "another data set: ours is fashion-mnist", ""]
    assert [one.difference is None for one in shown] == [False, True, False]


def test_recalled_values_and_other_units_are_shown_but_compared_with_nothing(toy: Path, tmp_path: Path) -> None:
    made.published(
        toy, "walk,plain,recalled,-,end,1.5,,m,Table 1,recalled,", "walk,plain,in feet,-,end,5,,ft,Table 1,paper,"
    )
    plan = made.toy_plan(tmp_path)
    made.finish(plan, made.job(plan, "plain"), {0: 1.0, 1: 2.0})
    made.gathered(plan)
    shown = row(gather(plan), "plain").cells[0].published
    assert [one.published.model for one in shown] == ["recalled", "in feet"]
    assert [one.difference for one in shown] == [None, None]
    assert all(one.why_not for one in shown)


def test_a_published_value_may_be_missing_and_its_origin_is_told(toy: Path, tmp_path: Path) -> None:
    made.published(
        toy,
        "walk,plain,not to be had,-,end,,,m,Table 1,paper,",
        "walk,plain,off a picture,-,end,1.5,,m,Figure 1,digitised,",
        "walk,plain,theirs,-,end,1.5,,m,their log,authors' code,",
    )
    plan = made.toy_plan(tmp_path)
    made.finish(plan, made.job(plan, "plain"), {0: 1.0, 1: 2.0})
    made.gathered(plan)
    shown = row(gather(plan), "plain").cells[0].published
    assert [one.why_not for one in shown] == ["not available to us", "", ""]
    assert [one.published.label for one in shown] == ["", "digitised", "authors' code"]
    assert numbers.spread(shown[0].published.value, None) == "not available"
    assert [one.difference is None for one in shown] == [True, False, False]
    page.write_paper(plan, gather(plan), "toy", tmp_path / "page")
    text = (tmp_path / "page/toy.html").read_text()
    assert "not available" in text
    assert "digitised" in text


def test_every_published_value_has_exactly_one_place(toy: Path, tmp_path: Path) -> None:
    made.published(
        toy,
        PRINTED,
        "walk,plain,again,-,end,1.6,,m,Table 2,paper,",
        "walk,,no variant,-,end,1,,m,T,paper,",
        "walk,sideways,unknown variant,-,end,1,,m,T,paper,",
        "walk,plain,unknown metric,-,start,1,,m,T,paper,",
        "still,default,not in this run,-,end,1,,m,T,paper,",
        "elsewhere,,no experiment,-,end,1,,m,T,paper,",
    )
    plan = made.toy_plan(tmp_path)
    made.gathered(plan)
    content = gather(plan).papers[0]
    placed = [
        one.published for part in content.studies for row in part.rows for cell in row.cells for one in cell.published
    ]
    left = [line.published for line in content.uncovered]
    assert sorted(one.model for one in placed + left) == sorted(one.model for one in paper.get("toy").published())
    assert {one.model for one in placed} == {"walker", "again"}
    assert len({line.why for line in content.uncovered}) == 5
    assert all(line.why for line in content.uncovered)


def test_the_state_of_every_job_is_listed_with_its_reason(toy: Path, tmp_path: Path) -> None:
    plan = made.toy_plan(tmp_path, scale="paper", seeds=[0, 1, 2, 3, 4])
    ok, diverged, skipped, failed, old = [job for job in plan.jobs if job.variant == "plain"]
    made.finish(plan, ok, {0: 1.0})
    made.finish(plan, diverged, {}, status="diverged", reason="end is nan")
    made.finish(plan, skipped, {}, status="skipped", reason="no GPU", cpu_seconds=0.0)
    made.fail(plan, failed, "ValueError: too short")
    made.finish(plan, replace(old, key="0123"), {4: 9.0})
    made.gathered(plan)
    content = gather(plan).papers[0]
    said = {job: (remark.kind, remark.text) for remark in content.problems for job in remark.jobs}
    assert set(said) == {job.id for job in plan.jobs} - {ok.id}
    assert said[diverged.id] == ("diverged", "end is nan")
    assert said[skipped.id] == ("skipped", "no GPU")
    assert said[failed.id] == ("failed", "ValueError: too short")
    assert said[old.id] == ("missing", "computed with other parameters, code or data only; run the workflow")
    assert {said[job.id][0] for job in plan.jobs if job.variant == "shifted"} == {"missing"}
    assert sum(content.statuses.values()) == len(plan.jobs)
    shown = row(gather(plan), "plain")
    assert (shown.status, shown.seeds, shown.seeds_planned) == ("failed", 1, 5)
    assert shown.cells[0].ours is not None
    assert shown.cells[0].ours.mean == 1.0  # the 9.0 of another key takes no part
    assert content.cost.cpu_seconds == pytest.approx(3.0)


def test_tables_collected_for_another_configuration_are_stale(toy: Path, tmp_path: Path) -> None:
    plan = made.toy_plan(tmp_path)
    made.finish(plan, made.job(plan, "plain"), {0: 1.0, 1: 2.0, 2: 3.0})
    made.gathered(plan)
    changed = made.toy_plan(tmp_path, params={"toy/walk": {"steps": 5}})
    shown = row(gather(changed), "plain")
    assert shown.status == "stale"
    assert shown.cells[0].ours is None


def test_nothing_computed_yet_is_a_report_too(toy: Path, tmp_path: Path) -> None:
    plan = made.toy_plan(tmp_path)
    content = gather(plan)
    assert content.papers[0].statuses == {"missing": len(plan.jobs)}
    assert content.papers[0].claims == {}
    assert content.environment == {}


def test_differences_are_marked_where_settings_are_not_the_published_ones(toy: Path, tmp_path: Path) -> None:
    def notes(**settings: object) -> str:
        plan = made.toy_plan(tmp_path, **settings)
        made.finish(plan, plan.jobs[0], {0: 1.0})
        made.gathered(plan)
        return " ".join(gather(plan).papers[0].studies[0].notes)

    assert notes(scale="paper") == ""
    assert "not a reproduction test" in notes(scale="smoke")
    assert "steps" in notes(scale="paper", params={"toy/walk": {"steps": 5}})


def test_stand_in_data_is_marked_and_counts_for_the_paper(toy: Path, tmp_path: Path) -> None:
    plan = made.toy_plan(tmp_path, scale="paper", seeds=[0])
    made.finish(plan, made.job(plan, "plain"), {0: 1.0}, datasets=[made.OFFICIAL])
    made.finish(plan, made.job(plan, "shifted"), {0: 1.0}, datasets=[made.BUNDLED])
    made.gathered(plan)
    content = gather(plan).papers[0]
    assert content.provenance == "bundled"
    [note] = content.studies[0].notes
    assert "stand-in" in note
    assert "shifted" in note
    assert "plain" not in note


def test_parameters_in_common_and_own_make_those_of_the_job(toy: Path, tmp_path: Path) -> None:
    plan = made.toy_plan(tmp_path)
    study = gather(plan).papers[0].studies[0]
    for shown in study.rows:
        assert {**study.params, **shown.params} == made.job(plan, shown.variant).params.model_dump(mode="json")
        assert not study.params.keys() & shown.params.keys()


def test_claims_and_their_counts(toy: Path, tmp_path: Path) -> None:
    plan = made.toy_plan(tmp_path)
    made.claims(plan, {"verdict": "reproduced"}, {"verdict": "not run"}, {"verdict": "not run"})
    content = gather(plan).papers[0]
    assert [claim.verdict for claim in content.claims["paper"]] == ["reproduced", "not run", "not run"]
    assert content.verdicts == {"paper": {"reproduced": 1, "not run": 2}}


def test_controls_and_verdicts_on_stand_in_data_never_count_for_the_paper(toy: Path, tmp_path: Path) -> None:
    plan = made.toy_plan(tmp_path)
    ours, stand_in = {"origin": "ours"}, {"stand_ins": ["digits instead"]}
    made.claims(plan, {"verdict": "inconclusive"}, ours, {**ours, "verdict": "not run"}, stand_in, {**ours, **stand_in})
    verdicts = gather(plan).papers[0].verdicts
    assert verdicts == {
        "paper": {"inconclusive": 1},
        "ours": {"reproduced": 1, "not run": 1},
        "stand-in": {"reproduced": 2},
    }


@pytest.mark.parametrize(
    ("values", "std", "said"),
    [
        ((2.0, 2.1, 2.2), "", "better than published"),
        ((2.0, 2.1, 2.2), "0.5", ""),
        ((0.8, 0.9, 1.0), "0.1", "worse than published"),
        ((1.4, 1.5, 1.9), "", ""),
        ((9.0,), "", ""),
    ],
)
def test_beyond_the_spread_of_both_is_too_good_or_falls_short(
    toy: Path, tmp_path: Path, values: tuple[float, ...], std: str, said: str
) -> None:
    made.published(toy, f"walk,plain,walker,-,end,1.5,{std},m,Table 1,paper,")
    plan = made.toy_plan(tmp_path, seeds=list(range(len(values))))
    made.finish(plan, made.job(plan, "plain"), dict(enumerate(values)))
    made.gathered(plan)
    content = gather(plan)
    assert row(content, "plain").cells[0].published[0].flag == said
    page.write(plan, content, tmp_path / "pages")
    assert (f"<small>{said}</small>" in (tmp_path / "pages" / "toy.html").read_text()) == bool(said)


@pytest.mark.parametrize("broken", [{"a": 1}, [{"name": "x"}], [1]])
def test_a_broken_file_of_verdicts_is_one_line(toy: Path, tmp_path: Path, broken: object) -> None:
    plan = made.toy_plan(tmp_path)
    write_json(plan.config.folder() / "claims" / "toy.json", broken)
    with pytest.raises(UserError, match=r"toy\.json") as caught:
        gather(plan)
    assert "\n" not in str(caught.value)


def test_data_that_cannot_be_had_says_why(toy: Path, tmp_path: Path) -> None:
    plan = made.toy_plan(tmp_path)
    known = {
        "digits": Availability("digits", "bundled:digits", "bundled", "from a package"),
        "stars": Availability("stars", "unavailable", "", "", "not here; run: bnnbench data fetch stars"),
    }
    write_json(record_path(plan.config, "digits", "bundled:digits"), made.BUNDLED.model_dump())
    lines = {line.name: line for line in gather(replace(plan, data=known)).data}
    assert lines["digits"].checksum == made.BUNDLED.checksum
    assert lines["stars"].unavailable.startswith("not here")
    # The record of another source says nothing about this one.
    write_json(record_path(plan.config, "digits", "bundled:digits"), made.OFFICIAL.model_dump())
    assert gather(replace(plan, data=known)).data[0].checksum == ""


def test_several_environments_are_noticed(toy: Path, tmp_path: Path) -> None:
    plan = made.toy_plan(tmp_path)
    made.finish(plan, made.job(plan, "plain"), {0: 1.0}, environment="e1")
    made.finish(plan, made.job(plan, "shifted"), {0: 1.0}, environment="e2", finished=1.9e9)
    made.gathered(plan)
    content = gather(plan)
    assert content.environments == ("e1", "e2")
    assert (content.first_finished, content.last_finished) == (1.8e9, 1.9e9)


def test_metrics_without_a_number_have_no_column(toy: Path, tmp_path: Path) -> None:
    plan = made.toy_plan(tmp_path)
    both = [made.seed(0, {"end": 1.0, "peak": 2.0})]
    made.finish(
        plan, made.job(plan, "plain"), {}, seeds=both, metrics=dict.fromkeys(("end", "peak"), MetricRecord(unit="m"))
    )
    made.gathered(plan)
    content = gather(plan)
    study = content.papers[0].studies[0]
    assert [(column.name, column.group) for column in study.columns] == [("end", ""), ("peak", "On the way")]
    assert [cell.ours.mean if cell.ours else None for cell in row(content, "plain").cells] == [1.0, 2.0]
    assert [cell.ours for cell in row(content, "shifted").cells] == [None, None]


def test_numbers_of_stand_in_data_are_compared_with_nothing(toy: Path, tmp_path: Path) -> None:
    made.published(toy, PRINTED)
    plan = made.toy_plan(tmp_path)
    made.finish(plan, made.job(plan, "plain"), {0: 1.0, 1: 2.0}, datasets=[made.BUNDLED])
    made.gathered(plan)
    (shown,) = row(gather(plan), "plain").cells[0].published
    assert (shown.difference, shown.why_not) == (None, "ours is of stand-in data")
