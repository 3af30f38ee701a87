"""The report as HTML: an overview and a page for each paper, each of them a single file that needs no network."""

import base64
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnnbench.harness import timings
from bnnbench.harness.files import read_regular, seal, write_atomic
from bnnbench.harness.plan import Plan
from bnnbench.harness.timings import Timings
from bnnbench.report import numbers, series, timing_chart
from bnnbench.report.content import Content
from bnnbench.report.records import CLAIM_KINDS, TELLING, Cell, ClaimRecord, Drawing, PaperContent, Study

if TYPE_CHECKING:
    from jinja2 import Environment

Judged = tuple[PaperContent, ClaimRecord]


def write(plan: Plan, content: Content, folder: Path) -> None:
    """Writes the page of every paper, then the index, into `folder`."""
    for publication in content.papers:
        write_paper(plan, content, publication.name, folder)
    write_index(plan, content, folder)


def write_index(plan: Plan, content: Content, folder: Path) -> None:
    """Writes `index.html`, the overview of all papers, and `kernels.html` where kernels were timed."""
    timed = timings.read(timings.path(plan))
    judged = timings.judged(timed)
    if timed.rows:
        _write_kernels(plan, content, timed, folder)
    said = {"reproduced": "targets reached", "contradicted": "missed", "inconclusive": "within the noise"}
    targets = Counter(said[evidence.verdict] for _, evidence in judged)
    text = _templates().get_template("index.html.j2").render(_shared(plan, content), targets=targets)
    _write(folder / "index.html", text)


def _write_kernels(plan: Plan, content: Content, timed: Timings, folder: Path) -> None:
    chart = plan.config.folder() / "figures" / "kernels" / "speed.svg"
    timing_chart.draw(timed.rows, timed.about["limit_gops"], chart)
    held = {"judged": timings.judged(timed), "speed_ups": timings.speed_ups(timed)}
    template = _templates().get_template("kernels.html.j2")
    text = template.render(_shared(plan, content), timed=timed, chart=_data_uri(chart), **held)
    _write(folder / "kernels.html", text)


def write_paper(plan: Plan, content: Content, name: str, folder: Path) -> None:
    """Writes `<name>.html`: the claims, tables and figures of one paper."""
    publication = next(publication for publication in content.papers if publication.name == name)
    pictures = plan.config.folder() / "figures" / name / "series"
    plots = {study.name: _plots(study, pictures) for study in publication.studies}
    text = _templates().get_template("paper.html.j2").render(_shared(plan, content), paper=publication, plots=plots)
    _write(folder / f"{name}.html", text)


def _plots(study: Study, folder: Path) -> dict[str, list[tuple[str, str]]]:
    """For each group of metrics its series, each as a title and a picture."""
    plots: dict[str, list[tuple[str, str]]] = {}
    for number, one in enumerate(series.of(study)):
        path = folder / f"{study.name}-{number}.svg"
        series.draw(study, one, path)
        plots.setdefault(one.group, []).append((one.title, _data_uri(path)))
    return plots


def _write(path: Path, text: str) -> None:
    write_atomic(path, text.encode(errors="replace"))  # a reason may hold characters without an encoding
    seal(path)


def _shared(plan: Plan, content: Content) -> dict[str, Any]:
    return {"content": content, "run": _run_line(content), "config": plan.config.model_dump(mode="json")}


