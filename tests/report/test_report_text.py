"""The terminal shows what the page shows, in the width that it has; only the CLI prints."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import report_makers as made
from rich.console import Console

from bnnbench.harness.data import Availability
from bnnbench.report import text
from bnnbench.report.content import Content, gather

HOSTILE = "[bold]not markup[/bold] [/]"


def shown(content: Content, width: int) -> list[str]:
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as captured:
        for table in text.tables(content):
            console.print(table)
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [80, 120])
def test_it_fits_and_is_complete(toy: Path, tmp_path: Path, width: int, capsys: pytest.CaptureFixture[str]) -> None:
    plan = made.toy_plan(tmp_path)
    made.finish(plan, made.job(plan, "plain"), {0: 1.0, 1: 2.0, 2: 4.0})
    made.fail(plan, made.job(plan, "shifted"), HOSTILE)
    made.gathered(plan)
    made.claims(plan, {"statement": HOSTILE})
    stars = Availability("stars", "unavailable", "", "", "not here; run: bnnbench data fetch stars")
    content = gather(replace(plan, data={"stars": stars}))
    text.tables(content)
    assert capsys.readouterr().out == ""
    lines = shown(content, width)
    everything = " ".join(" ".join(lines).split())
    assert max(map(len, lines)) <= width
    assert everything.count(HOSTILE) == 2
    for word in (
        "plain",
        "shifted",
        "failed",
        "reproduced",
        "2 ± 4",
        "+1 ± 4",
        "9.5 ± 0.5 recalled",
        "not available",
    ):
        assert word in everything
    assert "not a reproduction test" in everything


def test_the_report_is_imported_without_the_heavy_libraries() -> None:
    code = """
import sys
import bnnbench.report.page, bnnbench.report.text, bnnbench.report.comparison
print(sorted({"pandas", "matplotlib", "rich", "jinja2", "torch", "scipy"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
