"""Tables for the terminal in one style. Text is shown literally, as a reason may look like markup of rich."""

from typing import TYPE_CHECKING

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
    "better": "green",
    "worse": "red",
    "changed": "yellow",
    "no interval": "yellow",
}


def table(title: str, *columns: str, right: tuple[str, ...] = (), caption: str = "") -> "Table":
    """An empty table with a title; the columns named in `right` are aligned to the right."""
    from rich import box
    from rich.table import Table

    grid = Table(
        title=plain(title),
        title_justify="left",
        title_style="bold",
        caption=plain(caption) if caption else None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for name in columns:
        grid.add_column(name, overflow="fold", justify="right" if name in right else "left")
    return grid


def plain(text: str, style: str = "") -> "Text":
    """Text without markup."""
    from rich.text import Text

    return Text(text, style=style)


def word(name: str) -> "Text":
    """A verdict or a status in its colour."""
    return plain(name, STYLES.get(name, ""))


def counts(numbers: dict[str, int]) -> "Text":
    """Counts as a text, such as `2 ok, 1 failed`."""
    return plain(", ").join(plain(f"{count} {name}", STYLES.get(name, "")) for name, count in numbers.items())
