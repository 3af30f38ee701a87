"""What jobs share: computed once, by whoever comes first, and never mistaken for something else."""

import multiprocessing
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from bnnbench.harness.run import Run, SharedStore


def run(folder: Path, store: SharedStore, seed: int = 0) -> Run:
    return Run(seed, "cpu", folder, lambda name: name, checkpoint_seconds=0, store=store)


def counted(calls: list[int], value: float = 1.0) -> Any:
    def compute(own: Run) -> Mapping[str, Any]:
        calls.append(own.seed)
        return {"draw": torch.rand(3, generator=own.generator("draw")), "value": value}

    return compute


def test_it_is_computed_once_and_is_the_same_for_all(tmp_path: Path) -> None:
    store, calls = SharedStore(tmp_path / "shared"), list[int]()
    first = run(tmp_path / "a", store).shared("net", {"width": 3}, (), counted(calls))
    other = run(tmp_path / "b", store)
    before = other.generator("draw").get_state()
    second = other.shared("net", {"width": 3}, (), counted(calls))
    assert calls == [0]
    assert torch.equal(first["draw"], second["draw"])
    assert torch.equal(other.generator("draw").get_state(), before)  # whoever computes it draws nothing of its own


@pytest.mark.parametrize("change", ["name", "inputs", "data", "basis", "seed"])
def test_whatever_it_depends_on_makes_another(tmp_path: Path, change: str) -> None:
    calls = list[int]()
    store = SharedStore(tmp_path / "shared", "code", (("mnist", "x"), ("cifar10", "y")))
    run(tmp_path, store).shared("net", {"width": 3}, ("mnist",), counted(calls))
    if change == "basis":
        store = SharedStore(tmp_path / "shared", "other code", store.identities)
    if change == "data":
        store = SharedStore(tmp_path / "shared", "code", (("mnist", "z"), ("cifar10", "y")))
    name, inputs = ("hmc" if change == "name" else "net"), {"width": 4 if change == "inputs" else 3}
    run(tmp_path, store, int(change == "seed")).shared(name, inputs, ("mnist",), counted(calls))
    assert len(calls) == 2
    unrelated = SharedStore(store.folder, "code", (("mnist", "x"), ("cifar10", "another")))
    run(tmp_path, unrelated).shared("net", {"width": 3}, ("mnist",), counted(calls))
    assert len(calls) == 2


def test_a_damaged_file_is_computed_again(tmp_path: Path) -> None:
    store, calls = SharedStore(tmp_path / "shared"), list[int]()
    run(tmp_path, store).shared("net", {}, (), counted(calls))
    (path,) = (tmp_path / "shared").glob("*/content.pt")
    path.write_bytes(path.read_bytes()[:-20])
    run(tmp_path, store).shared("net", {}, (), counted(calls))
    assert len(calls) == 2


def test_a_killed_computation_goes_on(tmp_path: Path) -> None:
    store = SharedStore(tmp_path / "shared")
    starts = []

    def compute(own: Run, stop: int) -> Mapping[str, Any]:
        total, first = 0.0, 0
        if (restored := own.restore()) is not None:
            first, state = restored
            total = state["total"]
        starts.append(first)
        for step in own.steps(6, start=first):
            total += torch.rand((), generator=own.generator("draw")).item()
            own.checkpoint(step + 1, lambda total=total: {"total": total})  # type: ignore[misc]
            if step + 1 == stop:
                raise KeyboardInterrupt
        return {"total": total}

    whole = run(tmp_path, SharedStore(tmp_path / "whole")).shared("sum", {}, (), lambda own: compute(own, 99))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, store).shared("sum", {}, (), lambda own: compute(own, 3))
    found = run(tmp_path, store).shared("sum", {}, (), lambda own: compute(own, 99))
    assert starts == [0, 0, 3]
    assert found["total"] == whole["total"]


def _slow(folder: Path, calls: Any) -> None:
    def compute(own: Run) -> Mapping[str, Any]:
        with calls.get_lock():
            calls.value += 1
        time.sleep(0.5)
        return {"x": 1.0}

    run(folder, SharedStore(folder / "shared")).shared("net", {}, (), compute)


def test_processes_that_ask_at_once_compute_it_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    calls = context.Value("i", 0)
    processes = [context.Process(target=_slow, args=(tmp_path, calls)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    assert calls.value == 1


def test_the_global_streams_are_the_same_for_who_computes_and_who_reads(tmp_path: Path) -> None:
    def compute(own: Run) -> Mapping[str, Any]:
        return {"draw": torch.rand(3)}

    def after(name: str, ahead: int) -> tuple[Any, float]:
        torch.manual_seed(5)
        torch.rand(ahead)
        found = run(tmp_path / name, SharedStore(tmp_path / "shared")).shared("net", {}, (), compute)
        return found["draw"], torch.rand(()).item()

    (computed, then), (read, later) = after("a", 2), after("b", 2)
    assert (computed.tolist(), then) == (read.tolist(), later)
    torch.manual_seed(5)
    torch.rand(7)  # whatever was drawn before
    elsewhere = run(tmp_path / "c", SharedStore(tmp_path / "other")).shared("net", {}, (), compute)["draw"]
    assert elsewhere.tolist() == computed.tolist()


def test_warnings_reach_every_job_that_shares(tmp_path: Path) -> None:
    import warnings

    from bnnbench.errors import ResultWarning
    from bnnbench.harness.caught import result_warnings

    def compute(own: Run) -> Mapping[str, Any]:
        warnings.warn("it did not converge", ResultWarning, stacklevel=1)
        return {}

    for name in ("a", "b"):
        with result_warnings() as said:
            run(tmp_path / name, SharedStore(tmp_path / "shared")).shared("net", {}, (), compute)
        assert said == ["it did not converge"]


@pytest.mark.parametrize("entry", ["about", "content", "warnings"])
def test_a_file_without_the_expected_entries_is_computed_again(tmp_path: Path, entry: str) -> None:
    from bnnbench.harness import saved

    store, calls = SharedStore(tmp_path / "shared"), list[int]()
    run(tmp_path, store).shared("net", {}, (), counted(calls))
    (path,) = (tmp_path / "shared").glob("*/content.pt")
    content = saved.read(path)
    assert content is not None
    saved.write(path, {name: value for name, value in content.items() if name != entry})
    run(tmp_path, store).shared("net", {}, (), counted(calls))
    assert len(calls) == 2


def test_data_that_the_job_does_not_declare_are_refused(tmp_path: Path) -> None:
    run = Run(
        0, "cpu", tmp_path / "job", lambda name: name, store=SharedStore(tmp_path / "shared", "b", (("mnist", "x"),))
    )
    with pytest.raises(ValueError, match=r"shared result 'net': data sets \['mnits'\] are not among the declared"):
        run.shared("net", {}, ["mnits"], lambda own: {})
