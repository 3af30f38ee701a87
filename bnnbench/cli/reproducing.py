"""`bnnbench reproduce`: data, then the workflow with its messages in a file and one line of progress in their place."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from bnnbench.cli import fetching
from bnnbench.cli.progress import WholeRunProgress, show_whole_run
from bnnbench.errors import UserError
from bnnbench.harness import config as configuration
from bnnbench.harness import files
from bnnbench.harness import plan as planning
from bnnbench.harness.config import Config
from bnnbench.harness.plan import Plan
from bnnbench.harness.whole_run import WholeRun

LOOK_SECONDS = 1.0
PATIENCE = 10.0
"""Seconds that an interrupted Snakemake has to end, as it does when the terminal interrupts it with us."""


def run(config: str, fetch: bool, say: Callable[[str], None]) -> tuple[Plan, int]:
    """Reproduces what a configuration says.

    Returns the plan and Snakemake's exit status; `UserError` where it cannot begin.
    """
    if not Path("Snakefile").exists():
        raise UserError("there is no Snakefile here; run it in the folder of the checkout")
    chosen = _as_the_workflow_reads_it(config)
    plan = planning.make(chosen, config)
    if fetch and chosen.data.download is not False and fetching.fetch(plan, say, " (FETCH=no leaves it out)"):
        plan = planning.make(chosen, config)
    files.check_folder(chosen.folder())
    if files.is_locked(chosen.lock()):
        raise UserError(f"another snakemake is at work in {chosen.results}; wait for it")
    log = chosen.folder() / "logs" / "snakemake.txt"
    say(f"{len(plan.jobs)} jobs at scale {chosen.scale}; what Snakemake says is in {log}")
    whole = WholeRun(plan, len(os.sched_getaffinity(0)), time.time())
    status = _snakemake(config, log, whole)
    if status:
        print(f"bnnbench: the workflow ended with status {status}; its messages are in {log}", file=sys.stderr)
    return plan, status


def _as_the_workflow_reads_it(config: str) -> Config:
    """The default file with what the given one changes, as `snakemake --configfile` takes it."""
    given = [Path(config)] if Path(config) != configuration.DEFAULT_PATH else []
    defaults = [configuration.DEFAULT_PATH] if configuration.DEFAULT_PATH.exists() else []
    return configuration.load_for_workflow([*defaults, *given], [], config)


def _snakemake(config: str, log: Path, whole: WholeRun) -> int:
    """Runs Snakemake in this process group, so that Ctrl-C reaches it too, and shows progress until it ends.

    Ctrl-C ends this process too, once Snakemake has ended.
    """
    with files.writing(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("")
    command = [sys.executable, "-m", "snakemake", *(["--configfile", config] if Path(config).exists() else [])]
    with log.open("a") as out, log.open(errors="replace") as written, show_whole_run() as progress:
        started = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        before = signal.signal(signal.SIGTERM, lambda *_: started.terminate())
        try:
            _follow(started, written, whole, progress)
        except KeyboardInterrupt:
            _end(started)
            progress.message("bnnbench: interrupted; nothing is lost, the same command goes on from here")
            sys.exit(_shell_status(started.wait()) or 128 + signal.SIGINT)
        finally:
            signal.signal(signal.SIGTERM, before)
        return _shell_status(started.wait())


def _shell_status(status: int) -> int:
    """An exit status as a shell has it: of a process that a signal ended it is 128 and the signal's number."""
    return status if status >= 0 else 128 - status


def _follow(started: subprocess.Popen[bytes], log: TextIO, whole: WholeRun, progress: WholeRunProgress) -> None:
    """Reads what Snakemake says until it ends, and shows how far it is; its errors of one line are shown."""
    shown: set[str] = set()
    ended, rest = False, ""
    while not ended:
        with suppress(subprocess.TimeoutExpired):
            started.wait(LOOK_SECONDS)
            ended = True
        *lines, rest = (rest + log.read()).split("\n")
        for line in lines:
            whole.read(line)
            if line.startswith("bnnbench: ") and line not in shown:
                shown.add(line)
                progress.message(line)
        progress.look(whole.look(time.time()))


def _end(started: subprocess.Popen[bytes]) -> None:
    """Waits for a Snakemake that was interrupted with us, and interrupts one that was not."""
    with suppress(subprocess.TimeoutExpired):
        started.wait(PATIENCE)
        return
    started.send_signal(signal.SIGINT)
    started.wait()
