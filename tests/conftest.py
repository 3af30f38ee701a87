"""What all tests share: the benchmark flag, a paper of another package, and ways to run the real commands."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from bnnbench.data.dataset import Dataset, Source
from bnnbench.harness import code, data, paper, registry
from bnnbench.harness.plan import Plan

ROOT = Path(__file__).parents[1]
Command = Callable[..., subprocess.CompletedProcess[str]]

# Tests run side by side, a process a core: more threads would only get in each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Numba's OpenMP layer, once it is asked how many threads it has, gives torch as many as there are cores.
os.environ.setdefault("NUMBA_THREADING_LAYER", "workqueue")

# JAX compiles the same samplers again and again, in every process: what one has compiled serves the others.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

# The cache's folder is part of a program's key as long as caches for GPUs lie in it: without them a copy serves, too.
os.environ.setdefault("JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES", "none")

# As in jobs, data are arguments of a program and not constants in it: fits to other data of one shape share it.
os.environ.setdefault("JAX_USE_SIMPLIFIED_JAXPR_CONSTANTS", "1")


# Kernels compile at their first call, and machines differ: no deadlines. CI tries the same examples every time.
hypothesis.settings.register_profile("bnnbench", deadline=None, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.load_profile("bnnbench")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--benchmark", action="store_true", help="run the benchmarks, and only them")
    parser.addoption("--full", action="store_true", help="with --benchmark: the largest sizes too")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    # pytest-benchmark has no such flag; without it each benchmark runs once, as a test that it works.
    config.option.benchmark_only = config.getoption("--benchmark") or config.option.benchmark_only
    config.option.benchmark_disable = not config.option.benchmark_only


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    elsewhere = collection_path.suffix == ".py" and collection_path.parent.name != "benchmarks"
    return True if config.getoption("--benchmark") and elsewhere else None


TOY_FILES = {
    "toy_paper/__init__.py": "",
    "toy_paper/paper.yaml": """
        title: A toy
        authors: Nobody
        venue: Nowhere
        year: 2026
        experiments:
          walk:
            title: A random walk
            module: walk
            deviations: [it is a toy]
            variants:
              plain: {}
              shifted: {shift: 2.0}
            scales:
              smoke: {seeds: [0, 1, 2], params: {steps: 20}, resources: {minutes: 0.1}}
              laptop: {seeds: [0, 1], params: {steps: 40}}
              paper: {seeds: [0, 1], params: {steps: 60}}
          still:
            title: Another experiment
            module: still
            scales:
              smoke: {seeds: [0]}
        """,
    "toy_paper/published.csv": """
        experiment,variant,model,dataset,metric,value,std,unit,source,origin,note
        walk,plain,walker,-,end,1.5,,m,Table 1,paper,
        walk,shifted,walker,-,end,9.5,0.5,m,Table 1,recalled,recalled
        elsewhere,,other,-,end,3,,m,Table 2,paper,
        """,
    "toy_paper/model.py": """
        def step_size():
            return 1.0
        """,
    "toy_paper/walk.py": """
        import os
        import time

        from bnnbench.harness.experiment import Metric, Outcome, Params, experiment
        from bnnbench.harness.run import Run
        from toy_paper.model import step_size


        class Walk(Params):
            steps: int
            shift: float = 0.0
            pause: float = 0.0
            fault: str = ""


        METRICS = [
            Metric("end", "m", True, "where it ends"),
            Metric("peak", "m", True, "the farthest place", group="On the way"),
            Metric("never", "m", True, "what is not measured"),
        ]


        @experiment("toy/walk", params=Walk, metrics=METRICS)
        def walk(params: Walk, run: Run) -> Outcome:
            import torch

            position, first = 0.0, 0
            if (restored := run.restore()) is not None:
                first, state = restored
                position = state["position"]
            for step in run.steps(params.steps, start=first):
                if params.fault == "crash" and step == 10 and run.seed == 1 and "TOY_MENDED" not in os.environ:
                    raise RuntimeError("the walker fell")
                position += step_size() * torch.randn((), generator=run.generator("steps")).item()
                position += 0.1 * torch.randn(()).item() + 0.1 * run.rng("drift").standard_normal()
                if params.fault == "nan" and step == 10 and run.seed == 1:
                    position = float("nan")
                run.log(step + 1, position=position)
                run.checkpoint(step + 1, lambda: {"position": position})
                time.sleep(params.pause)
            return Outcome({"end": position + params.shift}, {"path": {"end": [position]}}, ["it is a toy"])
        """,
    "toy_paper/still.py": """
        from bnnbench.harness.experiment import Metric, Outcome, Params, experiment
        from bnnbench.harness.run import Run


        class Still(Params):
            value: float = 1.0
            dataset: str = ""
            wished: str = ""

            def datasets(self) -> tuple[str, ...]:
                return (self.dataset,) if self.dataset else ()

            def optional_datasets(self) -> tuple[str, ...]:
                return (self.wished,) if self.wished else ()


        @experiment("toy/still", params=Still, metrics=[Metric("end", "m")])
        def still(params: Still, run: Run) -> Outcome:
            return Outcome({"end": params.value})
        """,
    "toy_paper/claims.py": """
        from bnnbench.harness.claim import at_least, claim


        @claim("shift-shows", "The shift moves the end by 2 m.", "Table 1", ["toy/walk"])
        def shift_shows(results):
            return at_least("shifted - plain", results.difference("toy/walk", "end", "shifted", "plain"), 1.9, "m")
        """,
    "toy_paper/figures.py": """
        from bnnbench.harness.figure import figure


        @figure("path", "The path", "Position by step.", "Figure 1", ["toy/walk"])
        def path(results):
            from matplotlib.figure import Figure

            canvas = Figure()
            axes = canvas.subplots()
            curves = results.curves("toy/walk", "plain", "position")
            axes.plot(curves.index, curves)
            axes.set(xlabel="step", ylabel="position (m)")
            return canvas
        """,
    "toy_paper-0.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: toy-paper\nVersion: 0.1\n",
    "toy_paper-0.1.dist-info/entry_points.txt": "[bnnbench.papers]\ntoy = toy_paper\n",
}


def forget_registered() -> None:
    """Empties what the process remembers of papers, data sets and code."""
    found: list[Any] = [registry._points, registry.paper_folders, registry.datasets]
    remembered: list[Any] = [*found, paper.get, paper._declaration, paper._published]
    for function in (*remembered, code.code_hash, code._source, code._parsed):
        function.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] in ("toy_paper", "jitter_method")]:
        del sys.modules[name]


def install_toy(folder: Path) -> Path:
    """Puts an installed package with a paper called `toy`, of which nothing in bnnbench knows, below `folder`."""
    site = folder / "site"
    for name, text in TOY_FILES.items():
        path = site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"))
    return site


@pytest.fixture
def toy_folder(tmp_path: Path) -> Path:
    """The folder of the toy paper's package."""
    return install_toy(tmp_path)


