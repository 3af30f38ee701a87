"""Kernel timings as one picture: the speed of every candidate by group, with the measured limit."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bnnbench.harness.figure import PALETTE, Figure, render
from bnnbench.harness.timings import Timing

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


def draw(timings: Sequence[Timing], limit_gops: float, path: Path) -> None:
    """Writes an SVG of Gops/s (logarithmic) for products, convolutions and nets; packing has another unit."""
    title = "Speed of binary kernels and their peers"
    shown = [timing for timing in timings if not timing.group.startswith(("pack", "all threads"))]
    render(Figure("kernels", title, "", "", (), lambda _: _bars(shown, limit_gops)), None, path)


def _bars(timings: Sequence[Timing], limit_gops: float) -> "Canvas":
    from matplotlib.figure import Figure as Canvas

    groups = list(dict.fromkeys(timing.group for timing in timings))
    names = list(dict.fromkeys(timing.candidate for timing in timings))
    canvas = Canvas(figsize=(7.2, 0.62 * len(groups) + 1.6))
    axes = canvas.subplots()
    for index, name in enumerate(names):
        by_group = {timing.group: timing.gops for timing in timings if timing.candidate == name}
        rows = [row for row, group in enumerate(groups) if group in by_group]
        speeds = [by_group[groups[row]] for row in rows]
        marker, color = "osD^vP*X"[index % 8], PALETTE[index % len(PALETTE)]
        axes.plot(speeds, rows, linestyle="none", markersize=7, marker=marker, color=color, label=name)
    axes.axvline(limit_gops, color="#000000", linestyle="--", linewidth=1, label="limit of this processor")
    axes.set_yticks(range(len(groups)), groups)
    axes.invert_yaxis()
    axes.set(xscale="log", xlabel="binary operations per second (Gops/s), one thread")
    canvas.legend(loc="outside upper center", ncols=3)
    return canvas
