"""Load tests with wrk, a client in C that is several times as fast as the servers.

https://github.com/wg/wrk

Each result says how busy the client and the server were: a figure is the server's limit only if the server was busy
throughout and the client was not.
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.running import PORT, SECONDS

_SCRIPT = Path(__file__).with_suffix(".lua")


@dataclass(frozen=True)
class WrkRequest:
    """The request that the clients repeat.

    Attributes:
        body: Its body.
        headers: Its headers.
        path: Its path.
    """

    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    path: str = "/predict"


@dataclass(frozen=True)
class WrkResult:
    """The result of a load test.

    Attributes:
        per_second: The answers per second.
        p50_ms: The median of the latency in milliseconds.
        p99_ms: Its 99th percentile.
        errors: The number of refusals, closed connections and answers that took too long.
        client_busy: The processor seconds of wrk per second.
        server_busy: The processor seconds of the server's processes per second.
    """

    per_second: float
    p50_ms: float
    p99_ms: float
    errors: int
    client_busy: float
    server_busy: float


def load_test(process: "subprocess.Popen[bytes]", request: WrkRequest, connections: int) -> WrkResult:
    """Send requests at full speed, after a warm-up of a quarter of the time.

    Args:
        process: The server, whose processor time is measured with that of its children.
        request: The request.
        connections: The number of connections; each has one request at a time.
    """
    with tempfile.NamedTemporaryFile() as file:
        file.write(request.body)
        file.flush()
        arguments = [f"http://127.0.0.1:{PORT}{request.path}", "--", file.name]
        for name, value in request.headers.items():
            arguments += [name, value]
        _run(connections, SECONDS / 4, arguments)
        before = _processor_seconds(process)
        figures, client_seconds = _run(connections, SECONDS, arguments)
        server_seconds = _processor_seconds(process) - before
    seconds = figures["seconds"]
    return WrkResult(
        figures["answers"] / seconds,
        figures["p50_ms"],
        figures["p99_ms"],
        figures["refused"] + figures["closed"] + figures["late"],
        client_seconds / seconds,
        server_seconds / seconds,
    )


def _run(connections: int, seconds: float, arguments: list[str]) -> tuple[dict[str, Any], float]:
    """Run wrk on the last core, and return what its script prints, and its processor seconds."""
    program = shutil.which("wrk")
    if not program:
        raise SystemExit("wrk is not installed: on Debian, `apt-get install wrk`")
    options = ["-t1", f"-c{connections}", f"-d{max(round(seconds), 1)}s", "-s", str(_SCRIPT)]
    wrk = subprocess.Popen(
        [program, *options, *arguments],
        stdout=subprocess.PIPE,
        preexec_fn=lambda: os.sched_setaffinity(0, {max(os.sched_getaffinity(0))}),  # noqa: PLW1509 (no threads yet)
    )
    assert wrk.stdout
    output = wrk.stdout.read().decode()
    _, status, usage = os.wait4(wrk.pid, 0)
    wrk.returncode = os.waitstatus_to_exitcode(status)
    if wrk.returncode:
        raise SystemExit(f"wrk ended with status {wrk.returncode}")
    return json.loads(output.splitlines()[-1]), usage.ru_utime + usage.ru_stime


def _processor_seconds(process: "subprocess.Popen[bytes]") -> float:
    parent = psutil.Process(process.pid)
    times = [member.cpu_times() for member in (parent, *parent.children(recursive=True))]
    return float(sum(cpu.user + cpu.system for cpu in times))
