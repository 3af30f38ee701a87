"""The pages hold all that the content holds, as text, and need nothing from outside."""

from html.parser import HTMLParser
from pathlib import Path

import pytest
import report_makers as made

from bnnbench.harness.plan import Plan
from bnnbench.harness.result import MetricRecord
from bnnbench.report import page, series
from bnnbench.report.content import gather

VOID = {"meta", "input", "img", "link", "br"}
HOSTILE = "</td><script>alert('x')</script><img src=x onerror=alert(1)> & \"quoted\""


class Page(HTMLParser):
    """A page taken apart: text, attributes, ids and whether every tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def pages(plan: Plan, folder: Path) -> dict[str, Page]:
    page.write(plan, gather(plan), folder)
    return {path.stem: Page(path.read_text()) for path in folder.glob("*.html")}


@pytest.fixture
def written(toy: Path, tmp_path: Path) -> dict[str, Page]:
    """The pages of a run in which a bit of everything happened, and every text is hostile."""
    made.published(
        toy,
        f'walk,plain,"{HOSTILE.replace(chr(34), chr(34) * 2)}",-,end,1.5,,m,Table 1,paper,a note',
        "walk,shifted,walker,-,end,9.5,0.5,m,Table 1,recalled,",
        "elsewhere,,other,-,end,3,,m,Table 2,paper,",
    )
    plan = made.toy_plan(tmp_path / "results", scale="paper", seeds=[0, 1])
    first, second, third, fourth = plan.jobs
    made.finish(plan, first, {0: 1.0}, warnings=[f"warned {HOSTILE}"], datasets=[made.BUNDLED])
    made.finish(plan, second, {}, status="diverged", reason=f"diverged {HOSTILE}")
    made.fail(plan, third, f"failed {HOSTILE}")
    made.finish(plan, fourth, {1: 2.0})
    made.gathered(plan)
    made.claims(plan, {"text": f"evidence {HOSTILE}"}, {"verdict": "not run", "statement": f"statement {HOSTILE}"})
    figures = plan.config.folder() / "figures" / "toy"
    figures.mkdir(parents=True)
    (figures / "path.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"><g id="a"/></svg>')
    return pages(plan, tmp_path / "pages")


def test_hostile_text_is_text(written: dict[str, Page]) -> None:
    shown = " ".join(HOSTILE.split())
    for found in written.values():
        assert len(found.all("script")) == 1
        assert not [attributes for _, attributes in found.tags if any(name.startswith("on") for name in attributes)]
    for prefix in ("warned", "diverged", "failed", "evidence", "statement"):
        assert f"{prefix} {shown}" in written["toy"].text
    for prefix in ("diverged", "failed", "evidence", "statement"):
        assert f"{prefix} {shown}" in written["index"].text


def test_everything_in_the_content_is_on_the_pages(toy: Path, tmp_path: Path) -> None:
    plan = made.toy_plan(tmp_path / "results")
    made.finish(plan, made.job(plan, "plain"), {0: 1.0, 1: 2.0, 2: 4.0})
    made.fail(plan, made.job(plan, "shifted"), "it fell")
    made.gathered(plan)
    made.claims(
        plan,
        {},
        {"name": "near", "statement": "It stays near.", "verdict": "contradicted", "text": "no", "origin": "ours"},
        {"name": "open", "verdict": "inconclusive", "power": "9 seeds would tell", "stand_ins": ["digits instead"]},
    )
    content, found = gather(plan), pages(plan, tmp_path / "pages")
    [room] = content.papers
    for claim in (claim for judged in room.claims.values() for claim in judged):
        for text in (claim.statement, claim.text, claim.source, claim.verdict, claim.power, *claim.stand_ins):
            assert text in found["toy"].text
            assert text in found["index"].text
    for study in room.studies:
        for text in (study.title, *study.notes, *study.deviations, *(f"{k}: {v}" for k, v in study.params.items())):
            assert text in found["toy"].text
        for row in study.rows:
            assert row.variant in found["toy"].text
            assert all(reason in found["toy"].text for reason in row.reasons)
    for line in room.uncovered:
        assert line.published.model in found["toy"].text
        assert line.why in found["toy"].text
    for remark in room.problems + room.warnings:
        assert remark.text in found["toy"].text
        assert all(job in found["toy"].text for job in remark.jobs)
    for drawing in room.figures:
        assert drawing.caption in found["toy"].text
        assert "Not drawn yet." in found["toy"].text
    assert "2 ± 4" in found["toy"].text  # of 1, 2, 4: 2.33 and 3.79
    assert content.environment["id"] in found["index"].text


def test_the_scale_is_on_every_page(written: dict[str, Page]) -> None:
    assert all("scale: paper" in found.text for found in written.values())


def test_values_that_are_not_from_the_paper_itself_are_marked(written: dict[str, Page]) -> None:
    assert "9.5 ± 0.5 m recalled" in written["toy"].text
    assert "recalled and not checked" in written["toy"].text


def test_stand_in_data_is_labelled(written: dict[str, Page]) -> None:
    assert "bundled stand-in" in written["toy"].text
    assert "bundled stand-in" in written["index"].text


def test_nothing_comes_from_outside(written: dict[str, Page]) -> None:
    for name, found in written.items():
        assert not found.all("link")
        assert all("src" not in attributes for attributes in found.all("script"))
        assert all(attributes["src"].startswith("data:image/svg+xml;base64,") for attributes in found.all("img"))
        policy = next(one["content"] for one in found.all("meta") if one.get("http-equiv"))
        assert policy.startswith("default-src 'none'")
        style = Path(page.__file__).with_name("templates") / "style.css"
        assert "url(" not in style.read_text()
        for anchor in found.all("a"):
            target = anchor["href"]
            assert target.startswith(("https://", "http://")) or target.partition("#")[0].removesuffix(".html") in (
                "",
                *written,
            ), (name, target)


def test_ids_are_unique_and_links_within_the_page_lead_somewhere(written: dict[str, Page]) -> None:
    for found in written.values():
        ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
        assert len(ids) == len(set(ids))
        inner = {one["href"][1:] for one in found.all("a") if one["href"].startswith("#")}
        assert inner | {one["data-table"] for one in found.all("input")} <= set(ids)


def test_a_paper_without_anything_computed_has_a_page(toy: Path, tmp_path: Path) -> None:
    found = pages(made.toy_plan(tmp_path / "results"), tmp_path / "pages")
    assert set(found) == {"index", "toy"}
    assert "No claim has been judged yet." in found["toy"].text
    assert "2 missing" in found["index"].text


def test_the_same_results_give_the_same_bytes(toy: Path, tmp_path: Path) -> None:
    plan = made.toy_plan(tmp_path / "results")
    made.finish(plan, made.job(plan, "plain"), {0: 1.0})
    made.gathered(plan)
    for name in ("a", "b"):
        page.write(plan, gather(plan), tmp_path / name)
    assert (tmp_path / "a" / "toy.html").read_bytes() == (tmp_path / "b" / "toy.html").read_bytes()
    assert (tmp_path / "a" / "index.html").read_bytes() == (tmp_path / "b" / "index.html").read_bytes()


def test_a_group_of_metrics_has_a_table_of_its_own(toy: Path, tmp_path: Path) -> None:
    plan = made.toy_plan(tmp_path / "results")
    both = [made.seed(0, {"end": 1.25, "peak": 2.5})]
    made.finish(
        plan, made.job(plan, "plain"), {}, seeds=both, metrics=dict.fromkeys(("end", "peak"), MetricRecord(unit="m"))
    )
    made.gathered(plan)
    first, second = pages(plan, tmp_path / "pages")["toy"].text.split("On the way", 1)
    assert "1.25" in first
    assert "2.5" not in first
    assert "2.5" in second


def test_what_was_decided_comes_first_and_what_was_not_run_is_folded_by_reason(toy: Path, tmp_path: Path) -> None:
    plan = made.toy_plan(tmp_path / "results")
    not_run = {"verdict": "not run", "name": "n"}
    made.claims(
        plan,
        {"verdict": "inconclusive", "statement": "third"},
        {**not_run, "text": "toy/walk/plain: skipped: no data", "statement": "fourth"},
        {"verdict": "reproduced", "statement": "second"},
        {**not_run, "text": "toy/walk/shifted: skipped: no data", "statement": "fifth"},
        {"verdict": "contradicted", "statement": "first"},
        {**not_run, "text": "means nothing here", "statement": "sixth"},
    )
    for found in pages(plan, tmp_path / "pages").values():
        places = [found.text.index(word) for word in ("first", "second", "third", "fourth", "fifth", "sixth")]
        assert places == sorted(places)
        assert found.text.count("2 not run: skipped: no data") == 1
        assert found.text.count("1 not run: means nothing here") == 1
        assert [one["class"] for one in found.all("details") if one.get("class") == "not-run"] == ["not-run"] * 2
        assert not [one for one in found.all("details") if one.get("class") == "not-run" and "open" in one]


def test_figures_come_before_tables(written: dict[str, Page]) -> None:
    ids = [attributes["id"] for _, attributes in written["toy"].tags if "id" in attributes]
    assert ids.index("claims") < ids.index("figures") < ids.index("walk")


def test_no_column_is_empty_or_compares_nothing_throughout(toy: Path, tmp_path: Path) -> None:
    made.published(
        toy,
        "walk,plain,walker,-,end,1.5,,m,Table 1,recalled,",
        "walk,plain,walker,-,never,2.5,,m,Table 1,paper,",
    )
    plan = made.toy_plan(tmp_path / "results")
    for variant in ("plain", "shifted"):
        made.finish(plan, made.job(plan, variant), {0: 1.0, 1: 2.0, 2: 4.0})
    made.gathered(plan)
    found = pages(plan, tmp_path / "pages")["toy"]
    assert "published" in found.text
    assert "ours \u2212 published" not in found.text, "the only published value of a metric of ours is recalled"
    assert "not compared" not in found.text
    assert "Status" not in found.text, "every job is fine"
    assert "Data" not in found.text.split("A random walk")[1].split("Parameters")[0], "it used none"
    assert "2.5 m for walker" in found.text, "a published value of a metric without a number is in the folded list"


def test_an_experiment_without_a_number_is_one_folded_line(toy: Path, tmp_path: Path) -> None:
    plan = made.toy_plan(tmp_path / "results", experiments=[])
    made.finish(plan, next(job for job in plan.jobs if job.experiment == "still"), {0: 1.0})
    made.fail(plan, made.job(plan, "plain"), "it fell")
    made.gathered(plan)
    found = pages(plan, tmp_path / "pages")["toy"]
    (line,) = [one for one in found.all("details") if one.get("class") == "line"]
    assert (line["id"], "open" in line) == ("walk", False)
    assert "table-walk" not in [attributes.get("id") for _, attributes in found.tags]
    assert "A random walk: 1 missing job 1 failed job" in found.text
    assert "table-still" in [attributes.get("id") for _, attributes in found.tags]


def test_metrics_that_differ_by_a_number_are_a_picture_with_the_table_folded(toy: Path, tmp_path: Path) -> None:
    walk = toy / "toy_paper" / "walk.py"
    more = "".join(f'    Metric("nll_turned_{angle}", "nats", False, "x", group="Turned"),\n' for angle in (0, 15, 90))
    walk.write_text(walk.read_text().replace("METRICS = [\n", f"METRICS = [\n{more}"))
    plan = made.toy_plan(tmp_path / "results")
    names = [f"nll_turned_{angle}" for angle in (90, 0, 15)]
    seeds = [made.seed(number, {name: number + k / 8 for k, name in enumerate(names)}) for number in range(3)]
    metrics = dict.fromkeys(names, MetricRecord(unit="nats"))
    made.finish(plan, made.job(plan, "plain"), {}, seeds=seeds, metrics=metrics)
    made.gathered(plan)
    (study,) = gather(plan).papers[0].studies
    (drawn,) = series.of(study)
    assert (drawn.title, drawn.at) == ("nll turned (nats)", (0.0, 15.0, 90.0))
    found = pages(plan, tmp_path / "pages")["toy"]
    (picture,) = found.all("img")
    assert picture["alt"] == "nll turned (nats)"
    assert picture["src"].startswith("data:image/svg+xml;base64,")
    assert "The numbers" in found.text.split("Turned")[1]
    assert "nll turned 15" in found.text.split("The numbers")[1]


def test_two_points_or_names_without_a_number_stay_a_table(toy: Path, tmp_path: Path) -> None:
    plan = made.toy_plan(tmp_path / "results")
    both = [made.seed(0, {"end": 1.25, "peak": 2.5})]
    metrics = dict.fromkeys(("end", "peak"), MetricRecord(unit="m"))
    made.finish(plan, made.job(plan, "plain"), {}, seeds=both, metrics=metrics)
    made.gathered(plan)
    assert series.of(gather(plan).papers[0].studies[0]) == []
