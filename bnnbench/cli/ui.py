"""The MLflow UI with a follower beside it, so that curves of running jobs are live."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

from bnnbench.errors import UserError
from bnnbench.harness import tracking, tracking_store
from bnnbench.harness.plan import Plan


def serve(plan: Plan, port: int, every: float, say: Callable[[str], None]) -> None:
    """Tracks what there is, starts the UI, and tracks again `every` few seconds until interrupted or terminated."""
    _say_all(tracking.track(plan), say)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):  # an exception in the middle of tracking could be swallowed there
        signal.signal(number, lambda *_: stop.set())
    if tracking_store.uri().startswith("http"):
        say(f"tracking into {tracking_store.uri()}; stop with Ctrl-C")
        _follow(plan, every, lambda: True, stop, say)
        return
    _refuse_taken_port(port)
    say(f"MLflow: {tracking.link(port, plan)}   (stop with Ctrl-C)")
    # One worker and no job runner: 2 processes instead of 15, and a quarter of the start-up time.
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", tracking_store.uri(), "--workers", "1"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(command, env=environment, stdout=sys.stderr, start_new_session=True)
    try:
        _follow(plan, every, lambda: server.poll() is None, stop, say)
        if not stop.is_set():
            raise UserError(f"the MLflow server ended with status {server.returncode}; its messages are above")
    finally:
        _end(server)


def _end(server: subprocess.Popen[bytes]) -> None:
    """Ends the server with its workers: politely, then not."""
    for number, patience in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        with suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        with suppress(subprocess.TimeoutExpired):
            server.wait(patience)
            return


def _follow(
    plan: Plan, every: float, alive: Callable[[], bool], stop: threading.Event, say: Callable[[str], None]
) -> None:
    last: object = None  # what was said last is not said again
    while alive() and not stop.wait(every):
        try:
            done = tracking.track(plan)
        except UserError as error:  # the database may be free again at the next look
            if str(error) != last:
                say(f"bnnbench: {error}")
            last = str(error)
            continue
        if done.created or done.updated:
            say(f"{done.created} runs created, {done.updated} updated")
        if done.failed != last:
            _say_all(done, say)
        last = done.failed


def _say_all(done: tracking.Tracked, say: Callable[[str], None]) -> None:
    for text in [*done.mended, *done.failed]:
        say(f"bnnbench: {text}")


def _refuse_taken_port(port: int) -> None:
    import socket

    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise UserError(f"port {port} is in use; choose another one with --port")
