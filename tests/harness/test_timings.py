"""Kernel timings: read, judged against targets, and put into the tidy table."""

import json
from pathlib import Path
from typing import Any

import pytest

from bnnbench.errors import UserError
from bnnbench.harness import config, plan, timings
from bnnbench.report import content, page


def written(path: Path, groups: dict[str, dict[str, Any]]) -> Path:
    about = {"limit_gops": 5000.0, "backend": "b"}
    benchmarks = [
        {"group": group, "extra_info": {"candidates": candidates, **about, **held_against(group)}}
        for group, candidates in groups.items()
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"benchmarks": benchmarks, "machine_info": {"cpu": {"brand_raw": "a cpu"}}}))
    return path


def held_against(group: str) -> dict[str, Any]:
    """A share of the limit for two candidates, a ratio to a peer, and a published speed-up."""
    share = {"name": "C1", "statement": "share", "bound": 0.8, "peer": "", "candidate": "ours"}
    other = {"name": "C2", "statement": "share", "bound": 0.7, "peer": "", "candidate": "ours, int32"}
    ratio = {"name": "C3", "statement": "ratio", "bound": 10, "peer": "torch float32", "candidate": "ours"}
    published = {"what": "over float32", "value": "3.4x", "slow": "torch float32", "fast": "ours"}
    return {"targets": [share, other, ratio], "published": [published]} if group.startswith("gemm") else {}


def candidate(ratio: list[float], of_limit: float | None = 0.1) -> dict[str, Any]:
    return {"seconds": 0.001, "gops": 100.0, "ratio": ratio, "of_limit": of_limit}


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [
        ([12, 11, 13], "reproduced"),
        ([9, 8, 9.9], "contradicted"),
        ([10, 9, 11], "inconclusive"),
        ([10, 10, 10], "reproduced"),
    ],
)
def test_a_target_against_a_peer_counts_the_whole_interval(tmp_path: Path, ratio: list[float], verdict: str) -> None:
    groups = {"gemm 1024": {"ours": candidate([1, 1, 1], 0.9), "torch float32": candidate(ratio)}}
    judged = timings.judged(timings.read(written(tmp_path / "k.json", groups)))
    assert {(target.name, evidence.verdict) for target, evidence in judged} == {
        ("C1", "reproduced"),
        ("C3", verdict),
    }


def test_the_share_of_the_limit_is_judged(tmp_path: Path) -> None:
    groups = {"gemm 2048": {"ours": candidate([1, 1, 1], 0.79), "ours, int32": candidate([1, 1, 1], 0.7)}}
    judged = timings.judged(timings.read(written(tmp_path / "k.json", groups)))
    assert {(target.name, evidence.verdict) for target, evidence in judged} == {
        ("C1", "contradicted"),
        ("C2", "reproduced"),
    }


def test_a_machine_without_a_measured_limit_has_timings_and_no_verdict_on_its_share(tmp_path: Path) -> None:
    groups = {"gemm 2048": {"ours": candidate([1, 1, 1], None), "torch float32": candidate([12, 11, 13], None)}}
    read = timings.read(written(tmp_path / "k.json", groups))
    assert [target.name for target, _ in timings.judged(read)] == ["C3"]
    assert len(read.rows) == 2


def test_peers_that_were_left_out_are_named_on_the_page(tmp_path: Path) -> None:
    path = written(
        tmp_path / "k.json", {"gemm 2048": {"ours": candidate([1, 1, 1])}, "mlp": {"ours": candidate([1, 1, 1])}}
    )
    made = json.loads(path.read_text())
    made["benchmarks"][0]["extra_info"]["left_out"] = ["torch _int_mm", "torch bfloat16"]
    made["benchmarks"][1]["extra_info"]["left_out"] = ["torch _int_mm"]
    path.write_text(json.dumps(made))
    assert timings.read(path).about["left_out"] == ["torch _int_mm", "torch bfloat16"]


def test_published_speed_ups_stand_beside_those_of_this_machine(tmp_path: Path) -> None:
    slow = {**candidate([12, 11, 13]), "seconds": 0.012}
    groups = {"gemm 1024": {"ours": candidate([1, 1, 1]), "torch float32": slow}}
    ((published, here),) = timings.speed_ups(timings.read(written(tmp_path / "k.json", groups)))
    assert (published.value, here) == ("3.4x", "12.0x")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{}",
        '{"benchmarks": [{}]}',
        '{"benchmarks": [{"group": "g", "extra_info": {"candidates": {"a": {}}}}]}',
    ],
)
def test_what_is_not_timings_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "k.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"k\.json: not timings of bnnbench"):
        timings.read(path)


def test_no_file_is_no_timings(tmp_path: Path) -> None:
    assert timings.read(tmp_path / "nothing.json") == timings.Timings()


def test_timings_are_in_the_report_and_in_the_table(toy: Path, tmp_path: Path) -> None:
    chosen = {"papers": ["toy"], "scale": "smoke", "results": str(tmp_path / "results")}
    made = plan.make(config.validate(chosen, "file"), "file")
    groups = {
        "gemm 4096": {"ours": candidate([1, 1, 1], 0.9), "torch float32": candidate([40.0, 39.0, 41.0])},
        "mlp, batch 64": {"ours": candidate([1, 1, 1]), "torch float32": candidate([5.0, 4.0, 6.0])},
    }
    written(timings.path(made), groups)
    rows = timings.rows(made)
    assert len(rows) == 4 * 4
    assert {row["value"] for row in rows if row["metric"] == "ratio"} == {1, 40.0, 5.0}
    folder = tmp_path / "report"
    page.write_index(made, content.gather(made), folder)
    text = (folder / "kernels.html").read_text()
    assert "40.0x [39.0, 41.0] (at least 10x)" in text
    assert "reached" in text
    assert "over float32" in text
    assert "Measured limit" in text
    assert "kernels.html" in (folder / "index.html").read_text()
