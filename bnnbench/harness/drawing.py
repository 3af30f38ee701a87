"""Drawing the figures of a paper from the collected tables."""

from pathlib import Path

from bnnbench.errors import UserError
from bnnbench.harness import paper
from bnnbench.harness.collect import Results
from bnnbench.harness.config import unknown
from bnnbench.harness.figure import Figure, render
from bnnbench.harness.plan import Plan


def figures(name: str) -> dict[str, Figure]:
    """The figures that the paper `name` declares, by name and in the order of its experiments."""
    return {figure.name: figure for figure in paper.get(name).declared("figures", Figure)}


def path(plan: Plan, paper_name: str, figure: str) -> Path:
    """The file of a figure."""
    return plan.config.folder() / "figures" / paper_name / f"{figure}.svg"


def draw(plan: Plan, paper_name: str, figure: str) -> None:
    """Draws one figure from the tables of the experiments that it names."""
    known = figures(paper_name)
    if figure not in known:
        raise UserError(f"{paper_name}: {unknown('figure', figure, sorted(known))}")
    chosen = known[figure]
    render(chosen, Results.load(plan, chosen.experiments), path(plan, paper_name, figure))
