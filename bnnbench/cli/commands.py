"""The `bnnbench` command. Only this module prints; a user's mistake is one line without a traceback."""

import os
import sys
from collections.abc import Mapping
from errno import ENOSPC
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bnnbench import __version__
from bnnbench.errors import UserError
from bnnbench.harness import config as configuration

if TYPE_CHECKING:
    from bnnbench.harness.plan import Plan

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Reproduce, track and compare experiments on binarized and Bayesian neural networks.",
)
data_app = typer.Typer(no_args_is_help=True, help="Data sets: where each one comes from, download, verification.")
app.add_typer(data_app, name="data")
kernels_app = typer.Typer(no_args_is_help=True, help="Binary kernels: what this machine has, and what is best on it.")
app.add_typer(kernels_app, name="kernels")

ConfigOption = Annotated[
    str, typer.Option("--config", "-c", envvar="BNNBENCH_CONFIG", help="configuration file (or its content as JSON)")
]
ScaleOption = Annotated[str | None, typer.Option("--scale", "-s", help="smoke, laptop or paper, instead of the file's")]
DEFAULT_CONFIG = str(configuration.DEFAULT_PATH)


def main() -> None:
    """Runs the command; a `UserError` becomes one line on stderr and exit status 1."""
    _prepare_output()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except UserError as error:
        print(f"bnnbench: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:  # `bnnbench plan | head`
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        if error.errno != ENOSPC or error.filename is not None:
            raise
        print(f"bnnbench: what is printed cannot be written: {error.strerror}; free space there", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the rest is lost, without another complaint
        sys.exit(1)


def _prepare_output() -> None:
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed: a file opened later would take its place
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123
        stream = getattr(sys, name)
        if isinstance(stream, TextIOWrapper):  # a terminal that lacks a letter must not end a job
            stream.reconfigure(errors="replace")


def _plan(config: str, scale: str | None) -> "Plan":
    from bnnbench.harness import plan

    return plan.make(_config(config, scale), configuration.name(config))


def _config(config: str, scale: str | None) -> configuration.Config:
    return configuration.load(config, {"scale": scale} if scale else None)


def _options(config: str, scale: str | None = None) -> str:
    """What a command has to be given to see the same configuration."""
    file = "" if config == DEFAULT_CONFIG or config.startswith("{") else f" --config {config}"
    return file if scale is None else f"{file} --scale {scale}"


def _show(*renderables: Any) -> None:
    from rich.console import Console

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 120
    console = Console(width=width, highlight=False, markup=False, emoji=False)  # a folder may be called [old]
    for renderable in renderables:
        console.print(renderable)


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="print the version")] = False) -> None:
    if version:
        print(f"bnnbench {__version__}")
        raise typer.Exit


@app.command("list")
def list_(what: Annotated[str, typer.Argument(help="papers, methods or datasets")] = "papers") -> None:
    """What there is: papers with their experiments and variants, methods, data sets."""
    from bnnbench.harness import paper, registry
    from bnnbench.harness.config import unknown

    if what == "papers":
        for name in paper.names():
            spec = paper.get(name).spec
            print(f"{name}: {spec.title} ({spec.venue} {spec.year})")
            for key, experiment in spec.experiments.items():
                print(f"  {name}/{key}: {experiment.title} [{', '.join(experiment.scales)}]")
                print(f"    {', '.join(experiment.variants)}")
    elif what == "methods":
        for name, point in registry.methods().items():
            print(f"{name}: {point.value}")
    elif what == "datasets":
        for name, dataset in sorted(registry.datasets().items()):
            print(f"{name}: {dataset.title} ({dataset.task})")
    else:
        raise UserError(unknown("list of", what, ["papers", "methods", "datasets"]))


@app.command("plan")
def plan_(
    config: ConfigOption = DEFAULT_CONFIG,
    scale: ScaleOption = None,
    jobs: Annotated[bool, typer.Option("--jobs", help="one line a job")] = False,
) -> None:
    """The jobs of a configuration: resources, estimated time, and where their data would come from."""
    from bnnbench.cli import plan_view

    plan = _plan(config, scale)
    _show(*(plan_view.jobs(plan) if jobs else plan_view.summary(plan)))


