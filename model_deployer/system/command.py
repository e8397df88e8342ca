"""Programs that are run to their end."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

#: A program that has ended, with what it printed.
Completed = subprocess.CompletedProcess[str]


def run(
    command: Sequence[str | Path],
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_seconds: float | None = None,
) -> Completed:
    """Run a program to its end and keep what it printed; the caller judges its exit code.

    A program that takes too long, or whose caller is interrupted, is killed with all processes that it started.

    Args:
        command: The program and its arguments; it reads nothing from standard input.
        folder: Where it runs; None for the current folder of this process.
        environment: Its variables; None for those of this process.
        timeout_seconds: How long it may take; None for as long as it likes.

    Raises:
        subprocess.TimeoutExpired: It took too long.
        OSError: It cannot be started.
    """
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=timeout_seconds)
    finally:
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def last_line(completed: Completed) -> str:
    """The last line that a program printed, on standard error or else on standard output."""
    lines = (completed.stderr.strip() or completed.stdout.strip()).splitlines()
    return lines[-1].strip() if lines else f"no output, exit code {completed.returncode}"