def _templates() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    # Always escape: names, reasons and captions come from results and may hold anything.
    environment = Environment(
        loader=PackageLoader("bnnbench.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for shown in (numbers.mean, numbers.difference, numbers.spread, numbers.plain, numbers.duration, numbers.memory):
        environment.filters[shown.__name__] = shown
    environment.filters |= {"energy": numbers.energy, "moment": _moment, "words": _words, "value": _value}
    environment.globals |= {"picture": _picture, "axis": _axis, "strip": _strip, "claim_kinds": CLAIM_KINDS}
    environment.globals |= {"decided": _decided, "not_run": _not_run}
    return environment


def _run_line(content: Content) -> str:
    """What was run, when and where, in one line."""
    jobs = sum(count for publication in content.papers for count in publication.statuses.values())
    variants = sum(len(study.rows) for publication in content.papers for study in publication.studies)
    what = f"{numbers.count(variants, 'variant')} in {numbers.count(jobs, 'job')}"
    when = ""
    if content.last_finished:
        first, last = _moment(content.first_finished), _moment(content.last_finished)
        when = f"computed {first}" if first == last else f"computed {first} to {last}"
    return "; ".join(filter(None, [what, when, *_machine(content.environment)]))


def _machine(known: dict[str, Any]) -> Iterable[str]:
    if not known:
        return
    gpus = ", ".join(known.get("gpus") or ()) or "no GPU"
    yield f"{known.get('cpu') or 'unknown CPU'}, {numbers.count(known.get('cores', 0), 'core')}, {gpus}"
    packages = known.get("packages", {})
    versions = [f"{name} {packages[name]}" for name in ("torch", "numpy") if name in packages]
    yield ", ".join([f"Python {known.get('python')}", *versions])
    commit = known.get("commit")
    state = " with uncommitted changes" if known.get("dirty") else ""
    yield f"bnnbench {known.get('bnnbench')} " + (f"at commit {commit[:10]}{state}" if commit else "outside git")


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _decided(rows: Sequence[Judged]) -> list[Judged]:
    """The claims of all papers that were run, in the order of `TELLING` verdicts, as on the page of each paper."""
    return sorted((row for row in rows if row[1].verdict != "not run"), key=lambda row: TELLING.index(row[1].verdict))


def _not_run(rows: Iterable[Judged]) -> dict[str, list[Judged]]:
    """The claims that were not run, by their reason, with the most common reason first."""
    by_reason: dict[str, list[Judged]] = {}
    for paper, claim in rows:
        if claim.verdict == "not run":
            by_reason.setdefault(claim.reason, []).append((paper, claim))
    return dict(sorted(by_reason.items(), key=lambda entry: -len(entry[1])))


def _words(name: str) -> str:
    return name.replace("_", " ")


def _value(value: Any) -> str:
    """A parameter as YAML writes it."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return ", ".join(map(_value, value)) if isinstance(value, list) else str(value)


def _picture(drawing: Drawing) -> str:
    """The figure as a data URI, so that ids of several SVGs on one page do not clash; empty where it is not drawn."""
    return _data_uri(drawing.svg) if drawing.svg.is_file() else ""


def _data_uri(svg: Path) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(read_regular(svg)).decode()


def _axis(study: Study, column: int) -> tuple[float, float] | None:
    """The range of a metric over all variants, including intervals and published values; `None` where it is a point."""
    ends = [end for row in study.rows for end in _ends(row.cells[column])]
    return (min(ends), max(ends)) if ends and min(ends) < max(ends) else None


def _ends(cell: Cell) -> list[float]:
    printed = _printed(cell)
    if cell.ours is None:
        return printed
    return printed + [end for end in (cell.ours.low, cell.ours.mean, cell.ours.high) if isfinite(end)]


def _strip(cell: Cell, axis: tuple[float, float] | None) -> dict[str, Any] | None:
    """Positions, in percent, of the mean, its interval and the published values in the small picture under a number."""
    if axis is None or cell.ours is None:
        return None

    def place(value: float) -> float:
        return round(4 + 92 * (value - axis[0]) / (axis[1] - axis[0]), 2)

    whole = isfinite(cell.ours.half_width)
    return {
        "mean": place(cell.ours.mean),
        "low": place(cell.ours.low) if whole else None,
        "high": place(cell.ours.high) if whole else None,
        "published": [place(value) for value in _printed(cell)],
    }


def _printed(cell: Cell) -> list[float]:
    return [one.published.value for one in cell.published if one.published.value is not None]