@app.command()
def run(
    job: Annotated[str, typer.Argument(help="paper/experiment/variant, as `bnnbench plan --jobs` lists it")],
    config: ConfigOption = DEFAULT_CONFIG,
    scale: ScaleOption = None,
    checkpoint_seconds: Annotated[float, typer.Option(help="least time between two checkpoints")] = 15.0,
) -> None:
    """Compute one job, from its checkpoint where there is one; a result that is already there is kept.

    `torchrun --standalone --nproc-per-node 4 -m bnnbench run JOB` computes it in four processes together.
    """
    from bnnbench.cli.progress import show
    from bnnbench.harness import processes
    from bnnbench.harness.execute import accompany, execute

    plan = _plan(config, scale)
    chosen = plan.job(job)
    if processes.team().rank > 0:
        accompany(plan, chosen)
        return
    with show(chosen.id, len(chosen.seeds)) as progress:
        record = execute(plan, chosen, progress, checkpoint_seconds)
    for text in record.warnings:
        print(f"{chosen.id}: warning: {text}", file=sys.stderr)
    reason = f": {record.reason}" if record.reason else ""
    print(f"{chosen.id}: {record.status}{reason} ({plan.result(chosen)})")


@app.command()
def reproduce(
    config: ConfigOption = DEFAULT_CONFIG,
    fetch: Annotated[bool, typer.Option(help="first download the data that this machine lacks")] = True,
) -> None:
    """Fetch data, run the workflow with one line of progress, and end in a scorecard; what `make reproduce` does."""
    from bnnbench.cli import reproducing
    from bnnbench.report import content, scorecard

    plan, status = reproducing.run(config, fetch, partial(print, flush=True))
    report = plan.config.folder() / "report" / "index.html"
    _show(*scorecard.lines(content.gather(plan), report, _options(config)))
    if status:
        raise typer.Exit(status)


