"""Figures and tables of a paper redrawn from results, in one style: readable at report size, colour-blind safe."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnnbench.harness.collect import NotRun, Results
from bnnbench.harness.files import produce_atomic, seal

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

# The palette of Okabe and Ito is distinct for every common form of colour blindness.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")
STYLE: dict[str, Any] = {
    "figure.figsize": (7.2, 4.0),
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "svg.hashsalt": "bnnbench",
}


@dataclass(frozen=True)
class Figure:
    """A figure of a paper: its name (a Snakemake target), title, caption, and a function that draws it from results."""

    name: str
    title: str
    caption: str
    source: str
    experiments: tuple[str, ...]
    draw: Callable[[Results], "Canvas"]


def figure(
    name: str, title: str, caption: str, source: str, experiments: Sequence[str]
) -> Callable[[Callable[[Results], "Canvas"]], Figure]:
    """Declares the decorated function as a figure; its module must import matplotlib inside functions."""

    def declare(draw: Callable[[Results], "Canvas"]) -> Figure:
        return Figure(name, title, caption, source, tuple(experiments), draw)

    return declare


def render(figure: Figure, results: Any, path: Path) -> None:
    """Draws `figure` as SVG; where results are missing, the picture says which."""
    import matplotlib as mpl
    from cycler import cycler

    mpl.use("svg")
    style: Any = {**STYLE, "axes.prop_cycle": cycler(color=list(PALETTE))}
    with mpl.rc_context(style):
        try:
            canvas = figure.draw(results)
        except NotRun as missing:
            canvas = _placeholder(str(missing))
        except Exception as error:  # an error in one figure must not prevent the report
            canvas = _placeholder(f"drawing failed: {type(error).__name__}: {error}")
        metadata = {"Date": None, "Title": figure.title}
        produce_atomic(path, lambda partial: canvas.savefig(partial, format="svg", metadata=metadata))
    seal(path)


def _placeholder(reason: str) -> "Canvas":
    import textwrap

    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(7.2, 1.2))
    text = "\n".join(textwrap.wrap(f"Not drawn: {reason}", 90))
    canvas.text(0.02, 0.5, text, va="center", color="#555555")
    return canvas
