"""What an experiment sees while it runs: its seed's random streams, its device, data, log and checkpoints."""

import hashlib
import json
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from bnnbench.harness import history
from bnnbench.harness.energy import Meter
from bnnbench.harness.experiment import Diverged
from bnnbench.harness.files import locked, write_atomic
from bnnbench.harness.processes import ALONE, Team
from bnnbench.harness.seeds import derive

if TYPE_CHECKING:
    import numpy as np
    import torch

CHECKPOINT_SECONDS = 15.0


class Progress(Protocol):
    """Told of what goes on; the command line draws it."""

    def waiting(self) -> None:
        """Another process holds the job or the GPU."""

    def step(self, seed: int, done: int, total: int, values: Mapping[str, float]) -> None:
        """`done` of `total` steps are computed; `values` were logged last."""


@dataclass(frozen=True)
class Shelf:
    """Where jobs keep what they share, what all of it depends on, and the identity of each data set."""

    folder: Path
    basis: str = ""
    identities: tuple[tuple[str, str], ...] = ()


class Run:
    """One seed of one job. Everything random must come from `generator` or `rng`, or from torch's global stream.

    Where several processes compute it together (`team`), each has a `Run`; only that of rank 0 writes.
    """

    def __init__(
        self,
        seed: int,
        device: str,
        folder: Path,
        data: Callable[[str], Any],
        progress: Progress | None = None,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        team: Team = ALONE,
        shelf: Shelf | None = None,
    ) -> None:
        self.seed = seed
        self.team = team
        self.device = device
        self.data = data
        self.resumed = 0
        self._shelf = shelf or Shelf(folder / "shared")
        self._history = folder / "history.jsonl"
        self._checkpoint = folder / "partial" / f"seed-{seed}.pt"
        self._progress = progress
        self._interval = checkpoint_seconds
        self._generators: dict[str, torch.Generator] = {}
        self._rngs: dict[str, np.random.Generator] = {}
        self._values: dict[str, float] = {}
        self._start = time.monotonic(), time.process_time()
        self._meter = Meter()
        self._spent_before: tuple[float, float, float | None] = (0.0, 0.0, 0.0)
        self._last_checkpoint = time.monotonic()
        self._saved = self._read_checkpoint()

    def generator(self, axis: str) -> "torch.Generator":
        """The torch stream of `axis` ("split", "init", "noise"): the same object at every call (on the CPU)."""
        if axis not in self._generators:
            import torch

            self._generators[axis] = torch.Generator().manual_seed(derive(self.seed, axis))
        return self._generators[axis]

    def rng(self, axis: str) -> "np.random.Generator":
        """The NumPy stream of `axis`: the same object at every call."""
        if axis not in self._rngs:
            import numpy as np

            self._rngs[axis] = np.random.default_rng(derive(self.seed, axis))
        return self._rngs[axis]

    def shared(
        self,
        name: str,
        inputs: Mapping[str, Any],
        datasets: Sequence[str],
        compute: Callable[["Run"], Mapping[str, Any]],
    ) -> Mapping[str, Any]:
        """What several jobs need, such as a trained net: computed by the first, then kept.

        `inputs` and `datasets` are all that it depends on besides the seed and the experiment's code. `compute` gets a
        run of its own, with the same seed, and returns tensors, numbers, strings and containers of them. Others wait
        meanwhile; a damaged file is computed again.
        """
        data = [identity for dataset, identity in self._shelf.identities if dataset in datasets]
        parts = [name, dict(inputs), data, self._shelf.basis, self.seed, self.device]
        about = json.dumps(parts, sort_keys=True, default=str)
        folder = self._shelf.folder / f"{name}-{hashlib.blake2b(about.encode(), digest_size=8).hexdigest()}"
        with locked(folder / ".lock", self._progress.waiting if self._progress else None):
            kept = folder / "content.pt"
            if (found := _read_saved(kept)) is None:
                own = Run(self.seed, self.device, folder, self.data, self._progress, self._interval, shelf=self._shelf)
                found = dict(compute(own))
                write_atomic(kept, _saved(found))
                own.discard_checkpoint()
            return found

    def steps(self, total: int, start: int = 0) -> Iterator[int]:
        """`range(start, total)`, shown as progress."""
        for step in range(start, total):
            yield step
            if self._progress is not None:
                self._progress.step(self.seed, step + 1, total, self._values)

    def log(self, step: int, **values: float) -> None:
        """Appends a point to the curves; a number that is not finite raises `Diverged`, which is recorded."""
        for name, value in values.items():
            if not math.isfinite(value):
                raise Diverged(f"{name} is {value} at step {step}")
        self._values = dict(values)
        self._meter.joules()
        if self.team.rank == 0:
            history.append(self._history, {"seed": self.seed, "step": step, "time": time.time(), **values})

    def checkpoint(self, step: int, state: Callable[[], Mapping[str, Any]]) -> None:
        """Saves `state()` and all random streams after `step`, if the last save is some seconds ago.

        `state()` holds tensors, numbers, strings and containers of them; nothing else is read back.
        """
        if self.team.rank != 0 or time.monotonic() - self._last_checkpoint < self._interval:
            return
        start = time.monotonic()
        content = {
            "step": step,
            "state": dict(state()),
            "streams": self._streams(),
            "spent": self.spent(),
            "resumed": self.resumed,
        }
        write_atomic(self._checkpoint, _saved(content))
        self._last_checkpoint = time.monotonic()
        if self._interval:  # a large net spends at most a twentieth of its time on saving itself
            self._interval = max(self._interval, 20 * (self._last_checkpoint - start))

    def restore(self) -> tuple[int, Mapping[str, Any]] | None:
        """The step and state of this job's last checkpoint, with all random streams put back; or `None`.

        What was logged after that step is forgotten, since it is computed again.
        """
        content, self._saved = self._saved, None
        if self.team.rank == 0:
            history.rewind(self._history, self.seed, None if content is None else content["step"])
        if content is None:
            return None
        self._put_back(content["streams"])
        wall, cpu, joules = content["spent"]
        self._spent_before = (wall, cpu, joules)
        self.resumed = content["resumed"] + 1
        return content["step"], content["state"]

    def spent(self) -> tuple[float, float, float | None]:
        """Wall seconds, CPU seconds and joules of this seed, those before a kill included (up to the checkpoint)."""
        wall, cpu = time.monotonic() - self._start[0], time.process_time() - self._start[1]
        joules, before = self._meter.joules(), self._spent_before[2]
        energy = None if joules is None or before is None else before + joules
        return self._spent_before[0] + wall, self._spent_before[1] + cpu, energy

    def discard_checkpoint(self) -> None:
        """Removes the checkpoint, once the seed's record is safe."""
        self._checkpoint.unlink(missing_ok=True)

    def forget(self) -> None:
        """Clears the curves of an earlier attempt that left no checkpoint to go on from."""
        if self._saved is None:
            history.rewind(self._history, self.seed, None)

    def _read_checkpoint(self) -> dict[str, Any] | None:
        return _read_saved(self._checkpoint)

    def _streams(self) -> dict[str, Any]:
        import numpy as np
        import torch

        kind, keys, *rest = np.random.get_state()  # noqa: NPY002
        version, state, gauss = random.getstate()
        return {
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state() if self.device == "cuda" else None,
            "python": [version, list(state), gauss],
            "numpy": [kind, np.asarray(keys).tolist(), *rest],
            "generators": {axis: generator.get_state() for axis, generator in self._generators.items()},
            "rngs": {axis: rng.bit_generator.state for axis, rng in self._rngs.items()},
        }

    def _put_back(self, streams: dict[str, Any]) -> None:
        import numpy as np
        import torch

        kind, keys, *rest = streams["numpy"]
        np.random.set_state((kind, np.array(keys, np.uint32), *rest))  # noqa: NPY002
        torch.set_rng_state(streams["torch"])
        if streams["cuda"] is not None:
            torch.cuda.set_rng_state(streams["cuda"])
        version, state, gauss = streams["python"]
        random.setstate((version, tuple(state), gauss))
        for axis, saved in streams["generators"].items():
            self.generator(axis).set_state(saved)
        for axis, saved in streams["rngs"].items():
            self.rng(axis).bit_generator.state = saved


def _saved(content: Mapping[str, Any]) -> bytes:
    import torch

    buffer = BytesIO()  # torch.save into a file would answer a full disk with a RuntimeError
    torch.save(dict(content), buffer)
    return buffer.getvalue()


def _read_saved(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    import torch

    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # damaged from outside, in whatever way: starting over is right, only slower
        return None
    return content
