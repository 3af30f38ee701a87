"""The report for the terminal: the same tables as the page, 80 to 120 columns wide. Nothing is printed here."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bnnbench.report import numbers
from bnnbench.report.content import Content
from bnnbench.report.records import Cell, Comparand, PaperContent, Row, Study

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

STYLES = {
    "reproduced": "green",
    "contradicted": "red",
    "inconclusive": "yellow",
    "not run": "dim",
    "ok": "green",
    "failed": "red",
    "diverged": "red",
    "stale": "yellow",
}


def tables(content: Content) -> "list[Table]":
    """The overview, then of each paper its claims, its experiments and what is not there."""
    found = [_overview(content)]
    for paper in content.papers:
        found += [_claims(paper)] if paper.claims else []
        found += [_study(content, paper, study) for study in paper.studies]
        found += [_remarks(paper)] if paper.problems or paper.warnings else []
    return found


def _overview(content: Content) -> "Table":
    table = _table(f"Overview at scale {content.scale}", "Paper", "Claims", "Jobs", "Data", "CPU time")
    for paper in content.papers:
        table.add_row(
            _plain(paper.name),
            _counts({name: count for name, count in paper.verdicts.items() if count}),
            _counts(paper.statuses),
            _plain(paper.provenance),
            _plain(numbers.duration(paper.cost.cpu_seconds)),
        )
    return table


def _claims(paper: PaperContent) -> "Table":
    table = _table(f"{paper.name}: claims", "Verdict", "Claim", "What the results say")
    for claim in paper.claims:
        table.add_row(_styled(claim.verdict), _plain(f"{claim.statement} ({claim.source})"), _plain(claim.text))
    return table


def _study(content: Content, paper: PaperContent, study: Study) -> "Table":
    """One line a variant and metric, which fits any number of metrics; a variant without numbers says why."""
    titles = ("Variant", "Metric", "Ours", "Published", "Ours \u2212 published", "n")
    table = _table(f"{paper.name}/{study.name} at scale {content.scale}", *titles)
    table.caption = " ".join(study.notes) or None
    for name in ("Ours", "Published", "Ours \u2212 published", "n"):
        column = next(one for one in table.columns if one.header == name)
        column.justify = "right"
        column.no_wrap = name in ("Ours", "n")
    for row in study.rows:
        for line in _lines(study, row):
            table.add_row(*line)
        table.add_section()
    return table


def _lines(study: Study, row: Row) -> "Iterator[list[Text]]":
    shown = [
        (column, cell) for column, cell in zip(study.columns, row.cells, strict=True) if cell.ours or cell.published
    ]
    name = _plain(row.variant)
    if row.status != "ok" or not shown:
        reason = "; ".join(row.reasons)
        yield [name, _counts(row.statuses).append(f": {reason}" if reason else "")]
        name = _plain("")
    for column, cell in shown:
        label = f"{column.name} ({column.unit})" if column.unit else column.name
        count = str(cell.ours.n) if cell.ours else ""
        yield [name, _plain(label), _ours(cell), *_published(cell), _plain(count)]
        name = _plain("")


def _ours(cell: Cell) -> "Text":
    return _plain(numbers.mean(cell.ours) if cell.ours else "")


def _published(cell: Cell) -> "list[Text]":
    printed = [
        numbers.spread(one.published.value, one.published.std) + ("" if one.published.verified else " unverified")
        for one in cell.published
    ]
    return [_plain("\n".join(printed)), _plain("\n".join(_difference(one) for one in cell.published))]


def _difference(one: Comparand) -> str:
    if one.difference is None:
        return "not compared" if one.why_not else ""
    return numbers.difference(one.difference) + (" (no interval)" if one.difference.n == 1 else "")


def _remarks(paper: PaperContent) -> "Table":
    table = _table(f"{paper.name}: not computed, and warnings", "What", "Why", "Jobs")
    for remark in (*paper.problems, *paper.warnings):
        table.add_row(_styled(remark.kind), _plain(remark.text), _plain(", ".join(remark.jobs)))
    return table


def _table(title: str, *columns: str) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
    table.caption_justify = "left"
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def _plain(text: str) -> "Text":
    """Text that is shown as it is: a reason may hold what rich would take for markup."""
    from rich.text import Text

    return Text(text)


def _styled(name: str) -> "Text":
    from rich.text import Text

    return Text(name, style=STYLES.get(name, ""))


def _counts(counts: dict[str, int]) -> "Text":
    from rich.text import Text

    return Text(", ").join(Text(f"{count} {name}", style=STYLES.get(name, "")) for name, count in counts.items())
