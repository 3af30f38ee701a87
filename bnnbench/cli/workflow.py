"""Some results of the workflow, computed by Snakemake in a process of its own."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bnnbench.errors import UserError
from bnnbench.harness.config import Config


def compute(config: Config, results: Sequence[Path], seconds: float | None = None) -> None:
    """Lets Snakemake make `results` under `config`, and stops it after so many seconds.

    What was begun goes on when it is asked for again. `UserError` where time was short, where the workflow fails, and
    where there is none in this folder.
    """
    if not Path("Snakefile").exists():
        raise UserError("there is no Snakefile here; run it in the folder of the checkout")
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(config.model_dump_json())
        file.flush()
        command = [sys.executable, "-m", "snakemake", *map(str, results), "--configfile", file.name]
        started = subprocess.Popen(command, stdout=sys.stderr, start_new_session=True)
        try:
            status = started.wait(seconds)
        except subprocess.TimeoutExpired:
            raise UserError("the time is used up; run it again with more, and it goes on from here") from None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGTERM)
            started.wait()
    if status:
        raise UserError(f"the workflow ended with status {status}; its messages are above")
