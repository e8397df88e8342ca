"""Run a program to its end and keep its output."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from model_deployer.system.janitor import owned_group

#: A program that has ended, with what it printed.
Completed = subprocess.CompletedProcess[str]


def run(
    command: Sequence[str | Path],
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_seconds: float | None = None,
) -> Completed:
    """Run a program to its end and return its output; the caller checks the exit code.

    If the program takes too long, or this process is interrupted or killed, the program is killed with all processes
    that it started.

    Args:
        command: The program and its arguments. Its standard input is empty.
        folder: The working folder; None for the current folder of this process.
        environment: The environment variables; None for those of this process.
        timeout_seconds: How long the program may take; None for no limit.

    Raises:
        subprocess.TimeoutExpired: If the program takes longer than ``timeout_seconds``.
        OSError: If the program cannot be started.
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
        with owned_group(process.pid):
            output, errors = process.communicate(timeout=timeout_seconds)
    finally:
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def last_line(completed: Completed) -> str:
    """Return the last line of a program's standard error, or of its standard output if standard error is empty."""
    lines = (completed.stderr.strip() or completed.stdout.strip()).splitlines()
    return lines[-1].strip() if lines else f"no output, exit code {completed.returncode}"
