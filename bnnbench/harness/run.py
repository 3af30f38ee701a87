"""The interface of an experiment while it runs: its seed's random streams, its device, data, log and checkpoints."""

import hashlib
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from bnnbench.errors import Diverged
from bnnbench.harness import history, saved
from bnnbench.harness.caught import result_warnings, warn_again
from bnnbench.harness.energy import Meter
from bnnbench.harness.files import clear, locked, writing
from bnnbench.harness.processes import ALONE, Team
from bnnbench.harness.seeds import derive
from bnnbench.harness.values import check_name, check_part, number, whole_step

if TYPE_CHECKING:
    import numpy as np
    import torch

CHECKPOINT_SECONDS = 15.0


class Progress(Protocol):
    """Receives the progress of a job; the command line displays it."""

    def waiting(self) -> None:
        """Another process holds the job or the GPU."""

    def step(self, seed: int, done: int, total: int, values: Mapping[str, float]) -> None:
        """`done` of `total` steps are computed; `values` were logged last."""


@dataclass(frozen=True)
class SharedStore:
    """The folder for results that jobs share, the hash that all of them depend on, and each data set's identity."""

    folder: Path
    basis: str = ""
    identities: tuple[tuple[str, str], ...] = ()


class Run:
    """One seed of one job. All random numbers must come from `generator` or `rng`, or from torch's global stream.

    Where several processes compute a seed together (`team`), each has a `Run`; only that of rank 0 writes.

    A run has the curves and checkpoints of one fit. An experiment with several fits gives each its own `stage`.
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
        store: SharedStore | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.seed = seed
        self.team = team
        self.device = device
        self.data = data
        self.resumed = 0
        self._store = store or SharedStore(folder / "shared")
        self._folder = folder
        self._check = check
        self._progress = progress
        self._interval = checkpoint_seconds
        self._generators: dict[str, torch.Generator] = {}
        self._rngs: dict[str, np.random.Generator] = {}
        self._values: dict[str, float] = {}
        self._start = time.monotonic(), time.process_time()
        self._meter = Meter()
        self._spent_before: tuple[float, float, float | None] = (0.0, 0.0, 0.0)
        self._last_checkpoint = time.monotonic()
        if team.rank == 0:  # made now and not with the first row: a folder that disappears later is an error
            with writing(folder):
                folder.mkdir(parents=True, exist_ok=True)
        self._stages = {"": Stage(self, "")}
        self._current = self._stages[""]
        self._restored = 0

    def generator(self, axis: str) -> "torch.Generator":
        """The torch stream of `axis` ("split", "init", "noise") on the CPU; every call returns the same object."""
        if axis not in self._generators:
            import torch

            self._generators[axis] = torch.Generator().manual_seed(derive(self.seed, axis))
        return self._generators[axis]

    def rng(self, axis: str) -> "np.random.Generator":
        """The NumPy stream of `axis`; every call returns the same object."""
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
        """A result that several jobs need, such as a trained net; the first job computes it, and then it is kept.

        `inputs` and `datasets` must be all that it depends on, apart from the seed, the device and the experiment's
        code. `compute` gets its own run with the same seed, and returns tensors, numbers, strings and containers of
        them. Other jobs wait meanwhile. A damaged file is computed again.
        """
        check_part(name, "shared result")
        known = dict(self._store.identities)
        if known and (unknown := sorted(set(datasets) - known.keys())):  # without declared data sets, none can be read
            raise ValueError(f"shared result {name!r}: data sets {unknown} are not among the declared {sorted(known)}")
        data = [identity for dataset, identity in known.items() if dataset in datasets]
        parts = [name, dict(inputs), data, self._store.basis, self.seed, self.device]
        about = json.dumps(parts, sort_keys=True, default=str)
        folder = self._store.folder / f"{name}-{hashlib.blake2b(about.encode(), digest_size=8).hexdigest()}"
        with locked(folder / ".lock", self._progress.waiting if self._progress else None):
            kept = folder / "content.pt"
            stored = saved.read(kept)
            if stored is None or stored.get("about") != about or not {"content", "warnings"} <= stored.keys():
                own = Run(self.seed, self.device, folder, self.data, self._progress, self._interval, store=self._store)
                with self._apart(), result_warnings() as said:
                    stored = {"about": about, "content": dict(compute(own)), "warnings": said}
                saved.write(kept, stored)
                own.discard_checkpoints()
        warn_again(stored["warnings"])
        content: Mapping[str, Any] = stored["content"]
        return content

    @contextmanager
    def _apart(self) -> Iterator[None]:
        """Within this context the global streams start from the seed; afterwards they are restored.

        So computing a shared result and reading it leave the same streams.
        """
        before = self._streams()
        seed_global_streams(self.seed)
        try:
            yield
        finally:
            self._put_back(before)

    def steps(self, total: int, start: int = 0) -> Iterator[int]:
        """`range(start, total)`, shown as progress."""
        for step in range(start, total):
            yield step
            if self._progress is not None:
                self._progress.step(self.seed, step + 1, total, self._values)

    def stage(self, name: str) -> "Stage":
        """The journal of the fit `name`, with its own curves and checkpoints, for an experiment with several fits."""
        check_part(name, "stage")
        return self._stages.setdefault(name, Stage(self, name))

    def log(self, step: int, **values: float) -> None:
        """Appends a point to the curves; a number that is not finite raises `Diverged`, which is recorded."""
        self._current.log(step, **values)

    def checkpoint(self, step: int, state: Callable[[], Mapping[str, Any]]) -> None:
        """Saves `state()` and all random streams after `step`, unless the last save was only seconds ago.

        `state()` may hold only tensors, numbers, strings and containers of them; nothing else can be restored.
        """
        self._current.checkpoint(step, state)

    def restore(self) -> tuple[int, Mapping[str, Any]] | None:
        """The step and state of this job's last checkpoint, with all random streams put back; or `None`.

        Curves that were logged after that step are removed, since they are computed again. Each further call begins the
        next stage, as another fit begins then, so that no fit receives the state of another.
        """
        self._restored += 1
        if self._restored > 1:
            self._current = self.stage(f"fit-{self._restored}")
        return self._current.restore()

    def append(self, stage: str, step: int, values: Mapping[str, Any]) -> None:
        """Writes a row of the curves of a stage; its name becomes part of the names of the curves."""
        curves: dict[str, float] = {}
        for name, value in values.items():
            check_name(name, "curve")
            if name in history.RESERVED:
                raise ValueError(f"curve {name!r}: this name is the log's own; choose another one")
            curves[f"{stage}/{name}" if stage else name] = number(value, f"curve {name!r}")
        for name, value in curves.items():
            if not isfinite(value):
                raise Diverged(f"{name} is {value} at step {step}")
        self._values = curves
        self._meter.joules()
        if self.team.rank == 0:
            self._check()
            about = {"seed": self.seed, "step": whole_step(step), "time": time.time()}
            history.append(self._history, {**about, **({"stage": stage} if stage else {}), **curves})

    def save(self, path: Path, content: Callable[[], Mapping[str, Any]]) -> None:
        """Writes a checkpoint with all that the run needs to continue, if enough time has passed since the last one."""
        if self.team.rank != 0 or time.monotonic() - self._last_checkpoint < self._interval:
            return
        start = time.monotonic()
        self._check()
        own = {"streams": self._streams(), "spent": self.spent(), "resumed": self.resumed}
        saved.write(path, {**content(), **own})
        self._last_checkpoint = time.monotonic()
        if self._interval:  # a large net spends at most a twentieth of its time on saving itself
            self._interval = max(self._interval, 20 * (self._last_checkpoint - start))

    def go_on(self, content: Mapping[str, Any]) -> None:
        """Restores what `save` added."""
        self._put_back(content["streams"])
        wall, cpu, joules = content["spent"]
        self._spent_before = (wall, cpu, joules)
        self._start = time.monotonic(), time.process_time()  # work that is repeated since the checkpoint counts once
        self._meter = Meter()
        self.resumed = content["resumed"] + 1

    @property
    def _history(self) -> Path:
        return self._folder / "history.jsonl"

    def spent(self) -> tuple[float, float, float | None]:
        """Wall seconds, CPU seconds and joules of this seed, including those of killed runs up to their checkpoint."""
        wall, cpu = time.monotonic() - self._start[0], time.process_time() - self._start[1]
        joules, before = self._meter.joules(), self._spent_before[2]
        energy = None if joules is None or before is None else before + joules
        return self._spent_before[0] + wall, self._spent_before[1] + cpu, energy

    def discard_checkpoints(self) -> None:
        """Removes the checkpoints, once the seed's record is safe."""
        for stage in self._stages.values():
            clear(stage.path)

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
        for axis, state in streams["generators"].items():
            self.generator(axis).set_state(state)
        for axis, state in streams["rngs"].items():
            self.rng(axis).bit_generator.state = state


