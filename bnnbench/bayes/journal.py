"""Progress, curves and checkpoints of a long fit, so that it can be watched, killed and continued.

The `Run` of an experiment is a `Journal`; methods use only the protocol defined here.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from functools import cache
from typing import Any, Protocol

import torch
from torch import Generator, Tensor

State = Mapping[str, Any]
POINTS = 300  # approximate number of points of a curve


def is_logged(k: int, total: int) -> bool:
    """Whether step k of `total` is a point of the curves: about `POINTS` evenly spaced steps are, and also the last."""
    return k == total - 1 or k * POINTS // total > (k - 1) * POINTS // total


class Journal(Protocol):
    """Progress, curves and checkpoints of a fit; states hold tensors, numbers, strings and containers of them."""

    def steps(self, total: int, start: int = 0) -> Iterator[int]:
        """`range(start, total)`, perhaps shown as progress."""

    def log(self, step: int, **values: float) -> None:
        """Adds a point to the curves."""

    def checkpoint(self, step: int, state: Callable[[], State]) -> None:
        """Offers `state()` after `step`; the journal decides whether to save it now."""

    def restore(self) -> tuple[int, State] | None:
        """The step and state to continue from, or `None`."""


class Silent:
    """A journal that keeps nothing."""

    def steps(self, total: int, start: int = 0) -> Iterator[int]:
        """`range(start, total)`."""
        return iter(range(start, total))

    def log(self, step: int, **values: float) -> None:
        """Does nothing."""

    def checkpoint(self, step: int, state: Callable[[], State]) -> None:
        """Does nothing."""

    def restore(self) -> tuple[int, State] | None:
        """`None`, as nothing was saved."""
        return None


SILENT = Silent()


def streams(generator: Generator) -> list[Tensor]:
    """The states of `generator`, of torch's global CPU stream and, where a GPU is in use, of its global stream."""
    on_gpu = [torch.cuda.get_rng_state()] if torch.cuda.is_initialized() else []
    return [generator.get_state(), torch.get_rng_state(), *on_gpu]


def put_back(generator: Generator, states: Sequence[Tensor]) -> None:
    """Sets `generator` and torch's global streams to the states that `streams` returned."""
    own, on_cpu, *on_gpu = [state.cpu() for state in states]  # torch takes states from the CPU, also those of a GPU
    generator.set_state(own)
    torch.set_rng_state(on_cpu)
    if on_gpu and torch.cuda.is_available():
        torch.cuda.set_rng_state(on_gpu[0])


def took_up(generator: Generator, states: Any) -> bool:
    """Calls `put_back` and returns `True`; where the states are not valid, restores the streams and returns `False`."""
    before = streams(generator)
    try:
        put_back(generator, states)
    except (TypeError, ValueError, AttributeError, RuntimeError):
        put_back(generator, before)
        return False
    return True


def moved(tree: Any, device: torch.device) -> Any:
    """A copy of containers of tensors, numbers and strings with all tensors on `device`."""
    if isinstance(tree, Tensor):
        return tree.to(device)
    if isinstance(tree, dict):
        copied = copy(tree)  # the state of a module also has attributes, which the copy keeps
        copied.update((key, moved(value, device)) for key, value in tree.items())
        return copied
    if isinstance(tree, list | tuple):
        return type(tree)(moved(value, device) for value in tree)
    return tree


class Resumable:
    """`journal` for one fit, whose identity and random streams go into checkpoints; restored tensors are on `device`.

    `identity()` describes the fit in numbers, strings and containers of them. It is called only where there is
    something to save or to restore.
    """

    def __init__(
        self, journal: Journal, generator: Generator, device: torch.device, identity: Callable[[], State]
    ) -> None:
        self.steps, self.log = journal.steps, journal.log
        self._journal, self._generator, self._device, self._identity = journal, generator, device, cache(identity)

    def checkpoint(self, step: int, state: Callable[[], State]) -> None:
        """Saves `state()`, the random streams and the identity of the fit."""
        self._journal.checkpoint(
            step, lambda: {"fit": self._identity(), "state": dict(state()), "streams": streams(self._generator)}
        )

    def restore(self) -> tuple[int, State] | None:
        """The step and state to continue from, with the random streams put back.

        A checkpoint of another fit, or one that was not written by a fit, is ignored, and the streams stay as they are.
        """
        before = streams(self._generator)  # some journals put the streams back themselves
        if (restored := self._journal.restore()) is None:
            return None
        step, saved = restored
        ours = _holds(saved, fit=Mapping, state=Mapping, streams=list | tuple) and saved["fit"] == self._identity()
        if ours and took_up(self._generator, saved["streams"]):
            return step, moved(saved["state"], self._device)
        put_back(self._generator, before)
        return None


