"""Two runs are compared as scipy would, and whatever else differs is named."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import report_makers as made
from hypothesis import assume, given
from hypothesis import strategies as st
from rich.console import Console
from scipy import stats

from bnnbench.errors import UserError
from bnnbench.harness.result import MetricRecord
from bnnbench.harness.statistics import discoveries, mean_interval, p_value
from bnnbench.report.comparison import Change, Comparison, compare, tables

VALUES = st.lists(st.floats(-100, 100).map(lambda x: round(x, 3)), min_size=2, max_size=6)
DOWN = {"end": MetricRecord(unit="m", higher_is_better=False)}
UP = {"end": MetricRecord(unit="m", higher_is_better=True)}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    base = tmp_path_factory.mktemp("runs")
    return base / "a", base / "b"


def one(folders: tuple[Path, Path], first: dict[int, float], second: dict[int, float]) -> Change:
    """The change of the only metric of the only variant."""
    for folder, values in zip(folders, (first, second), strict=True):
        made.stored(folder, {number: {"end": value} for number, value in values.items()})
    [change] = compare(*folders).changes
    return change


@given(VALUES, st.data())
def test_shared_seeds_are_paired(folders: tuple[Path, Path], first: list[float], data: st.DataObject) -> None:
    second = data.draw(st.lists(st.floats(-100, 100), min_size=len(first), max_size=len(first)))
    differences = [after - before for before, after in zip(first, second, strict=True)]
    assume(max(differences) - min(differences) > 1e-3)
    change = one(folders, dict(enumerate(first)), dict(enumerate(second)))
    low, high = stats.ttest_rel(second, first).confidence_interval(0.95)
    assert change.paired
    assert change.difference.low == pytest.approx(low, abs=1e-9)
    assert change.difference.high == pytest.approx(high, abs=1e-9)
    expected = "within noise" if low <= 0 <= high else "better" if low > 0 else "worse"
    assert change.judgement == expected


@given(VALUES, VALUES)
def test_other_seeds_are_compared_by_welch(folders: tuple[Path, Path], first: list[float], second: list[float]) -> None:
    assume(min(max(first) - min(first), max(second) - min(second)) > 1e-3)  # scipy warns where nothing varies
    change = one(folders, dict(enumerate(first)), dict(enumerate(second, start=100)))
    low, high = stats.ttest_ind(second, first, equal_var=False).confidence_interval(0.95)
    assert not change.paired
    assert change.difference.low == pytest.approx(low, abs=1e-9)
    assert change.difference.high == pytest.approx(high, abs=1e-9)


@given(VALUES)
def test_the_same_numbers_are_unchanged(folders: tuple[Path, Path], values: list[float]) -> None:
    seeds = dict(enumerate(values))
    assert one(folders, seeds, seeds).judgement == "unchanged"


@given(VALUES, st.sampled_from([-0.5, 0.25, 8.0]))
def test_the_same_shift_of_every_seed_is_a_change(
    folders: tuple[Path, Path], values: list[float], shift: float
) -> None:
    change = one(folders, dict(enumerate(values)), {seed: value + shift for seed, value in enumerate(values)})
    assert change.judgement == ("better" if shift > 0 else "worse")


@given(st.floats(-100, 100), st.floats(-100, 100))
def test_one_seed_has_no_interval(folders: tuple[Path, Path], first: float, second: float) -> None:
    assert one(folders, {0: first}, {0: second}).judgement == ("unchanged" if first == second else "no interval")


def test_one_seed_against_several_is_compared_with_the_same_seed(folders: tuple[Path, Path]) -> None:
    assert one(folders, {1: 5.0}, {0: 1.0, 1: 5.0, 2: 9.5}).judgement == "unchanged"
    assert one(folders, {7: 5.0}, {0: 1.0, 1: 5.0, 2: 9.5}).judgement == "no interval"


@pytest.mark.parametrize(
    ("first", "second", "judgement"), [(UP, UP, "better"), (DOWN, DOWN, "worse"), (UP, DOWN, "changed")]
)
def test_the_direction_of_the_metric_decides(
    tmp_path: Path, first: dict[str, MetricRecord], second: dict[str, MetricRecord], judgement: str
) -> None:
    made.stored(tmp_path / "a", {0: {"end": 1.0}, 1: {"end": 2.0}}, metrics=first)
    made.stored(tmp_path / "b", {0: {"end": 2.0}, 1: {"end": 3.0}}, metrics=second)
    assert compare(tmp_path / "a", tmp_path / "b").changes[0].judgement == judgement


def test_a_seed_a_job_is_the_same_as_all_seeds_in_one(tmp_path: Path) -> None:
    values = {0: {"end": 1.0}, 1: {"end": 2.5}, 2: {"end": 3.0}}
    made.stored(tmp_path / "a", values)
    for seed, row in values.items():
        made.stored(tmp_path / "b", {seed: row}, place=f"plain@{seed}")
    [change] = compare(tmp_path / "a", tmp_path / "b").changes
    assert (change.judgement, change.difference.n) == ("unchanged", 3)


def test_of_a_seed_computed_twice_the_later_counts(tmp_path: Path) -> None:
    made.stored(tmp_path / "a", {0: {"end": 1.0}}, finished=1.0)
    made.stored(tmp_path / "a", {0: {"end": 2.0}}, finished=2.0, place="plain@0")
    made.stored(tmp_path / "b", {0: {"end": 2.0}})
    assert compare(tmp_path / "a", tmp_path / "b").changes[0].judgement == "unchanged"


def test_scales_are_kept_apart(tmp_path: Path) -> None:
    for run in ("a", "b"):
        made.stored(tmp_path / run / "smoke", {0: {"end": 1.0}})
        made.stored(tmp_path / run / "paper", {0: {"end": 5.0}}, scale="paper")
    found = compare(tmp_path / "a", tmp_path / "b")
    assert [change.variant for change in found.changes] == ["paper/toy/walk/plain", "smoke/toy/walk/plain"]
    assert {change.judgement for change in found.changes} == {"unchanged"}
    half = compare(tmp_path / "a" / "smoke", tmp_path / "b")
    assert half.only_second == ("paper/toy/walk/plain",)


def everything_differs(tmp_path: Path) -> Comparison:
    made.stored(
        tmp_path / "a",
        {0: {"end": 1.0, "start": 0.0}},
        params={"steps": 3, "fast": True, "old": 1},
        datasets=[made.OFFICIAL],
    )
    made.stored(tmp_path / "a", {0: {"end": 1.0}}, variant="alone")
    made.stored(
        tmp_path / "b",
        {0: {"end": 1.0, "speed": 2.0}},
        params={"steps": 4, "fast": True},
        datasets=[made.BUNDLED],
        status="diverged",
        environment="e2",
    )
    made.stored(tmp_path / "b", {0: {"end": 1.0}}, variant="new", environment="e2")
    return compare(tmp_path / "a", tmp_path / "b")


def test_all_other_differences_are_named(tmp_path: Path) -> None:
    found = everything_differs(tmp_path)
    name = "smoke/toy/walk/plain"
    assert found.only_first == ("smoke/toy/walk/alone", f"{name}: start")
    assert found.only_second == ("smoke/toy/walk/new", f"{name}: speed")
    assert [(one.what, one.first, one.second) for one in found.params] == [("steps", "3", "4"), ("old", "1", "none")]
    assert [(one.first, one.second) for one in found.statuses] == [("ok", "diverged")]
    assert [(one.first[:8], one.second[:7]) for one in found.data] == [("official", "bundled")]
    assert [(one.first, one.second) for one in found.environments] == [("e1", "e2")]


def test_a_run_does_not_differ_from_itself(tmp_path: Path) -> None:
    made.stored(tmp_path, {0: {"end": 1.0}, 1: {"end": 3.0}}, datasets=[made.OFFICIAL])
    found = compare(tmp_path, tmp_path)
    others = (found.only_first, found.only_second, found.statuses, found.params, found.data, found.environments)
    assert others == ((), (), (), (), (), ())
    assert len(tables(found)) == 1


def test_of_many_numbers_those_are_told_that_scipy_tells(tmp_path: Path) -> None:
    """Some of many metrics change; equal ones and those that differ alike in every seed are not among the tests."""
    rng = np.random.default_rng(5)
    metrics = [f"m{k:03}" for k in range(120)]
    shifts = np.where(np.arange(120) < 20, rng.uniform(0.5, 3.0, 120), 0.0)
    first = {seed: dict(zip(metrics, rng.normal(size=120), strict=True)) for seed in range(6)}
    second = {
        seed: {name: row[name] + shift + 0.5 * rng.normal() for name, shift in zip(metrics, shifts, strict=True)}
        for seed, row in first.items()
    }
    p_values = {
        name: stats.ttest_rel([second[s][name] for s in first], [first[s][name] for s in first]).pvalue
        for name in metrics
    }
    told = dict(zip(metrics, stats.false_discovery_control(list(p_values.values())) <= 0.05, strict=True))
    for seed, row in first.items():
        row |= {"same": 1.0 + seed, "steady": float(seed)}
        second[seed] |= {"same": 1.0 + seed, "steady": seed + 0.25}
    made.stored(tmp_path / "a", first)
    made.stored(tmp_path / "b", second)
    found = {change.metric: change.judgement for change in compare(tmp_path / "a", tmp_path / "b").changes}
    assert found.pop("same") == "unchanged"
    assert found.pop("steady") == "better"
    assert {name for name in metrics if found[name] != "within noise"} == {name for name in metrics if told[name]}
    alone = [name for name in metrics[20:] if p_values[name] <= 0.05]
    assert any(found[name] == "within noise" for name in alone), "each by itself would be told"


def test_false_discoveries_are_as_rare_as_the_caption_says() -> None:
    """300 comparisons of 40 numbers, half of which change: the share of false ones among those told, on average."""
    rng = np.random.default_rng(6)
    shares = []
    for _ in range(300):
        differences = rng.normal(size=(40, 5)) + np.where(np.arange(40) < 20, 2.0, 0.0)[:, None]
        told = discoveries([p_value(mean_interval(list(row))) for row in differences])
        shares.append(sum(told[20:]) / max(sum(told), 1))
    # 5 % of the half that did not change, and three standard errors of the simulation
    assert np.mean(shares) <= 0.025 + 3 * np.std(shares) / np.sqrt(300)


@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_shows_all_of_it(tmp_path: Path, width: int) -> None:
    differing = everything_differs(tmp_path)
    made.stored(tmp_path / "c", {0: {"end": 1.0}, 1: {"end": 2.0}})
    made.stored(tmp_path / "d", {0: {"end": 1.5}, 1: {"end": 2.5}})
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as captured:
        for table in [*tables(differing), *tables(compare(tmp_path / "c", tmp_path / "d"))]:
            console.print(table)
    text = captured.get()
    assert max(map(len, text.splitlines())) <= width
    for word in ("1 unchanged", "steps", "diverged", "official", "bundled", "e1", "e2", "alone", "new"):
        assert word in text
    for word in ("1 better", "end (m)", "+0.5 ± 0", "2 paired"):
        assert word in text


def test_a_missing_or_empty_folder_is_one_line(tmp_path: Path) -> None:
    made.stored(tmp_path / "a", {0: {"end": 1.0}})
    (tmp_path / "empty").mkdir()
    for other in ("missing", "empty"):
        with pytest.raises(UserError, match=other) as caught:
            compare(tmp_path / "a", tmp_path / other)
        assert "\n" not in str(caught.value)
        with pytest.raises(UserError, match=other):
            compare(tmp_path / other, tmp_path / "a")


def test_a_result_that_is_none_is_one_line(tmp_path: Path) -> None:
    made.stored(tmp_path, {0: {"end": 1.0}})
    (tmp_path / "toy" / "walk" / "plain" / "0" / "result.json").write_text("{")
    with pytest.raises(UserError, match=r"result\.json"):
        compare(tmp_path, tmp_path)


def test_seeds_that_were_lost_on_either_side_are_named(tmp_path: Path) -> None:
    for name, lost in (("a", 1), ("b", 2)):
        rows = {number: ({} if number == lost else {"end": 1.0}) for number in (1, 2, 3)}
        made.stored(tmp_path / name, rows, metrics=UP, lost=[lost])
    found = {(switch.what, switch.first, switch.second) for switch in compare(tmp_path / "a", tmp_path / "b").statuses}
    assert found == {("seed 1", "diverged", "ok"), ("seed 2", "ok", "diverged")}


def test_after_going_back_to_earlier_parameters_the_abandoned_record_does_not_count(toy: Path, tmp_path: Path) -> None:
    now = made.toy_plan(tmp_path / "r")
    job = made.job(now, "plain")
    made.finish(now, job, {0: 1.0, 1: 1.0, 2: 1.0}, finished=1.0e9)
    made.finish(now, replace(job, key="abandoned"), {0: 9.0, 1: 9.0, 2: 9.0}, finished=2.0e9)
    other = made.toy_plan(tmp_path / "s")
    made.finish(other, made.job(other, "plain"), {0: 1.0, 1: 1.0, 2: 1.0})
    made.gathered(now)
    (change,) = compare(now.config.folder(), other.config.folder()).changes
    assert change.judgement == "unchanged"