@app.command()
def track(
    papers: Annotated[list[str] | None, typer.Argument(help="papers; none: all")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    scale: ScaleOption = None,
    stamp: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Bring results, and the curves of running jobs, into MLflow; as often as you like."""
    from bnnbench.harness import files, tracking, tracking_store

    done = tracking.track(_plan(config, scale), papers or None)
    for text in done.mended:
        print(f"bnnbench: {text}", file=sys.stderr)
    counts = f"{done.created} runs created, {done.updated} updated, {done.unchanged} unchanged"
    print(f"{tracking_store.uri()}: {counts}")
    if done.failed:
        raise UserError(f"{len(done.failed)} jobs could not be tracked: {'; '.join(done.failed)}")
    if stamp is not None:
        files.write_json(stamp, vars(done))
        files.seal(stamp)


@app.command()
def ui(
    config: ConfigOption = DEFAULT_CONFIG,
    scale: ScaleOption = None,
    port: Annotated[int, typer.Option(help="port on 127.0.0.1", min=1, max=65535)] = 5000,
    every: Annotated[float, typer.Option(help="seconds between two looks at the results", min=0.1)] = 5.0,
) -> None:
    """Open the MLflow UI, with running jobs followed: curves are live."""
    from bnnbench.cli import ui as server

    server.serve(_plan(config, scale), port, every, partial(print, flush=True))


@app.command()
def report(
    paper: Annotated[str | None, typer.Argument(help="write the page of this paper only")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    scale: ScaleOption = None,
    text: Annotated[bool, typer.Option("--text", help="print a scorecard instead of writing the pages")] = False,
    full: Annotated[bool, typer.Option("--full", help="print all tables of the pages instead")] = False,
    refresh: Annotated[bool, typer.Option(help="first collect results, judge claims and draw figures anew")] = True,
    index: Annotated[bool, typer.Option("--index", hidden=True)] = False,
) -> None:
    """Write results/<scale>/report/index.html, or print what was decided."""
    from bnnbench.report import content, page, scorecard
    from bnnbench.report import text as terminal

    plan = _plan(config, scale)
    papers = plan.papers() if paper is None else [paper]
    if refresh:
        _refresh(plan, papers, figures=not (text or full))
    gathered, folder = content.gather(plan), plan.config.folder() / "report"
    if full:
        _show(*terminal.tables(gathered))
        return
    if text:
        _show(*scorecard.lines(gathered, folder / "index.html", _options(config, scale)))
        return
    for name in [] if index else papers:
        page.write_paper(plan, gathered, name, folder)
    if paper is None:
        page.write_index(plan, gathered, folder)
        print(folder / "index.html")


def _refresh(plan: "Plan", papers: list[str], figures: bool) -> None:
    from bnnbench.harness import collect, drawing, mend, verdicts

    for text in mend.mend(plan):
        print(f"bnnbench: {text}", file=sys.stderr)
    for experiment in collect.experiments(plan):
        collect.collect(plan, experiment)
    for paper in papers:
        verdicts.write(plan, paper)
        for name in drawing.figures(paper) if figures else []:
            drawing.draw(plan, paper, name)


@app.command()
def settle(
    claims: Annotated[list[str] | None, typer.Argument(help="claims, as `paper/claim`; none: all inconclusive")] = None,
    minutes: Annotated[float, typer.Option(help="time to spend; 0: only say what it would take", min=0)] = 0.0,
    config: ConfigOption = DEFAULT_CONFIG,
    scale: ScaleOption = None,
) -> None:
    """Run just the seeds that decide inconclusive claims, the cheapest verdict first (docs/verdicts.md)."""
    from bnnbench.cli import settling
    from bnnbench.harness import plan

    chosen, where = _config(config, scale), configuration.name(config)
    papers = settling.run(chosen, where, claims or [], minutes, partial(print, flush=True))
    if papers:
        _refresh(plan.make(chosen, where), papers, figures=False)


@app.command()
def vary(
    claim: Annotated[str, typer.Argument(help="paper/claim")],
    config: ConfigOption = DEFAULT_CONFIG,
    scale: ScaleOption = None,
) -> None:
    """Run a claim under each choice that paper and released code leave open, and say whether its verdict stands."""
    from bnnbench.cli import varying

    varying.run(_config(config, scale), configuration.name(config), claim, partial(print, flush=True))


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="a folder of results")],
    second: Annotated[Path, typer.Argument(help="another one")],
) -> None:
    """What changed between two folders of results by more than chance."""
    from bnnbench.report import comparison

    _show(*comparison.tables(comparison.compare(first, second)))


@app.command()
def record(
    name: Annotated[str, typer.Argument(help="name below results/recorded, e.g. laptop-2026-11-24")],
    config: ConfigOption = DEFAULT_CONFIG,
    scale: ScaleOption = None,
) -> None:
    """Keep a summary of the current results in results/recorded (which git does not ignore)."""
    from bnnbench.harness import recorded

    for path in recorded.record(_plan(config, scale), name):
        print(path)


@kernels_app.command("info")
def kernels_info() -> None:
    """Which kernel backends this machine has, which path each takes, and why; and the limit of its processor."""
    from bnnbench.kernels import backends

    states = backends()
    for name, available, detail in states:
        print(f"{name}: {'available' if available else 'not available'}: {detail}")
    if ("cpu", True) in [(name, available) for name, available, _ in states]:
        from bnnbench.kernels.cpu.limit import peak_ops

        print(f"limit of one thread: {peak_ops() / 1e12:.2f} Tops/s (the inner loop on registers alone, measured)")

    if ("cupy", True) in [(name, available) for name, available, _ in states]:
        from bnnbench.kernels.cuda.limit import rates

        for form, rate in rates().items():
            print(f"limit of the GPU, {form}: {rate / 1e15:.2f} Pops/s (on operands at hand, random bits, measured)")


@kernels_app.command("tune")
def kernels_tune() -> None:
    """Measures which tiles and switches are best on this machine, and keeps them for later runs (a minute)."""
    from bnnbench.kernels import backends, disk

    available = {name for name, is_available, _ in backends() if is_available}
    if "cpu" in available:
        from bnnbench.kernels.cpu import tune
        from bnnbench.kernels.cpu.target import default

        _keep_tuned(default().name, tune.tune(print))
    if "cupy" in available:
        from bnnbench.kernels.cuda import launch
        from bnnbench.kernels.cuda import tune as cuda_tune

        _keep_tuned(launch.here()[0], cuda_tune.tune(print))
    print(f"kept in {disk.tuning_file()}; delete it to go back to the built-in choices")


def _keep_tuned(target: str, choices: dict[str, int]) -> None:
    from bnnbench.kernels import disk

    print(f"{target}: {', '.join(f'{name} {value}' for name, value in choices.items())}")
    disk.keep_tuned(target, choices)


@app.command(hidden=True)
def collect(experiment: str, config: ConfigOption = DEFAULT_CONFIG, scale: ScaleOption = None) -> None:
    """Tables of one experiment (a step of the workflow)."""
    from bnnbench.harness import collect as tables

    tables.collect(_plan(config, scale), experiment)


@app.command(hidden=True)
def table(config: ConfigOption = DEFAULT_CONFIG, scale: ScaleOption = None) -> None:
    """All numbers in one table (a step of the workflow)."""
    from bnnbench.harness import collect as tables
    from bnnbench.harness import timings

    plan = _plan(config, scale)
    tables.join(plan, timings.rows(plan))


@app.command(hidden=True)
def claims(paper: str, config: ConfigOption = DEFAULT_CONFIG, scale: ScaleOption = None) -> None:
    """Verdicts on a paper's claims (a step of the workflow)."""
    from bnnbench.harness import verdicts

    verdicts.write(_plan(config, scale), paper)


@app.command(hidden=True)
def figure(paper: str, name: str, config: ConfigOption = DEFAULT_CONFIG, scale: ScaleOption = None) -> None:
    """One figure of a paper (a step of the workflow)."""
    from bnnbench.harness import drawing

    drawing.draw(_plan(config, scale), paper, name)


@data_app.command("list")
def data_list(config: ConfigOption = DEFAULT_CONFIG, scale: ScaleOption = None) -> None:
    """Every data set and where it would come from."""
    from bnnbench.cli import plan_view

    _show(plan_view.datasets(_config(config, scale)))


@data_app.command("fetch")
def data_fetch(
    names: Annotated[list[str] | None, typer.Argument(help="data sets; none: all that the plan lacks")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    scale: ScaleOption = None,
) -> None:
    """Download data sets from their official addresses into the cache, checked by hash."""
    if names:
        _verify(names, config, scale, {"download": True, "bundled": False})
    else:
        from bnnbench.cli import fetching
        from bnnbench.harness import fetch

        fetching.fetch(_plan(config, scale), partial(print, flush=True))
        left = [dataset.name for dataset in fetch.lacking(_plan(config, scale))]
        if left:
            raise UserError(
                f"the plan still lacks {', '.join(left)}; try again, or name some: bnnbench data fetch NAME"
            )
        print("all data of the plan that have an address are here")


@data_app.command("verify")
def data_verify(
    names: Annotated[list[str] | None, typer.Argument(help="data sets; none: all that are here")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    scale: ScaleOption = None,
    record: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Read data sets whole and check every checksum and structure."""
    _verify(names, config, scale, {}, record)


def _verify(
    names: list[str] | None, path: str, scale: str | None, changes: Mapping[str, Any], record: Path | None = None
) -> None:
    from bnnbench.harness import data, registry

    config = _config(path, scale)
    config = config.model_copy(update={"data": config.data.model_copy(update=dict(changes))})
    broken = False
    for name in names or data.present(registry.datasets().values(), config):
        try:
            kept = data.record(registry.dataset(name), config, progress=sys.stderr.isatty())
        except UserError as error:
            if names is not None and len(names) == 1:
                raise
            broken = True
            print(f"bnnbench: {error}", file=sys.stderr)
            continue
        print(f"{name}: {kept.provenance}, sha256 {kept.checksum[:16]}…, {kept.note}")
        if record is not None:
            data.write_record(record, kept)
    if broken:
        sys.exit(1)


if __name__ == "__main__":
    main()
