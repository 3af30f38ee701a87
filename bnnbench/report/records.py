"""What a report shows, as plain values: computed once, then shown alike by the page and in the terminal."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bnnbench.harness.claim import Origin, Verdict
from bnnbench.harness.paper import Published
from bnnbench.harness.statistics import Interval

# From the best to the worst: a variant with several jobs shows the worst of theirs.
STATUSES = ("ok", "skipped", "missing", "stale", "diverged", "failed")
# From the official files to stand-ins: what counts for a paper is the weakest that it used.
PROVENANCES = ("official", "copy", "bundled")


@dataclass(frozen=True)
class Cost:
    """What jobs cost: sums of time and energy, the peak of memory. Energy is `None` where it cannot be read."""

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_mb: float = 0.0
    energy_joules: float | None = None


@dataclass(frozen=True)
class JobState:
    """A planned job and what became of it."""

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
    """Something that is said alike of one or several jobs; `kind` is their status, or `warning`."""

    kind: str
    text: str
    jobs: tuple[str, ...]


@dataclass(frozen=True)
class Comparand:
    """A published value beside ours; where there is no difference, `why_not` says so unless ours is not there."""

    published: Published
    difference: Interval | None
    why_not: str
    flag: str = ""
    """In words, where ours is beyond the published value by more than the spread of both."""


@dataclass(frozen=True)
class Cell:
    """One metric of one variant."""

    ours: Interval | None
    published: tuple[Comparand, ...]


@dataclass(frozen=True)
class Column:
    """A metric, as the experiment declares it, and which of its columns hold anything."""

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
    """One variant: its cells in the order of the columns, its jobs taken together, and the parameters of its own."""

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
    """One experiment: variants by metrics, of which those without any number are left out."""

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
        """Whether any number of it is there."""
        return any(cell.ours for row in self.rows for cell in row.cells)

    @property
    def statuses(self) -> dict[str, int]:
        """How many jobs are in which state, the best first."""
        counted = Counter(job.status for job in self.jobs)
        return {status: counted[status] for status in STATUSES if counted[status]}

    @property
    def groups(self) -> dict[str, tuple[int, ...]]:
        """The places of those columns that hold a number of ours, by the name of their group."""
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
# What was decided comes first, and of that what speaks against a claim.
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
    """What would decide it, where it is inconclusive."""
    stand_ins: tuple[str, ...]
    """What stood in for data sets that it needs: then the verdict is none on the paper."""
    scales: tuple[str, ...] = ()
    """Where it means something."""

    @property
    def reason(self) -> str:
        """Why it was not run, without the variant that was found missing first, so that reasons can be counted."""
        missing, _, why = self.text.partition(": ")
        return why if "/".join(missing.split("/")[:2]) in self.experiments else self.text

    @property
    def kind(self) -> "ClaimKind":
        """What the verdict counts for."""
        return "stand-in" if self.stand_ins else self.origin


@dataclass(frozen=True)
class Drawing:
    """A figure of the paper redrawn; `svg` may not be there yet."""

    name: str
    title: str
    caption: str
    source: str
    svg: Path


@dataclass(frozen=True)
class Uncovered:
    """A published value that no variant of this run stands beside, and why."""

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
    """A data set: where it came from, or why it is not there; and whether `bnnbench data fetch` would bring it in."""

    name: str
    provenance: str
    identity: str
    checksum: str
    note: str
    unavailable: str
    experiments: tuple[str, ...]
    fetchable: bool = False


def total(costs: Iterable[Cost]) -> Cost:
    """The cost of several jobs together."""
    listed = list(costs)
    energies = [cost.energy_joules for cost in listed if cost.energy_joules is not None]
    return Cost(
        wall_seconds=sum(cost.wall_seconds for cost in listed),
        cpu_seconds=sum(cost.cpu_seconds for cost in listed),
        peak_memory_mb=max((cost.peak_memory_mb for cost in listed), default=0.0),
        energy_joules=sum(energies) if energies else None,
    )


def weakest(provenances: Iterable[str]) -> str:
    """The provenance that is furthest from the official files; one with an unknown name counts as further still."""
    order = {name: place for place, name in enumerate(PROVENANCES)}
    return max(provenances, key=lambda name: order.get(name, len(order)), default="")
