"""The summary in the terminal at the end of a run: what was decided, what was left out, and what went wrong.

For five papers it has at most 40 lines of at most 100 columns in all cases. This module prints nothing itself.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bnnbench.harness.claim import VERDICTS
from bnnbench.harness.config import SCALES
from bnnbench.report import numbers
from bnnbench.report.content import Content
from bnnbench.report.records import ClaimKind, ClaimRecord, Remark
from bnnbench.report.terminal import STYLES, counts, plain

if TYPE_CHECKING:
    from rich.text import Text

COLUMNS = 100
NAME_COLUMNS = 42
VERDICT_COLUMNS = 14
REMARKS = 4
KINDS: dict[ClaimKind, str] = {
    "paper": "Claims of the papers",
    "ours": "Apart: controls of our own",
    "stand-in": "Apart: on stand-in data",
}


def lines(content: Content, report: Path, options: str = "") -> "list[Text]":
    """The scorecard for `content`; `options`, such as ` --config FILE`, are appended to every command that it names."""
    parts = [_run(content), _claims(content), _left_out(content, options), _problems(content)]
    shown = [[_cut(line) for line in part] for part in parts]
    blank = plain("")
    return [*(line for part in shown if part for line in [*part, blank]), plain(f"The report: {report}")]


def _run(content: Content) -> "list[Text]":
    jobs: Counter[str] = Counter()
    for paper in content.papers:
        jobs.update(paper.statuses)
    seconds = sum(paper.cost.cpu_seconds for paper in content.papers)
    cost = f"; {numbers.duration(seconds)} of CPU time" if seconds else ""
    return [plain(f"Scale {content.scale}: ", "bold") + counts(dict(jobs)) + plain(f" of {jobs.total()} jobs{cost}")]


def _claims(content: Content) -> "list[Text]":
    """One line for each paper, under a heading for each kind of claim that any paper has."""
    lines = []
    for kind, title in KINDS.items():
        rows = [(paper.name, paper.verdicts[kind]) for paper in content.papers if kind in paper.verdicts]
        if rows:
            heads = "".join(f"{verdict:>{VERDICT_COLUMNS}}" for verdict in VERDICTS)
            lines.append(plain(f"{title:<{NAME_COLUMNS}}{heads}", "bold"))
        for name, counted in rows:
            line = plain(f"  {name:<{NAME_COLUMNS - 2}.{NAME_COLUMNS - 2}}")
            for verdict in VERDICTS:
                number = f"{counted.get(verdict) or '-':>{VERDICT_COLUMNS}}"
                line += plain(number, STYLES[verdict] if verdict in counted else "dim")
            lines.append(line)
    return lines or [plain("No claim has been judged yet.")]


def _left_out(content: Content, options: str) -> "list[Text]":
    """What this run leaves out, with the commands that would add it."""
    lines = [
        *_other_scales(content),
        *_data(content, options),
        *_open(content, options),
        *_not_computed(content, options),
    ]
    return [plain("Left out", "bold"), *lines] if lines else []


def _other_scales(content: Content) -> "Iterator[Text]":
    nearest = Counter(
        min(claim.scales, key=SCALES.index)
        for claim in _all_claims(content)
        if claim.verdict == "not run" and claim.scales and content.scale not in claim.scales
    )
    for scale, count in nearest.items():
        config = "" if scale == "laptop" else f" CONFIG=config/{scale}.yaml"
        yield _command(f"{numbers.count(count, 'claim')} for {scale} scale", f"make reproduce{config}")


def _data(content: Content, options: str) -> "Iterator[Text]":
    lacking = [line for line in content.data if line.fetchable]
    if lacking:
        names = ", ".join(line.name if line.unavailable else f"{line.name} (stand-in)" for line in lacking)
        command = f"bnnbench data fetch{options}"
        yield _command(_short(f"data not here: {names}", COLUMNS - len(command) - 4), command)
    elsewhere = [line for line in content.data if line.unavailable and not line.fetchable]
    if elsewhere:
        names, command = ", ".join(line.name for line in elsewhere), f"bnnbench data list{options}"
        yield _command(_short(f"data that no address gives, so by hand: {names}", COLUMNS - len(command) - 4), command)


def _open(content: Content, options: str) -> "Iterator[Text]":
    count = sum(claim.verdict == "inconclusive" and not claim.stand_ins for claim in _all_claims(content))
    if count:
        command = f"bnnbench settle{options} --minutes 30"
        yield _command(f"{numbers.count(count, 'inconclusive claim')}, by more seeds", command)


def _not_computed(content: Content, options: str) -> "Iterator[Text]":
    """The jobs that were not computed yet, and those that were skipped for another reason than data."""
    missing = sum(len(remark.jobs) for remark in _remarks(content, "missing", "stale"))
    if missing:
        again = options.partition(" --scale")[0].replace(" --config ", " CONFIG=")
        yield _command(f"{numbers.count(missing, 'job')} not computed yet", f"make reproduce{again}")
    without = [line.unavailable for line in content.data if line.unavailable]
    skipped = Counter(
        {remark.text: len(remark.jobs) for remark in _remarks(content, "skipped") if remark.text not in without}
    )
    for reason, count in skipped.most_common(2):
        if not any(text in reason for text in without):
            yield plain(f"  {numbers.count(count, 'job')}: {reason}")


def _problems(content: Content) -> "list[Text]":
    remarks = _remarks(content, "failed", "diverged")
    lines = [
        plain(f"  {remark.kind}: ", STYLES[remark.kind]) + plain(f"{_jobs(remark)}: {remark.text}")
        for remark in remarks[:REMARKS]
    ]
    if len(remarks) > REMARKS:
        lines.append(plain(f"  and {numbers.count(len(remarks) - REMARKS, 'more problem')}, in the report"))
    warnings = sum(len(remark.jobs) for paper in content.papers for remark in paper.warnings)
    if warnings:
        lines.append(plain(f"  {numbers.count(warnings, 'warning')} of jobs, in the report"))
    return [plain("Problems", "bold"), *lines] if lines else []


def _jobs(remark: Remark) -> str:
    return remark.jobs[0] if len(remark.jobs) == 1 else f"{remark.jobs[0]} and {len(remark.jobs) - 1} more"


def _remarks(content: Content, *kinds: str) -> list[Remark]:
    remarks = [remark for paper in content.papers for remark in paper.problems if remark.kind in kinds]
    return sorted(remarks, key=lambda remark: kinds.index(remark.kind))


def _all_claims(content: Content) -> Iterable[ClaimRecord]:
    return (claim for paper in content.papers for judged in paper.claims.values() for claim in judged)


def _command(what: str, command: str) -> "Text":
    return plain(f"  {what}: ") + plain(command, "bold")


def _cut(line: "Text") -> "Text":
    line = line.copy()
    line.plain = " ".join(line.plain.splitlines())
    line.truncate(COLUMNS, overflow="ellipsis")
    return line


def _short(text: str, columns: int) -> str:
    return text if len(text) <= columns else f"{text[: columns - 1]}…"