class Stage:
    """The curves and checkpoints of one fit, a `Journal` of bnnbench.bayes. A `Run` acts as that of its first fit."""

    def __init__(self, run: Run, name: str) -> None:
        self._run, self._name = run, name
        self.path = run._folder / "partial" / f"seed-{run.seed}{f'-{name}' if name else ''}.pt"
        self._saved = self._read()
        if self._saved is None:
            self._rewind(None)

    def steps(self, total: int, start: int = 0) -> Iterator[int]:
        """`range(start, total)`, shown as progress."""
        return self._run.steps(total, start)

    def log(self, step: int, **values: float) -> None:
        """As `Run.log`; the name of the stage precedes those of its curves."""
        self._run.append(self._name, step, values)

    def checkpoint(self, step: int, state: Callable[[], Mapping[str, Any]]) -> None:
        """As `Run.checkpoint`."""
        self._run.save(self.path, lambda: {**self._about(), "step": step, "state": dict(state()), "rows": self._rows()})

    def restore(self) -> tuple[int, Mapping[str, Any]] | None:
        """As `Run.restore`; where rows of the curves before the checkpoint are missing, the fit starts again."""
        content, self._saved = self._saved, None
        if content is None or self._rewind(content["step"]) != content["rows"]:
            self._rewind(None)
            return None
        self._run.go_on(content)
        return content["step"], content["state"]

    def _read(self) -> dict[str, Any] | None:
        """The checkpoint, if it belongs to exactly this stage, seed and job."""
        content = saved.read(self.path)
        expected = {"step": int, "state": dict, "rows": int, "streams": dict, "spent": tuple, "resumed": int}
        if content is None or any(content.get(name) != value for name, value in self._about().items()):
            return None
        return content if all(type(content.get(name)) is kind for name, kind in expected.items()) else None

    def _about(self) -> dict[str, Any]:
        return {"job": self._run._folder.name, "seed": self._run.seed, "stage": self._name}

    def _rewind(self, step: int | None) -> int:
        """Removes what was logged after `step`, and counts the rows up to it."""
        if self._run.team.rank == 0:
            history.rewind(self._run._history, self._run.seed, self._name, step)
        return 0 if step is None else self._rows(step)

    def _rows(self, last: float = inf) -> int:
        rows = history.read(self._run._history).rows
        return sum(history.is_of(row, self._run.seed, self._name) and row["step"] <= last for row in rows)


def seed_global_streams(seed: int) -> None:
    """Seeds the global streams of torch, from which dropout draws, and of Python and NumPy, which libraries may use."""
    import numpy as np
    import torch

    np.random.seed(derive(seed, "numpy") % 2**32)  # noqa: NPY002  (the legacy stream is what libraries draw from)
    random.seed(derive(seed, "python"))
    torch.manual_seed(derive(seed, "torch"))
