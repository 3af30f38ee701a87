"""Whatever is damaged in a results folder is set aside, and the report is made all the same."""

import json
import os
import random
from dataclasses import replace
from pathlib import Path

import pytest

from bnnbench.errors import UserError
from bnnbench.harness import collect, config, drawing, environment, execute, mend, plan, recorded, verdicts
from bnnbench.harness.files import locked, seal, write_json
from bnnbench.report import content, page


@pytest.fixture
def made(toy: Path, tmp_path: Path) -> plan.Plan:
    chosen = {"papers": ["toy"], "scale": "smoke", "results": str(tmp_path / "results")}
    made = plan.make(config.validate(chosen, "file"), "file")
    for job in made.jobs:
        execute.execute(made, job)
    refresh(made)
    collect.join(made, [])
    write_json(made.config.folder() / "tracked.json", {"created": 1})
    seal(made.config.folder() / "tracked.json")
    page.write(made, content.gather(made), made.config.folder() / "report")
    return made


def refresh(made: plan.Plan) -> None:
    for experiment in collect.experiments(made):
        collect.collect(made, experiment)
    for paper in made.papers():
        verdicts.write(made, paper)
        for figure in drawing.figures(paper):
            drawing.draw(made, paper, figure)


def derived(made: plan.Plan) -> list[Path]:
    patterns = ["collected/*/*/*.parquet", "results.parquet", "claims/*.json", "environments/*.json", "tracked.json"]
    patterns += ["figures/*/*.svg", "report/*.html"]
    return [path for pattern in patterns for path in made.config.folder().glob(pattern)]


def test_what_is_sound_stays(made: plan.Plan) -> None:
    assert derived(made)
    assert mend.records(made) + mend.derived(made) == []


def damage_with(path: Path, kind: str) -> None:
    contents = {
        "empty": b"",
        "torn": path.read_bytes()[: path.stat().st_size // 2],
        "noise": random.Random(3).randbytes(300),
        "not UTF-8": b'{"a": "\xff\xfe"}',
        "another shape": b"[1, 2]",
        "deep": b"[" * 100_000,
        "flipped bit": flipped(path.read_bytes()),
    }
    if kind in contents:
        path.write_bytes(contents[kind])
        return
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("nowhere")


def flipped(content: bytes) -> bytes:
    """One bit in the middle is another."""
    at = len(content) // 2
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


KINDS = (
    *("empty", "torn", "noise", "not UTF-8", "another shape", "deep", "flipped bit"),
    *("folder", "pipe", "link to nowhere"),
)


@pytest.mark.parametrize("damage", KINDS)
def test_what_is_damaged_is_set_aside_and_made_again(made: plan.Plan, damage: str) -> None:
    paths = [*derived(made), *(made.result(job) for job in made.jobs)]
    for path in paths:
        damage_with(path, damage)
    moved = mend.records(made) + mend.derived(made)
    assert {path.name.partition(".damaged")[0] for path in moved} == {path.name for path in paths}
    assert not any(path.exists() or path.is_symlink() for path in paths)
    for job in made.jobs:
        execute.execute(made, job)
    refresh(made)
    assert content.gather(made).papers[0].statuses == {"ok": len(made.jobs)}


def test_a_file_of_another_place_is_not_taken_for_that_of_this_one(made: plan.Plan) -> None:
    walk, still = (collect.folder(made, f"toy/{name}") / "results.parquet" for name in ("walk", "still"))
    walk.write_bytes(still.read_bytes())
    assert [path.name for path in mend.derived(made)] == ["results.parquet.damaged"]


def test_tables_and_curves_of_a_job_that_were_changed_are_noticed(made: plan.Plan) -> None:
    plain, shifted = (made.job(f"toy/walk/{name}") for name in ("plain", "shifted"))
    table = made.folder(plain) / "tables/seed-1/path.parquet"
    table.write_bytes((made.folder(plain) / "tables/seed-0/path.parquet").read_bytes())
    assert [path.parent for path in mend.records(made)] == [made.folder(plain)]

    curves = made.folder(shifted) / "history.jsonl"
    assert '"step": 7' in curves.read_text()
    curves.write_text(curves.read_text().replace('"position": ', '"position": 1', 1))
    collect.collect(made, "toy/walk")
    states = content.gather(made).papers[0].studies[0].jobs
    (warning,) = [text for state in states for text in state.warnings if "curves" in text]
    assert "of 60 rows of its curves some were changed" in warning
    assert str(made.folder(shifted)) in warning


def test_tables_of_other_jobs_are_removed_and_those_of_the_plan_are_kept(made: plan.Plan) -> None:
    """As after a report on the same folder with another configuration."""
    tables = sorted((made.config.folder() / "collected").glob("*/*/*.parquet"))
    assert mend.mend(made) == []
    assert all(table.exists() for table in tables)
    other = replace(made, jobs=tuple(replace(job, key="0" * 16) for job in made.jobs))
    collect.collect(other, "toy/walk")
    assert mend.mend(made) == []
    assert [table for table in tables if not table.exists()] == [table for table in tables if "walk" in table.parts]
    refresh(made)
    assert all(table.exists() for table in tables)


def test_nothing_is_set_aside_while_a_workflow_is_at_work(made: plan.Plan) -> None:
    verdicts.path(made, "toy").write_text("{")
    with locked(made.config.lock()):
        assert mend.mend(made) == []
    assert len(mend.mend(made)) == 1


def test_a_second_damage_does_not_replace_what_was_set_aside(made: plan.Plan) -> None:
    path = made.result(made.jobs[0])
    for text in ("one", "two"):
        path.write_text(text)
        mend.records(made)
    assert sorted(found.read_text() for found in path.parent.glob("result.json.damaged*")) == ["one", "two"]


def test_a_damaged_table_that_is_read_all_the_same_is_one_line(made: plan.Plan) -> None:
    path = collect.folder(made, "toy/walk") / "results.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(UserError, match=r"results\.parquet: damaged .*; delete it and run: snakemake"):
        collect.Results.load(made, ["toy/walk"])


def test_a_damaged_environment_costs_no_report(made: plan.Plan) -> None:
    (path,) = (made.config.folder() / "environments").glob("*.json")
    path.write_text("{")
    assert environment.noted(made.config.folder(), path.stem) == {}
    assert content.gather(made).environment == {}


def test_a_recording_is_whole_or_absent(made: plan.Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("bnnbench.harness.recorded.write_json", full)
        with pytest.raises(UserError, match="No space left"):
            recorded.record(made, "mine")
    assert list((made.config.results / "recorded").iterdir()) == []
    written = recorded.record(made, "mine")
    assert all(path.exists() for path in written)
    assert json.loads((made.config.results / "recorded/mine/claims.json").read_text())["toy"]


def test_packages_that_make_numbers_are_part_of_the_environment() -> None:
    assert {"torch", "jax", "jaxlib", "numpyro", "numba", "zuko", "numpy", "scipy"} <= set(
        environment.capture()["packages"]
    )
