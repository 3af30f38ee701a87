"""Verdicts are a pure function of claim and results."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnnbench.harness import collect, config, execute, plan, registry, result, verdicts
from bnnbench.harness.claim import Claim, Evidence, all_of, at_least, at_most, judge, more_than
from bnnbench.harness.collect import NotRun, Results
from bnnbench.harness.config import SCALES
from bnnbench.harness.result import DataRecord
from bnnbench.harness.statistics import Interval, mean_interval

bounds = st.floats(-10, 10)


@given(bounds, st.floats(0.01, 5), bounds)
def test_one_sided_verdicts(mean: float, half: float, bound: float) -> None:
    interval = Interval(mean, mean - half, mean + half, 3)
    upper, lower = at_most("x", interval, bound), at_least("x", interval, bound)
    assert (upper.verdict == "reproduced") == all(value <= bound for value in (interval.low, interval.high))
    assert (upper.verdict == "contradicted") == all(value > bound for value in (interval.low, interval.high))
    # one claim's triumph is the opposite claim's defeat, up to the bound itself
    if bound not in (interval.low, interval.high):
        opposite = {"reproduced": "contradicted", "contradicted": "reproduced", "inconclusive": "inconclusive"}
        assert lower.verdict == opposite[upper.verdict]


def test_more_than_is_strict() -> None:
    assert more_than("x", mean_interval([0.0, 0.0]), 0.0).verdict == "contradicted"
    assert at_least("x", mean_interval([0.0, 0.0]), 0.0).verdict == "reproduced"
    assert more_than("x", mean_interval([1.0, 1.1]), 0.0).verdict == "reproduced"


def test_one_seed_is_never_enough() -> None:
    assert at_most("x", mean_interval([-100.0]), 0.0).verdict == "inconclusive"
    assert at_least("x", mean_interval([-100.0]), 0.0).verdict == "inconclusive"


def test_all_of_is_the_worst_part() -> None:
    parts = {name: Evidence(name, name) for name in ("reproduced", "inconclusive", "not run", "contradicted")}
    assert all_of(*parts.values()).verdict == "contradicted"
    assert all_of(parts["reproduced"], parts["not run"], parts["inconclusive"]).verdict == "not run"
    assert all_of(parts["reproduced"], parts["inconclusive"]).verdict == "inconclusive"
    assert all_of(parts["reproduced"]).verdict == "reproduced"


@pytest.fixture
def results(toy: Path, tmp_path: Path) -> plan.Plan:
    chosen = {"papers": ["toy"], "scale": "smoke", "results": str(tmp_path / "results")}
    made = plan.make(config.validate(chosen, "file"), "file")
    for job in made.jobs:
        execute.execute(made, job)
    for experiment in collect.experiments(made):
        collect.collect(made, experiment)
    return made


def test_paired_differences_cancel_what_seeds_share(results: plan.Plan) -> None:
    loaded = Results.load(results, ["toy/walk"])
    difference = loaded.difference("toy/walk", "end", "shifted", "plain")
    assert difference.mean == pytest.approx(2.0)
    assert difference.half_width == pytest.approx(0.0, abs=1e-12)
    assert difference.n == 3
    spread = loaded.interval("toy/walk", "plain", "end")
    assert spread.half_width > 0.1


def test_ratios_are_of_the_same_seeds(results: plan.Plan) -> None:
    loaded = Results.load(results, ["toy/walk"])
    a, b = (loaded.values("toy/walk", name, "end") for name in ("shifted", "plain"))
    expected = [a[seed] / b[seed] for seed in (0, 1, 2)]
    assert loaded.ratio("toy/walk", "end", "shifted", "plain") == mean_interval(expected)


def test_tables_of_all_seeds_are_read_back(results: plan.Plan) -> None:
    loaded = Results.load(results, ["toy/walk"])
    table = loaded.table("toy/walk", "shifted", "path").set_index("seed")["end"]
    ends = loaded.values("toy/walk", "shifted", "end")
    assert table.to_dict() == pytest.approx({seed: end - 2 for seed, end in ends.items()})
    with pytest.raises(NotRun, match="toy/walk/shifted: has no paths"):
        loaded.table("toy/walk", "shifted", "paths")


def test_two_metrics_of_a_variant_are_paired(results: plan.Plan) -> None:
    loaded = Results.load(results, ["toy/walk"])
    same = loaded.between("toy/walk", "plain", "end", "end")
    assert (same.mean, same.half_width, same.n) == (0, 0, 3)
    with pytest.raises(NotRun, match="has no start"):
        loaded.between("toy/walk", "plain", "end", "start")


def test_a_claim_of_another_package_is_judged(results: plan.Plan) -> None:
    (claim,) = registry.members("toy_paper.claims", Claim)
    verdict = judge(claim, Results.load(results, claim.experiments))
    assert verdict.verdict == "reproduced"
    assert verdict.text.startswith("shifted - plain: 2.000 m [2.000, 2.000], n = 3")


def test_what_is_missing_is_said(results: plan.Plan) -> None:
    (claim,) = registry.members("toy_paper.claims", Claim)
    results.result(results.job("toy/walk/shifted")).unlink()
    collect.collect(results, "toy/walk")
    verdict = judge(claim, Results.load(results, claim.experiments))
    assert verdict.verdict == "not run"
    assert verdict.text == "toy/walk/shifted: missing: not computed yet"


def test_results_of_other_parameters_are_left_out(results: plan.Plan) -> None:
    changed = results.config.model_copy(update={"params": {"toy/walk": {"steps": 3}}})
    other = plan.make(changed, "file")
    collect.collect(other, "toy/walk")
    loaded = Results.load(other, ["toy/walk"])
    assert set(loaded.jobs["status"]) == {"missing"}
    assert loaded.jobs["reason"].iloc[0].startswith("computed with other parameters")
    assert len(loaded.metrics) == 0


def test_seeds_that_diverged_are_told_and_keep_a_claim_open(toy: Path, tmp_path: Path) -> None:
    fault = {"toy/walk": {"fault": "nan"}}
    chosen = {"papers": ["toy"], "scale": "smoke", "results": str(tmp_path / "results"), "params": fault}
    made = plan.make(config.validate(chosen, "file"), "file")
    for job in made.jobs:
        execute.execute(made, job)
    collect.collect(made, "toy/walk")
    (claim,) = registry.members("toy_paper.claims", Claim)
    verdict = judge(claim, Results.load(made, claim.experiments))
    assert verdict.verdict == "inconclusive"
    assert "n = 2 (1 more gave no number)" in verdict.text


def test_a_claim_is_judged_only_at_its_scales(results: plan.Plan) -> None:
    (claim,) = registry.members("toy_paper.claims", Claim)
    elsewhere = Claim(claim.name, claim.statement, claim.source, claim.experiments, ("paper",), claim.test)
    verdict = judge(elsewhere, Results.load(results, claim.experiments))
    assert (verdict.verdict, verdict.text) == ("not run", "means nothing at scale smoke; judged at paper")


def test_the_tidy_table_has_one_row_a_metric_and_seed(results: plan.Plan) -> None:
    import pandas as pd

    collect.join(results, [])
    table = pd.read_parquet(results.config.folder() / "results.parquet")
    assert list(table.columns) == list(collect.TABLES["results"])
    assert len(table) == 3 + 3 + 1
    assert table.groupby(["job", "seed", "metric"]).size().eq(1).all()


def test_a_verdict_on_stand_in_data_of_its_experiments_says_so(results: plan.Plan) -> None:
    job = next(job for job in results.jobs if job.id == "toy/walk/plain")
    record = result.read(results.folder(job) / "result.json")
    data = DataRecord(
        name="shoes", provenance="bundled", identity="bundled:x", checksum="a" * 64, note="digits instead"
    )
    tested = Claim("far", "", "", ("toy/walk",), SCALES, lambda found: at_least("x", mean_interval([1.0, 1.1]), 0.0))
    assert verdicts.record("toy", tested, Results.load(results, ["toy/walk"]))["stand_ins"] == []
    result.write(results.folder(job) / "result.json", record.model_copy(update={"datasets": [data]}))
    collect.collect(results, "toy/walk")
    found = verdicts.record("toy", tested, Results.load(results, ["toy/walk"]))
    assert (found["verdict"], found["stand_ins"]) == ("reproduced", ["digits instead"])
    elsewhere = replace(tested, experiments=("toy/still",))
    assert verdicts.record("toy", elsewhere, verdicts.results(results, "toy", elsewhere))["stand_ins"] == []


def test_a_verdict_that_compares_doubtful_chains_names_them(results: plan.Plan) -> None:
    """And one that compares only the other variant does not."""
    job = next(job for job in results.jobs if job.id == "toy/walk/plain")
    record = result.read(results.folder(job) / "result.json")
    warned = record.model_copy(update={"warnings": ["seed 1: chains: rhat_outputs is 1.2, above its bound of 1.01"]})
    result.write(results.folder(job) / "result.json", warned)
    collect.collect(results, "toy/walk")

    def said(variant: str) -> str:
        def test(found: Results) -> Evidence:
            return at_least("end", found.interval("toy/walk", variant, "end"), -100.0)

        claim = Claim("far", "", "", ("toy/walk",), SCALES, test)
        return str(verdicts.record("toy", claim, Results.load(results, ["toy/walk"]))["text"])

    assert said("plain").endswith("; beware: chains of plain are beyond their bounds")
    assert "chains" not in said("shifted")
