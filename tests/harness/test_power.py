"""What would decide an inconclusive claim, against the rule written out and the binomial distribution."""

import json
from dataclasses import replace
from math import ceil, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bnnbench.harness.claim import Claim, Evidence, Resolution, all_of, at_most, judge, more_than, within
from bnnbench.harness.collect import TABLES, Results
from bnnbench.harness.power import START_SECONDS, Need, needs

STUDY = "p/study"


def results(values: dict[str, list[float]], **changes: Any) -> Results:
    """One job a variant, a seed a value, half a minute each."""
    about = {"paper": "p", "experiment": "study", "scale": "laptop"}
    metrics = [
        {
            **about,
            "variant": name,
            "job": f"p/study/{name}",
            "key": name,
            "seed": seed,
            "metric": "error",
            "value": value,
        }
        for name, listed in values.items()
        for seed, value in enumerate(listed)
    ]
    jobs = [
        {**about, "variant": name, "job": f"p/study/{name}", "key": name, "status": "ok", "seeds": len(listed),
         "wall_seconds": 30.0 * len(listed), "datasets": "[]", "params": json.dumps({"n_test": None}), **changes}
        for name, listed in values.items()
    ]  # fmt: skip
    return Results(
        "laptop", pd.DataFrame(metrics), pd.DataFrame(jobs), pd.DataFrame(columns=list(TABLES["history"])), Path()
    )


def claim(test: Any, *resolutions: Resolution) -> Claim:
    return Claim("c", "", "", (STUDY,), ("laptop",), test, resolutions=resolutions)


def better(found: Results) -> Evidence:
    return more_than("a - b", found.difference(STUDY, "error", "a", "b"), 0, "points")


def found(tested: Claim, of: Results) -> list[Need]:
    return needs("p", tested, of, judge(tested, of))


POINT = Resolution(0.5, "points", "because it is")


def test_the_seeds_are_those_of_steins_rule_and_cost_what_was_seen() -> None:
    values = {"a": [5.0, 6.0, 8.0], "b": [5.5, 5.0, 6.0]}
    (need,) = found(claim(better, POINT), results(values))
    spread = np.std(np.subtract(values["a"], values["b"]), ddof=1)
    expected = ceil((stats.t.ppf(0.975, 2) * spread / 0.5) ** 2)
    assert need.stage is not None
    assert need.stage.seeds == list(range(expected))
    assert need.stage.first == [0, 1, 2]
    assert need.stage.variants == ["p/study/a", "p/study/b"]
    assert need.minutes == pytest.approx(2 * (expected - 3) * (30 + START_SECONDS) / 60), "two variants of 30 s"
    assert f"{expected} seeds instead of 3" in need.text
    assert "± 0.5 points" in need.text


def test_the_mean_has_no_part_in_it() -> None:
    near, far = ({"a": [5.0 + up, 6.0 + up, 8.0 + up], "b": [5.5, 5.0, 6.0]} for up in (0.0, -0.7))
    stages = [found(claim(better, POINT), results(values))[0].stage for values in (near, far)]
    assert stages[0] is not None
    assert stages[1] is not None
    assert stages[0].seeds == stages[1].seeds


@pytest.mark.parametrize(
    ("values", "resolution", "said"),
    [
        ({"a": [5.0], "b": [5.5]}, POINT, "needs two seeds"),
        ({"a": [5.0, 6.0, 8.0], "b": [5.5, 5.0, 6.0]}, Resolution(9, "points", "large"), "lies within 9 points"),
        ({"a": [5.0, 6.0, 8.0], "b": [5.5, 5.0, 6.0]}, Resolution(0.5, "%", "another"), "states no difference"),
        ({"a": [5.0, 6.0, 8.0], "b": [5.5, 5.0, 6.0]}, Resolution(1e-3, "points", "tiny"), "too many"),
    ],
)
def test_what_seeds_do_not_decide_is_said(values: dict[str, list[float]], resolution: Resolution, said: str) -> None:
    (need,) = found(claim(better, resolution), results(values))
    assert need.stage is None
    assert said in need.text


@pytest.mark.parametrize("ratio", [False, True])
@pytest.mark.parametrize("margin", [0.95, 1.05])
def test_test_points_are_the_limit_where_their_binomial_error_is_above_the_resolution(
    ratio: bool, margin: float
) -> None:
    values = {"a": [20.0, 26.0, 23.0], "b": [21.0, 22.0, 20.0]}
    p, other = 0.23, 0.21
    error = 100 * sqrt(p * (1 - p) / 400)
    if ratio:  # the smaller proportion has the larger relative error
        mean = float(np.mean(np.divide(values["a"], values["b"])))
        error = mean * sqrt(other * (1 - other) / 400) / other
    unit = "x" if ratio else "points"

    def test(of: Results) -> Evidence:
        compared = of.ratio(STUDY, "error", "a", "b") if ratio else of.difference(STUDY, "error", "a", "b")
        return more_than("a, b", compared, 1 if ratio else 0, unit)

    resolution = Resolution(margin * error, unit, "as fine", test_points={"laptop": 400, "paper": 10**6})
    (need,) = found(claim(test, resolution), results(values))
    assert ("test points are the limit" in need.text) == (margin < 1)
    limited = claim(test, replace(resolution, smallest=1.5 * error))
    few = results(values, params=json.dumps({"n_test": 100}))
    assert "over 100 of them" in found(limited, few)[0].text, "parameters may take fewer test points"


def test_both_sides_of_an_equivalence_are_settled_by_the_same_seeds() -> None:
    def test(of: Results) -> Evidence:
        difference = of.difference(STUDY, "error", "a", "b")
        return all_of(within("a - b", difference, 1, "points"), at_most("b", of.interval(STUDY, "b", "error"), 99, "%"))

    needed = found(claim(test, POINT, Resolution(1, "%", "a per cent")), results({"a": [5, 6, 8], "b": [5.5, 5, 6]}))
    assert [need.comparison.what for need in needed] == ["a - b"]


def test_a_decided_claim_needs_nothing() -> None:
    assert found(claim(better, POINT), results({"a": [5.0, 5.1, 5.2], "b": [1.0, 1.0, 1.0]})) == []


@pytest.mark.parametrize(("smallest", "why"), [(0.0, "x"), (-1.0, "x"), (float("nan"), "x"), (1.0, " ")])
def test_a_resolution_is_a_positive_number_with_a_reason(smallest: float, why: str) -> None:
    with pytest.raises(ValueError, match="resolution"):
        Resolution(smallest, "points", why)
