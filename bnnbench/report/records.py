"""The content of a report as plain values, which are computed once and shown by both the page and the terminal."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bnnbench.harness.claim import Origin, Verdict
from bnnbench.harness.paper import Published
from bnnbench.harness.statistics import Interval

# From the best to the worst: a variant with several jobs shows the worst status of its jobs.
STATUSES = ("ok", "skipped", "missing", "stale", "diverged", "failed")
# From the official files to stand-ins: the provenance of a paper is the weakest that it used.
PROVENANCES = ("official", "copy", "bundled")


@dataclass(frozen=True)
class Cost:
    """The cost of jobs: sums of time and energy, and the peak of memory. Energy is `None` where it cannot be read."""

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_mb: float = 0.0
    energy_joules: float | None = None


@dataclass(frozen=True)
class JobState:
    """A planned job and its outcome."""

    job: str
    variant: str
    status: str
    reason: str
    cost: Cost
    provenance: tuple[str, ...]
    environment: str
    finished: float
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Remark:
    """A text that applies to one or several jobs; `kind` is their status, or `warning`."""

    kind: str
    text: str
    jobs: tuple[str, ...]


@dataclass(frozen=True)
class Comparand:
    """A published value that ours is compared with; where ours exists without a difference, `why_not` says why."""

    published: Published
    difference: Interval | None
    why_not: str
    flag: str = ""
    """A text where ours differs from the published value by more than the spread of both."""


@dataclass(frozen=True)
class Cell:
    """One metric of one variant."""

    ours: Interval | None
    published: tuple[Comparand, ...]


@dataclass(frozen=True)
class Column:
    """A metric as the experiment declares it, and which of its columns in the table are not empty."""

    name: str
    unit: str
    higher_is_better: bool | None
    description: str
    has_published: bool
    group: str = ""
    has_ours: bool = True
    has_difference: bool = True


@dataclass(frozen=True)
class Row:
    """One variant: its cells in the order of the columns, its jobs combined, and the parameters in which it differs."""

    variant: str
    status: str
    statuses: dict[str, int]
    reasons: tuple[str, ...]
    seeds: int
    seeds_planned: int
    cells: tuple[Cell, ...]
    provenance: tuple[str, ...]
    cost: Cost
    params: dict[str, Any]


@dataclass(frozen=True)
class Study:
    """One experiment: variants by metrics, without metrics that have no number."""

    name: str
    title: str
    source: str
    deviations: tuple[str, ...]
    notes: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    params: dict[str, Any]
    jobs: tuple[JobState, ...]

    @property
    def is_computed(self) -> bool:
        """Whether any number of the experiment was computed."""
        return any(cell.ours for row in self.rows for cell in row.cells)

    @property
    def statuses(self) -> dict[str, int]:
        """The number of jobs by status, the best status first."""
        counted = Counter(job.status for job in self.jobs)
        return {status: counted[status] for status in STATUSES if counted[status]}

    @property
    def groups(self) -> dict[str, tuple[int, ...]]:
        """The positions of those columns that hold a number of ours, by the name of their group."""
        columns_of_group: dict[str, tuple[int, ...]] = {}
        for place, column in enumerate(self.columns):
            if column.has_ours:
                columns_of_group[column.group] = (*columns_of_group.get(column.group, ()), place)
        return columns_of_group

    def rows_with(self, places: Iterable[int]) -> tuple[Row, ...]:
        """The variants that have a number of ours in one of these columns."""
        chosen = tuple(places)
        return tuple(row for row in self.rows if any(row.cells[place].ours for place in chosen))


ClaimKind = Literal["paper", "ours", "stand-in"]
CLAIM_KINDS: dict[ClaimKind, str] = {
    "paper": "Claims of the paper",
    "ours": "Controls of our own, of which the paper says nothing",
    "stand-in": "On stand-in data, which decides nothing about the paper",
}
# Decided claims come first, and among them the contradicted ones.
TELLING: tuple[Verdict, ...] = ("contradicted", "reproduced", "inconclusive", "not run")


@dataclass(frozen=True)
class ClaimRecord:
    """A claim with the verdict that results gave it."""

    name: str
    statement: str
    source: str
    origin: Origin
    experiments: tuple[str, ...]
    verdict: Verdict
    text: str
    power: str
    """What would decide the claim, where it is inconclusive."""
    stand_ins: tuple[str, ...]
    """The stand-ins that were used for data sets; with any of them, the verdict does not count for the paper."""
    scales: tuple[str, ...] = ()
    """The scales at which the claim is meaningful."""

    @property
    def reason(self) -> str:
        """Why the claim was not run, without the variant that was missing first, so that equal reasons are counted."""
        missing, _, why = self.text.partition(": ")
        return why if "/".join(missing.split("/")[:2]) in self.experiments else self.text

    @property
    def kind(self) -> "ClaimKind":
        """The kind of the claim, which says what its verdict counts for."""
        return "stand-in" if self.stand_ins else self.origin


@dataclass(frozen=True)
class Drawing:
    """A redrawn figure of the paper; the file `svg` may not exist yet."""

    name: str
    title: str
    caption: str
    source: str
    svg: Path


@dataclass(frozen=True)
class Uncovered:
    """A published value that is compared with no variant of this run, and why."""

    published: Published
    why: str


@dataclass(frozen=True)
class PaperContent:
    """Everything on one paper."""

    name: str
    title: str
    citation: str
    url: str
    verdicts: dict[ClaimKind, dict[Verdict, int]]
    statuses: dict[str, int]
    cost: Cost
    provenance: str
    claims: dict[ClaimKind, tuple[ClaimRecord, ...]]
    studies: tuple[Study, ...]
    figures: tuple[Drawing, ...]
    problems: tuple[Remark, ...]
    warnings: tuple[Remark, ...]
    uncovered: tuple[Uncovered, ...]


@dataclass(frozen=True)
class DataLine:
    """A data set: its origin, or why it is missing, and whether `bnnbench data fetch` would download it."""

    name: str
    provenance: str
    identity: str
    checksum: str
    note: str
    unavailable: str
    experiments: tuple[str, ...]
    fetchable: bool = False


def total(costs: Iterable[Cost]) -> Cost:
    """The total cost of several jobs."""
    listed = list(costs)
    energies = [cost.energy_joules for cost in listed if cost.energy_joules is not None]
    return Cost(
        wall_seconds=sum(cost.wall_seconds for cost in listed),
        cpu_seconds=sum(cost.cpu_seconds for cost in listed),
        peak_memory_mb=max((cost.peak_memory_mb for cost in listed), default=0.0),
        energy_joules=sum(energies) if energies else None,
    )


def weakest(provenances: Iterable[str]) -> str:
    """The provenance that is furthest from the official files; an unknown name counts as the furthest."""
    order = {name: place for place, name in enumerate(PROVENANCES)}
    return max(provenances, key=lambda name: order.get(name, len(order)), default="")
