"""Metrics of a group whose names differ only by a number (rotations, severities), drawn instead of tabulated."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bnnbench.harness.figure import PALETTE, Figure, render
from bnnbench.report.records import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

    from bnnbench.harness.statistics import Interval

NUMBERED = re.compile(r"(.+)_([0-9]+(?:\.[0-9]+)?)")
DASHES = ("-", "--", ":", "-.")
FEWEST = 3
"""The least number of points for a picture; fewer are easier to read as columns."""


@dataclass(frozen=True)
class Series:
    """Columns of a study whose names consist of a common stem and the numbers `at`; `places` are their positions."""

    group: str
    stem: str
    unit: str
    at: tuple[float, ...]
    places: tuple[int, ...]

    @property
    def title(self) -> str:
        """The title of the picture: the stem in words, with its unit."""
        return self.stem.replace("_", " ") + (f" ({self.unit})" if self.unit else "")


def of(study: Study) -> list[Series]:
    """The series of those groups of a study that consist only of series with at least `FEWEST` points."""
    series = []
    for group, places in study.groups.items():
        parts = list(_split(study, group, places)) if group else []
        if (
            parts
            and all(len(part.places) >= FEWEST for part in parts)
            and sum(len(part.places) for part in parts) == len(places)
        ):
            series += parts
    return series


def _split(study: Study, group: str, places: Iterable[int]) -> Iterable[Series]:
    """The numbered columns of a group by their stems, in the order of the numbers."""
    stems: dict[tuple[str, str], list[tuple[float, int]]] = {}
    for place in places:
        if named := NUMBERED.fullmatch(study.columns[place].name):
            stems.setdefault((named[1], study.columns[place].unit), []).append((float(named[2]), place))
    for (stem, unit), points in stems.items():
        at, sorted_places = zip(*sorted(points), strict=True)
        yield Series(group, stem, unit, at, sorted_places)


def draw(study: Study, series: Series, path: Path) -> None:
    """Writes an SVG with one line for each variant over the numbers, with intervals where there are any."""
    render(Figure(series.stem, series.title, "", "", (), lambda _: _lines(study, series)), None, path)


def _lines(study: Study, series: Series) -> "Canvas":
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(7.2, 3.6))
    axes = canvas.subplots()
    for number, row in enumerate(study.rows_with(series.places)):
        ours = [row.cells[place].ours for place in series.places]
        points = [(at, one) for at, one in zip(series.at, ours, strict=True) if one is not None]
        _line(axes, points, number, row.variant)
    axes.set(xlabel=series.group, ylabel=series.title, xticks=series.at)
    canvas.legend(loc="outside right upper", fontsize=8)
    return canvas


def _line(axes: "Axes", points: "list[tuple[float, Interval]]", number: int, label: str) -> None:
    """Draws a line; colours, markers and dashes all differ, so that no line is identified by only one of them."""
    at = [place for place, _ in points]
    means = [one.mean for _, one in points]
    spread = [one.half_width if one.n > 1 else 0.0 for _, one in points]
    color, marker = PALETTE[number % len(PALETTE)], "osD^vP*X"[number % 8]
    dashes = DASHES[number // len(PALETTE) % len(DASHES)]
    axes.plot(at, means, linestyle=dashes, color=color, marker=marker, markersize=4, label=label)
    axes.errorbar(at, means, yerr=spread, linestyle="none", color=color, capsize=2, elinewidth=0.8)
