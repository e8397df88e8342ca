"""A worker that listens at a socket, for the processes of a server."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from signal import SIGKILL

from model_deployer.adoption.cell.cell_error import CellError
from model_deployer.adoption.cell.environment import CellEnvironment
from model_deployer.adoption.cell.process import START_SECONDS, CellProcess, Limits, worker_variables
from model_deployer.adoption.cell.socket_address import connect
from model_deployer.system.janitor import owned_group

#: The socket of a worker.
LISTENING = "listening"

#: The time between two attempts to connect to a worker that starts.
_ATTEMPT_SECONDS = 0.02


@contextmanager
def start_listener(environment: CellEnvironment, folder: Path, limits: Limits) -> Iterator[CellProcess]:
    """Start a worker that serves several connections, and stop it at the end of the context.

    Args:
        environment: The environment of the source.
        folder: A folder of this process alone. The worker listens at :data:`LISTENING` in it, and writes to ``log``.
        limits: What the source may take.

    Raises:
        CellError: if the worker does not start.
    """
    path, writable = folder / LISTENING, folder / "writable"
    path.unlink(missing_ok=True)
    writable.mkdir(exist_ok=True)
    settings = {
        "socket": str(path),
        "folder": str(writable),
        "memory_bytes": limits.memory_bytes,
        "cpu_seconds": limits.cpu_seconds,
        "batch_seconds": limits.batch_seconds,
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [environment.python, "-m", "cell_worker", json.dumps(settings)],
            cwd=writable,
            env=worker_variables(limits),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        with owned_group(process.pid), _connection(process, path) as connection:
            yield CellProcess(process, connection, folder / "log", limits)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, SIGKILL)
        process.wait()


@contextmanager
def _connection(process: "subprocess.Popen[bytes]", path: Path) -> Iterator[socket.socket]:
    """Yield a connection to a worker as soon as it listens."""
    end = time.monotonic() + START_SECONDS
    while True:
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connect(connection, path)
            except OSError:
                if process.poll() is not None or time.monotonic() > end:
                    raise CellError(f"the process of the source did not start: {_last_line(path)}") from None
                time.sleep(_ATTEMPT_SECONDS)
                continue
            yield connection
            return


def _last_line(path: Path) -> str:
    """Return the last line of the log next to a socket."""
    lines = (path.parent / "log").read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it does not listen, and has no output")
