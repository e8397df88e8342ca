"""A server and its client in one run: the server on the first core, the client on the last one."""

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

#: Seconds of one measurement.
SECONDS = 4.0

Figures = dict[str, float]


@contextmanager
def server(
    command: Sequence[str], environment: dict[str, str], body: bytes, cores: Sequence[int] | set[int] = ()
) -> Iterator[tuple["subprocess.Popen[bytes]", float]]:
    """A server at PORT once it answers ``body`` at ``/predict``, and the seconds until then; ended afterwards."""
    program, *arguments = command
    started = time.perf_counter()
    process = subprocess.Popen(
        [str(BIN / program), *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, cores or {min(os.sched_getaffinity(0))}),  # noqa: PLW1509 (no threads yet)
    )
    try:
        _wait(command, process, body)
        yield process, time.perf_counter() - started
    finally:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.terminate()
        process.terminate()
        process.wait(timeout=60)


def _wait(command: Sequence[str], process: "subprocess.Popen[bytes]", body: bytes) -> None:
    deadline = time.monotonic() + 60
    headers = {"content-type": "application/json"}
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.post(f"http://127.0.0.1:{PORT}/predict", content=body, headers=headers).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise SystemExit(f"it did not start: {' '.join(command)}")


def ask(body: bytes, connections: int, **how: Any) -> Figures:
    """As often as answers come; every one of them has to be an answer."""
    found = send(body, clients=connections, **how)
    if found["statuses"].keys() != {"200"}:
        raise SystemExit(f"not all requests were answered: {found['answers']}")
    figures: Figures = found["statuses"]["200"]
    return figures


def send(body: bytes, **options: Any) -> dict[str, Any]:
    """What clients in a process of their own measure; the options are those of a load test, see benchmarks/load.py."""
    test = {"url": f"http://127.0.0.1:{PORT}", "seconds": SECONDS, **options}
    command = [sys.executable, "-m", "benchmarks.load", json.dumps(test)]
    measured: dict[str, Any] = json.loads(run(command, max, dict(os.environ), body).stdout)
    return measured


def run(
    command: Sequence[str], core: Any, environment: dict[str, str], body: bytes = b""
) -> "subprocess.CompletedProcess[bytes]":
    """Run a program on the first or the last core: ``min`` or ``max``."""
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        input=body,
        stdout=subprocess.PIPE,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {core(os.sched_getaffinity(0))}),
    )
