"""What a long fit tells and asks while it runs, so that it can be watched, killed and continued.

The `Run` of an experiment is a `Journal`; a method knows only what is here.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from typing import Any, Protocol

import torch
from torch import Generator, Tensor

State = Mapping[str, Any]


class Journal(Protocol):
    """Progress, curves and checkpoints of a fit; states hold tensors, numbers, strings and containers of them."""

    def steps(self, total: int, start: int = 0) -> Iterator[int]:
        """`range(start, total)`, perhaps shown as progress."""

    def log(self, step: int, **values: float) -> None:
        """A point of the curves."""

    def checkpoint(self, step: int, state: Callable[[], State]) -> None:
        """Saves `state()` after `step`, now or when it is time."""

    def restore(self) -> tuple[int, State] | None:
        """The step and state to go on from."""


class Silent:
    """A journal that keeps nothing."""

    def steps(self, total: int, start: int = 0) -> Iterator[int]:
        """`range(start, total)`."""
        return iter(range(start, total))

    def log(self, step: int, **values: float) -> None:
        """Nothing."""

    def checkpoint(self, step: int, state: Callable[[], State]) -> None:
        """Nothing."""

    def restore(self) -> tuple[int, State] | None:
        """Nothing to go on from."""
        return None


SILENT = Silent()


def streams(generator: Generator) -> list[Tensor]:
    """The states of `generator`, of torch's global stream and, where a GPU is in use, of the GPU's."""
    on_gpu = [torch.cuda.get_rng_state()] if torch.cuda.is_initialized() else []
    return [generator.get_state(), torch.get_rng_state(), *on_gpu]


def put_back(generator: Generator, states: Sequence[Tensor]) -> None:
    """Sets `generator` and torch's global streams to what `streams` gave."""
    own, on_cpu, *on_gpu = [state.cpu() for state in states]  # states are set from the CPU, whatever they are of
    generator.set_state(own)
    torch.set_rng_state(on_cpu)
    if on_gpu and torch.cuda.is_available():
        torch.cuda.set_rng_state(on_gpu[0])


def moved(tree: Any, device: torch.device) -> Any:
    """A copy of containers of tensors, numbers and strings with all tensors on `device`."""
    if isinstance(tree, Tensor):
        return tree.to(device)
    if isinstance(tree, dict):
        found = copy(tree)  # a module's state also has attributes
        found.update((key, moved(value, device)) for key, value in tree.items())
        return found
    if isinstance(tree, list | tuple):
        return type(tree)(moved(value, device) for value in tree)
    return tree


class Resumable:
    """`journal` for one fit: random streams go into its checkpoints, and what it restores lies on `device`."""

    def __init__(self, journal: Journal, generator: Generator, device: torch.device) -> None:
        self.steps, self.log = journal.steps, journal.log
        self._journal, self._generator, self._device = journal, generator, device

    def checkpoint(self, step: int, state: Callable[[], State]) -> None:
        """Saves `state()` and the random streams."""
        self._journal.checkpoint(step, lambda: {"state": dict(state()), "streams": streams(self._generator)})

    def restore(self) -> tuple[int, State] | None:
        """The step and state to go on from, with the random streams put back."""
        if (restored := self._journal.restore()) is None:
            return None
        step, saved = restored
        put_back(self._generator, saved["streams"])
        return step, moved(saved["state"], self._device)


class Stages:
    """Several fits, one after the other, in one journal: those that ended are kept in its checkpoints.

    A continued job replays what lies between its stages, so random streams are put back to where they were: at the
    start, at the end of every stage that is kept, and, when the stage in the middle asks to be restored, at its
    checkpoint.
    """

    def __init__(self, journal: Journal, generator: Generator) -> None:
        self.journal = journal
        self.step = 0
        self._generator = generator
        self._start = streams(generator)
        self._done: dict[str, State] = {}
        self._current: State | None = None
        if (restored := journal.restore()) is not None:
            self.step, saved = restored
            self._start, self._done, self._current = saved["start"], dict(saved["done"]), saved["current"]
            put_back(generator, self._start)

    def run(self, name: str, fit: Callable[[Journal], State]) -> State:
        """What `fit` returns; computed once, and continued where a checkpoint lies in the middle of it."""
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