@pytest.fixture
def toy(toy_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The toy paper, importable in this process."""
    forget_registered()
    monkeypatch.syspath_prepend(str(toy_folder))
    yield toy_folder
    forget_registered()


@pytest.fixture
def data_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads and checks the files of a data set once for all jobs of a test; each job gets a copy of its own."""
    load = Dataset.load
    loaded: dict[tuple[str, str], Any] = {}

    def once(dataset: Dataset, source: Source) -> Any:
        key = (source.identity, source.fingerprint)
        if key not in loaded:
            loaded[key] = load(dataset, source)
        return deepcopy(loaded[key])

    monkeypatch.setattr(Dataset, "load", once)


def record_data(made: Plan) -> None:
    """Records the data of a plan, as the workflow does before its jobs, each of which would record them otherwise."""
    for name in {name for job in made.jobs if not job.skip for name in job.datasets}:
        dataset, identity = registry.dataset(name), made.data[name].identity
        data.write_record(data.record_path(made.config, name, identity), data.record(dataset, made.config))


@pytest.fixture
def command(toy_folder: Path) -> Command:
    """Runs a command of the environment in a folder of its own, with the toy paper installed."""
    return command_in(toy_folder.parent)


def command_in(folder: Path) -> Command:
    """What runs a command in `folder`, where the toy paper is installed."""

    def run(*words: str, timeout: float = 240, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words,
            cwd=folder,
            env=environment(folder / "site", folder),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            **options,
        )

    return run


def environment(*import_folders: Path) -> dict[str, str]:
    """Environment variables of a command: this environment's programs, further packages, tracking in `cwd`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "SNAKEMAKE_"))}
    kept["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    kept["PYTHONPATH"] = os.pathsep.join(str(folder) for folder in (*import_folders, ROOT))
    kept["COLUMNS"] = "200"
    return kept
