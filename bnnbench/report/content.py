"""The content of a report on a plan, gathered once from collected tables, verdicts, figures and records."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bnnbench.harness import data, drawing, environment, paper, registry, verdicts
from bnnbench.harness.claim import VERDICTS, Verdict
from bnnbench.harness.paper import Paper, Published
from bnnbench.harness.plan import Plan
from bnnbench.report.records import (
    CLAIM_KINDS,
    STATUSES,
    TELLING,
    ClaimKind,
    ClaimRecord,
    DataLine,
    Drawing,
    JobState,
    PaperContent,
    Remark,
    Study,
    Uncovered,
    total,
    weakest,
)
from bnnbench.report.study import study


@dataclass(frozen=True)
class Content:
    """The content of a report: the papers, their data, and where and when the results were computed."""

    scale: str
    papers: tuple[PaperContent, ...]
    data: tuple[DataLine, ...]
    environment: dict[str, Any]
    environments: tuple[str, ...]
    first_finished: float
    last_finished: float


def gather(plan: Plan) -> Content:
    """Reads all that the report on `plan` shows; what has not been computed yet is listed as such."""
    papers = tuple(_paper(plan, paper.get(name)) for name in plan.papers())
    states = [state for publication in papers for part in publication.studies for state in part.jobs]
    finished = [state.finished for state in states if state.finished > 0]
    latest = max(states, key=lambda state: state.finished, default=None)
    return Content(
        scale=plan.config.scale,
        papers=papers,
        data=tuple(_data_line(plan, name) for name in plan.data),
        environment=environment.noted(plan.config.folder(), latest.environment) if latest else {},
        environments=tuple(sorted({state.environment for state in states} - {""})),
        first_finished=min(finished, default=0.0),
        last_finished=max(finished, default=0.0),
    )


def _paper(plan: Plan, publication: Paper) -> PaperContent:
    names = dict.fromkeys(job.experiment for job in plan.jobs if job.paper == publication.name)
    studies = tuple(study(plan, publication, name) for name in names)
    states = [state for part in studies for state in part.jobs]
    claims = _claims(plan, publication)
    statuses = Counter(state.status for state in states)
    spec = publication.spec
    return PaperContent(
        name=publication.name,
        title=spec.title,
        citation=f"{spec.authors}. {spec.venue} {spec.year}",
        url=spec.url,
        verdicts={kind: _counted(judged) for kind, judged in claims.items()},
        statuses={status: statuses[status] for status in STATUSES if statuses[status]},
        cost=total(state.cost for state in states),
        provenance=weakest(name for state in states for name in state.provenance),
        claims=claims,
        studies=studies,
        figures=_figures(plan, publication),
        problems=_problems(states),
        warnings=_grouped(("warning", text, state.job) for state in states for text in state.warnings),
        uncovered=tuple(
            Uncovered(row, why) for row in publication.published() if (why := _why_uncovered(row, publication, studies))
        ),
    )


def _claims(plan: Plan, publication: Paper) -> dict[ClaimKind, tuple[ClaimRecord, ...]]:
    """The claims by kind, in the order of `TELLING` verdicts; kinds without claims are left out."""
    path = verdicts.path(plan, publication.name)
    read = verdicts.read(path) if path.exists() else []
    lists = ("experiments", "stand_ins")
    scales = {declared.name: declared.scales for declared in verdicts.claims(publication.name)} if read else {}
    claims = [
        ClaimRecord(
            **{**record, **{name: tuple(record[name]) for name in lists}}, scales=scales.get(record["name"], ())
        )
        for record in read
    ]
    claims.sort(key=lambda claim: TELLING.index(claim.verdict))
    by_kind = {kind: tuple(claim for claim in claims if claim.kind == kind) for kind in CLAIM_KINDS}
    return {kind: judged for kind, judged in by_kind.items() if judged}


def _counted(claims: Iterable[ClaimRecord]) -> dict[Verdict, int]:
    counted = Counter(claim.verdict for claim in claims)
    return {verdict: counted[verdict] for verdict in VERDICTS if counted[verdict]}


def _figures(plan: Plan, publication: Paper) -> tuple[Drawing, ...]:
    folder = plan.config.folder() / "figures" / publication.name
    return tuple(
        Drawing(figure.name, figure.title, figure.caption, figure.source, folder / f"{figure.name}.svg")
        for figure in drawing.figures(publication.name).values()
    )


def _problems(states: Iterable[JobState]) -> tuple[Remark, ...]:
    remarks = _grouped((state.status, state.reason, state.job) for state in states if state.status != "ok")
    return tuple(sorted(remarks, key=lambda remark: -STATUSES.index(remark.kind)))


def _grouped(said: Iterable[tuple[str, str, str]]) -> tuple[Remark, ...]:
    jobs: dict[tuple[str, str], list[str]] = {}
    for kind, text, job in said:
        jobs.setdefault((kind, text), []).append(job)
    return tuple(Remark(kind, text, tuple(names)) for (kind, text), names in jobs.items())


def _why_uncovered(row: Published, publication: Paper, studies: Sequence[Study]) -> str:
    """Why a published value is not in any table; empty where it is in one."""
    if row.experiment not in publication.spec.experiments:
        return "no experiment of ours yet"
    part = next((part for part in studies if part.name == row.experiment), None)
    if part is None:
        return "experiment not part of this run"
    if not row.variant:
        return "no variant of ours"
    if row.metric not in {metric.name for metric in publication.declaration(row.experiment).metrics}:
        return "not measured by our experiment"
    return "" if row.variant in {shown.variant for shown in part.rows} else "variant not part of this run"


def _data_line(plan: Plan, name: str) -> DataLine:
    planned = plan.data[name]
    verified = data.known_record(plan.config, name, planned.identity)
    return DataLine(
        name=name,
        provenance=planned.provenance,
        identity=planned.identity,
        checksum=verified.checksum if verified else "",
        note=verified.note if verified else planned.note,
        unavailable=planned.unavailable,
        experiments=tuple(sorted({f"{job.paper}/{job.experiment}" for job in plan.jobs if name in job.datasets})),
        fetchable=name in registry.datasets() and data.is_fetchable(registry.dataset(name), planned),
    )
