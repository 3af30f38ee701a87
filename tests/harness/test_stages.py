"""Several fits in one run: each has curves and checkpoints of its own, and no state goes to another."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bnnbench.harness import history, saved
from bnnbench.harness.run import Run, Stage

STEPS = 6


class Killed(BaseException):
    """The process ends here."""


def run(folder: Path, seed: int = 0) -> Run:
    torch.manual_seed(seed)
    return Run(seed, "cpu", folder, lambda name: name, checkpoint_seconds=0)


def fit(journal: Run | Stage, draw: Callable[[], float], kill: int | None = None) -> float:
    total, first = 0.0, 0
    if (restored := journal.restore()) is not None:
        first, state = restored
        total = state["total"]
    for step in journal.steps(STEPS, first):
        total += draw()
        journal.log(step + 1, total=total)
        journal.checkpoint(step + 1, lambda total=total: {"total": total})  # type: ignore[misc]
        if step + 1 == kill:
            raise Killed
    return total


def two_fits(made: Run, named: bool, kill: tuple[int, int] | None = None) -> list[float]:
    found = []
    for k in range(2):
        journal = made.stage(f"round-{k}") if named else made
        stop = kill[1] if kill is not None and kill[0] == k else None
        found.append(fit(journal, lambda: noise(made), stop))
    return found


def noise(made: Run) -> float:
    """Of a stream of the run and of torch's global one."""
    return torch.rand((), generator=made.generator("noise")).item() + torch.rand(()).item()


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("kill", list(itertools.product((0, 1), (1, 3, STEPS))))
def test_a_run_killed_in_either_fit_goes_on_to_the_same_numbers_and_curves(
    tmp_path: Path, named: bool, kill: tuple[int, int]
) -> None:
    def rows(folder: Path) -> list[tuple[object, ...]]:
        kept = history.read(folder / "history.jsonl").rows
        return sorted(tuple((k, v) for k, v in row.items() if k != "time") for row in kept)

    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = two_fits(run(tmp_path / "whole"), named)
    with pytest.raises(Killed):
        two_fits(run(tmp_path / "killed"), named, kill)
    assert two_fits(run(tmp_path / "killed"), named) == whole
    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")
    assert len(rows(tmp_path / "whole")) == 2 * STEPS


def test_curves_carry_the_name_of_their_stage(tmp_path: Path) -> None:
    made = run(tmp_path)
    two_fits(made, True)
    names = {name for row in history.read(tmp_path / "history.jsonl").rows for name, _ in history.curves(row)}
    assert names == {"round-0/total", "round-1/total"}


@pytest.mark.parametrize("lost", ["first row", "file"])
def test_a_stage_whose_curves_lack_rows_is_computed_anew(tmp_path: Path, lost: str) -> None:
    whole = fit(run(tmp_path), lambda: torch.rand(()).item(), None)
    (tmp_path / "killed").mkdir()
    made = run(tmp_path / "killed")
    with pytest.raises(Killed):
        fit(made, lambda: torch.rand(()).item(), 4)
    path = tmp_path / "killed" / "history.jsonl"
    if lost == "file":
        path.unlink()
    else:
        path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    assert fit(run(tmp_path / "killed"), lambda: torch.rand(()).item()) == whole
    assert len(history.read(path).rows) == STEPS


@pytest.mark.parametrize("change", ["seed", "stage", "job", "entry", "kind"])
def test_a_checkpoint_of_something_else_is_a_fresh_start(tmp_path: Path, change: str) -> None:
    made = run(tmp_path)
    with pytest.raises(Killed):
        fit(made, lambda: 1.0, 4)
    path = tmp_path / "partial" / "seed-0.pt"
    content = saved.read(path)
    assert content is not None
    if change == "entry":
        del content["streams"]
    else:
        wrong: dict[str, tuple[str, object]] = {"seed": ("seed", 1), "stage": ("stage", "b"), "job": ("job", "x")}
        name, value = wrong.get(change, ("step", "4"))
        content[name] = value
    saved.write(path, content)
    assert run(tmp_path).restore() is None


@pytest.mark.parametrize("values", [{"seed": 1}, {"time": 2.0}, {"stage": 1}])
def test_names_that_the_log_keeps_for_itself_are_refused(tmp_path: Path, values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="this name is the log's own"):
        run(tmp_path).log(1, **values)


@pytest.mark.parametrize("name", ["", "a/b", "../x", "a\nb"])
def test_a_stage_has_a_name_that_a_file_can_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="stage"):
        run(tmp_path).stage(name)


def test_what_is_done_again_after_a_kill_is_not_counted_twice(tmp_path: Path) -> None:
    made = run(tmp_path)
    with pytest.raises(Killed):
        fit(made, lambda: 1.0, 4)
    again = run(tmp_path)
    again._start = (again._start[0] - 100, again._start[1] - 100)
    again.restore()
    assert again.spent()[0] < 50
    assert again.resumed == 1