def _holds(saved: Any, **entries: Any) -> bool:
    """Whether `saved` is a mapping with these entries of these types."""
    return isinstance(saved, Mapping) and all(
        name in saved and isinstance(saved[name], kind) for name, kind in entries.items()
    )


class Stages:
    """Several fits, one after the other, in one journal; its checkpoints keep the results of those that are finished.

    A continued job replays the code between its stages, so random streams are put back to where they were: at the
    start, at the end of every finished stage, and, when the interrupted stage asks to be restored, at its checkpoint.
    A checkpoint that was not written by such a fit is ignored.
    """

    def __init__(self, journal: Journal, generator: Generator) -> None:
        self.journal = journal
        self.step = 0
        self._generator = generator
        self._start = streams(generator)
        self._done: dict[str, State] = {}
        self._current: State | None = None
        if (restored := journal.restore()) is None:
            return
        step, saved = restored
        if _are_stages(saved) and took_up(generator, saved["start"]):
            self.step, self._start = step, saved["start"]
            self._done, self._current = dict(saved["done"]), saved["current"]
        else:
            put_back(generator, self._start)

    def run(self, name: str, fit: Callable[[Journal], State]) -> State:
        """What `fit` returns: computed once, and continued where a checkpoint was written in the middle of it."""
        if name in self._done:
            self.put_back(self._done[name]["streams"])
        else:
            stage = _Stage(self, name, self.step)
            if self._current is not None and self._current["name"] == name:
                stage = _Stage(self, name, self._current["first"], self._current)
            self._current = None
            result = fit(stage)
            self._done[name] = {"result": result, "streams": streams(self._generator)}
            self._save(None)
        kept: State = self._done[name]["result"]
        return kept

    def save(self, name: str, first: int, step: int, state: Callable[[], State]) -> None:
        """A checkpoint within stage `name`, `step` steps after its start at `first`."""
        self.step = first + step
        self._save(lambda: {"name": name, "first": first, "step": step, "state": state()})

    def put_back(self, states: Sequence[Tensor]) -> None:
        """Sets the random streams to saved states."""
        put_back(self._generator, states)

    def _save(self, current: Callable[[], State] | None) -> None:
        def state() -> State:
            inner = None if current is None else {**current(), "streams": streams(self._generator)}
            return {"start": self._start, "done": self._done, "current": inner}

        self.journal.checkpoint(self.step, state)


def _are_stages(saved: Any) -> bool:
    if not _holds(saved, start=list | tuple, done=Mapping, current=Mapping | None):
        return False
    done = all(_holds(stage, result=Mapping, streams=list | tuple) for stage in saved["done"].values())
    current = saved["current"]
    return done and (
        current is None or _holds(current, name=str, first=int, step=int, state=Mapping, streams=list | tuple)
    )


class _Stage:
    def __init__(self, stages: Stages, name: str, first: int, saved: State | None = None) -> None:
        self._stages, self._name, self._first, self._saved = stages, name, first, saved

    def steps(self, total: int, start: int = 0) -> Iterator[int]:
        return self._stages.journal.steps(total, start)

    def log(self, step: int, **values: float) -> None:
        self._stages.step = self._first + step
        self._stages.journal.log(self._stages.step, **{f"{self._name}_{key}": value for key, value in values.items()})

    def checkpoint(self, step: int, state: Callable[[], State]) -> None:
        self._stages.save(self._name, self._first, step, state)

    def restore(self) -> tuple[int, State] | None:
        saved, self._saved = self._saved, None
        if saved is None:
            return None
        self._stages.put_back(saved["streams"])
        return saved["step"], saved["state"]
