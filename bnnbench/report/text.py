"""The report for the terminal: the same tables as the page, 80 to 120 columns wide. This module prints nothing."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bnnbench.report import numbers
from bnnbench.report.content import Content
from bnnbench.report.records import CLAIM_KINDS, Cell, ClaimKind, Comparand, PaperContent, Row, Study
from bnnbench.report.terminal import counts, plain, table, word

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from bnnbench.harness.claim import Verdict


def tables(content: Content) -> "list[Table | Text]":
    """The overview, then for each paper its claims, its experiments and what is missing, and finally the data."""
    parts: list[Table | Text] = [_overview(content)]
    for paper in content.papers:
        parts += [_claims(paper, kind) for kind in paper.claims]
        parts += [_study(content, paper, study) for study in paper.studies if study.is_computed]
        parts += [_without_number(paper, study) for study in paper.studies if not study.is_computed]
        parts += [_remarks(paper)] if paper.problems or paper.warnings else []
    return [*parts, _data(content)]


def _overview(content: Content) -> "Table":
    shown = table(f"Overview at scale {content.scale}", "Paper", "Claims", "Jobs", "Data", "CPU time")
    for paper in content.papers:
        shown.add_row(
            plain(paper.name),
            plain("\n").join(_counts(kind, counted) for kind, counted in paper.verdicts.items()),
            counts(paper.statuses),
            plain(paper.provenance),
            plain(numbers.duration(paper.cost.cpu_seconds)),
        )
    return shown


def _counts(kind: ClaimKind, counted: "dict[Verdict, int]") -> "Text":
    """The counts of verdicts, preceded by the kind of the claims unless they are the paper's own."""
    named = {"paper": "", "ours": "ours: ", "stand-in": "on stand-in data: "}
    return plain(named[kind]) + counts(dict(counted.items()))


def _claims(paper: PaperContent, kind: ClaimKind) -> "Table":
    title = f"{paper.name}: {CLAIM_KINDS[kind][0].lower()}{CLAIM_KINDS[kind][1:]}"
    shown = table(title, "Verdict", "Claim", "What the results say")
    for claim in paper.claims[kind]:
        verdict = word(claim.verdict) + plain(" on stand-in data" if claim.stand_ins else "")
        said = [claim.text, f"to decide it: {claim.power}" if claim.power else "", *claim.stand_ins]
        shown.add_row(verdict, plain(f"{claim.statement} ({claim.source})"), plain("\n".join(filter(None, said))))
    return shown


def _study(content: Content, paper: PaperContent, study: Study) -> "Table":
    """A table with one line for each variant and metric, which fits any number of metrics."""
    right = ("Ours", "Published", "Difference", "n")
    title = f"{paper.name}/{study.name} at scale {content.scale}"
    shown = table(title, "Variant and metric", *right, right=right, caption=" ".join(study.notes))
    for row in study.rows:
        for line in _lines(study, row):
            shown.add_row(*line)
        shown.add_section()
    return shown


def _without_number(paper: PaperContent, study: Study) -> "Text":
    return plain(f"{paper.name}/{study.name}: ") + counts(study.statuses) + plain(", no number yet")


def _lines(study: Study, row: Row) -> "Iterator[list[Text]]":
    # The reason for a bad status is given only in the table of remarks.
    trouble = word(row.status) if len(row.statuses) == 1 else counts(row.statuses)
    yield [plain(row.variant, "bold"), plain("") if row.status == "ok" else trouble]
    for column, cell in zip(study.columns, row.cells, strict=True):
        if cell.ours or cell.published:
            label = f"  {column.name} ({column.unit})" if column.unit else f"  {column.name}"
            ours, n = (numbers.mean(cell.ours), str(cell.ours.n)) if cell.ours else ("", "")
            yield [plain(label), plain(ours), *_published(cell), plain(n)]


def _published(cell: Cell) -> "list[Text]":
    printed = [
        " ".join(filter(None, [numbers.spread(one.published.value, one.published.std), one.published.label]))
        for one in cell.published
    ]
    return [plain("\n".join(printed)), plain("\n".join(_difference(one) for one in cell.published))]


def _difference(one: Comparand) -> str:
    if one.difference is None:
        return "not compared" if one.why_not else ""
    said = ["(no interval)" if one.difference.n == 1 else "", f"({one.flag})" if one.flag else ""]
    return " ".join(filter(None, [numbers.difference(one.difference), *said]))


def _remarks(paper: PaperContent) -> "Table":
    shown = table(f"{paper.name}: not computed, and warnings", "What", "Why", "Jobs")
    for remark in (*paper.problems, *paper.warnings):
        shown.add_row(word(remark.kind), plain(remark.text), plain("\n".join(remark.jobs)))
    return shown


def _data(content: Content) -> "Table":
    shown = table("Data", "Data set", "Provenance", "Where from")
    for line in content.data:
        provenance = word("not available") if line.unavailable else plain(line.provenance)
        shown.add_row(plain(line.name), provenance, plain(line.unavailable or line.note))
    return shown
