"""Run a server on the first core and load tests against it on the last core."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PORT = 3900

#: The duration of one measurement.
SECONDS = 4.0

Figures = dict[str, float]


@contextmanager
def server(
    command: Sequence[str], environment: dict[str, str], body: bytes, cores: Sequence[int] | set[int] = ()
) -> Iterator[tuple["subprocess.Popen[bytes]", float]]:
    """Run a server at PORT, and terminate it afterwards.

    Args:
        command: The program and its arguments.
        environment: The environment variables of the server.
        body: A request body for ``/predict``; the server is ready when it answers it.
        cores: The cores of the server; empty for the first one.

    Yields:
        The process, and the seconds until the server was ready.
    """
    program, *arguments = command
    start = time.perf_counter()
    process = subprocess.Popen(
        [str(BIN / program), *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, cores or {min(os.sched_getaffinity(0))}),  # noqa: PLW1509 (no threads yet)
    )
    try:
        _wait_until_ready(command, process, body)
        yield process, time.perf_counter() - start
    finally:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.terminate()
        process.terminate()
        process.wait(timeout=60)


def _wait_until_ready(command: Sequence[str], process: "subprocess.Popen[bytes]", body: bytes) -> None:
    deadline = time.monotonic() + 60
    headers = {"content-type": "application/json"}
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.post(f"http://127.0.0.1:{PORT}/predict", content=body, headers=headers).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise SystemExit(f"the server did not start: {' '.join(command)}")


def rate_test(body: bytes, **options: Any) -> dict[str, Any]:
    """Run a load test with a rate in a process of its own, and return its results; see benchmarks/load.py.

    Args:
        body: The body of the requests.
        options: The fields of the load test.
    """
    test = {"url": f"http://127.0.0.1:{PORT}", "seconds": SECONDS, **options}
    command = [sys.executable, "-m", "benchmarks.load", json.dumps(test)]
    results: dict[str, Any] = json.loads(run(command, max, dict(os.environ), body).stdout)
    return results


def run(
    command: Sequence[str], core: Any, environment: dict[str, str], body: bytes = b""
) -> "subprocess.CompletedProcess[bytes]":
    """Run a program on one core, and return the completed process.

    Args:
        command: The program and its arguments.
        core: ``min`` for the first core, ``max`` for the last one.
        environment: The environment variables of the program.
        body: The standard input of the program.
    """
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        input=body,
        stdout=subprocess.PIPE,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {core(os.sched_getaffinity(0))}),
    )
