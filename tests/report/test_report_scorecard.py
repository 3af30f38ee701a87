"""The scorecard fits a terminal whatever happened, and says what was decided, left out and lost."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import report_makers as made

from bnnbench.harness.data import Availability
from bnnbench.report import scorecard
from bnnbench.report.content import Content, gather
from bnnbench.report.records import CLAIM_KINDS, STATUSES, ClaimKind, ClaimRecord, DataLine, Remark

LONG = "a reason that goes on and on " * 20
REPORT = Path("results/smoke/report/index.html")


def text(content: Content, options: str = "") -> list[str]:
    return [line.plain for line in scorecard.lines(content, REPORT, options)]


def everything_wrong(toy: Path, folder: Path) -> Content:
    """Five papers with claims of all kinds and verdicts, data that are missing in every way, and many problems."""
    content = gather(made.toy_plan(folder))
    kinds: dict[ClaimKind, dict[str, Any]] = {
        "paper": {},
        "ours": {"origin": "ours"},
        "stand-in": {"stand_ins": (LONG,)},
    }
    basic = {"statement": LONG, "source": "T", "experiments": ("toy/walk",), "power": "", "text": LONG}
    defaults = {"origin": "paper", "stand_ins": ()}
    claims = {
        kind: tuple(
            ClaimRecord(**{**basic, **defaults, **of, "name": verdict, "verdict": verdict, "scales": scales})
            for verdict in ("reproduced", "contradicted", "inconclusive", "not run")
            for scales in (("laptop", "paper"), ("paper",))
        )
        for kind, of in kinds.items()
    }
    jobs = tuple(f"toy/walk/{'long' * 30}-{k}" for k in range(30))
    problems = tuple(
        Remark(kind, f"{k}: line one\nline two {LONG}", jobs)
        for kind in ("skipped", "missing", "stale", "diverged", "failed")
        for k in range(9)
    )
    warnings = (Remark("warning", LONG, jobs),)
    paper = replace(
        content.papers[0],
        claims=claims,
        verdicts={kind: {claim.verdict: 999 for claim in judged} for kind, judged in claims.items()},
        statuses=dict.fromkeys(STATUSES, 99999),
        problems=problems,
        warnings=warnings,
    )
    lacking = [DataLine(f"set-{k}", "", "", "", "", f"set-{k} is not here; {LONG}", (), k > 9) for k in range(20)]
    papers = tuple(replace(paper, name=f"{'long' * 20}{k}") for k in range(5))
    return replace(content, papers=papers, data=tuple(lacking))


def test_five_papers_with_everything_wrong_take_40_lines_of_100_columns(toy: Path, tmp_path: Path) -> None:
    content = everything_wrong(toy, tmp_path)
    lines = text(content)
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100
    assert all("\n" not in line for line in lines)
    for kind in CLAIM_KINDS:
        assert sum(line.startswith(scorecard.KINDS[kind]) for line in lines) == 1
    for command in ("make reproduce CONFIG=config/paper.yaml", "bnnbench data fetch", "bnnbench settle --minutes 30"):
        assert any(line.endswith(f": {command}") for line in lines), command
    assert lines[-1] == f"The report: {REPORT}"
    assert any("and 86 more problems" in line for line in lines)  # nine that failed and nine that diverged, five papers


def test_a_line_a_paper_says_what_was_decided(toy: Path, tmp_path: Path) -> None:
    plan = made.toy_plan(tmp_path)
    for variant in ("plain", "shifted"):
        made.finish(plan, made.job(plan, variant), {0: 1.0, 1: 2.0, 2: 4.0})
    made.gathered(plan)
    stand_in = {"stand_ins": ["digits instead"], "verdict": "contradicted"}
    made.claims(plan, {}, {}, {"verdict": "contradicted"}, {"origin": "ours", "verdict": "inconclusive"}, stand_in)
    lines = [line.split() for line in text(gather(plan), " --config mine.yaml")]
    toys = [words[1:] for words in lines if words[:1] == ["toy"]]
    assert toys == [["2", "1", "-", "-"], ["-", "-", "1", "-"], ["-", "1", "-", "-"]]
    assert "2 ok of 2 jobs" in " ".join(lines[0])
    assert "1 inconclusive claim, by more seeds: bnnbench settle --config mine.yaml --minutes 30" in map(
        " ".join, lines
    )
    assert not any("Problems" in words for words in lines)


def test_what_failed_is_named_and_what_is_missing_has_its_command(toy: Path, tmp_path: Path) -> None:
    plan = made.toy_plan(tmp_path)
    made.fail(plan, made.job(plan, "shifted"), "ValueError: it fell\nand more")
    made.gathered(plan)
    data = {
        "mnist": Availability("mnist", "bundled:mnist", "bundled", "a stand-in"),
        "svhn": Availability("svhn", "unavailable", "", "", "svhn is not here; run: bnnbench data fetch svhn"),
        "imagenet": Availability("imagenet", "unavailable", "", "", "imagenet is not here; get it from far"),
    }
    shown = "\n".join(text(gather(replace(plan, data=data)), " --config mine.yaml"))
    assert "failed: toy/walk/shifted: ValueError: it fell and more" in shown
    assert "1 job not computed yet: make reproduce CONFIG=mine.yaml" in shown
    assert "data not here: mnist (stand-in), svhn: bnnbench data fetch --config mine.yaml" in shown
    assert "by hand: imagenet: bnnbench data list --config mine.yaml" in shown
    assert "No claim has been judged yet." in shown
