"""Real programs, started as a user starts them."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Server:
    """A server that is ready."""

    url: str
    process: "subprocess.Popen[bytes]"
    log: Path


def run(*command: str, cwd: Path = ROOT, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a program of this environment to its end and keep what it printed."""
    program = [str(BIN / command[0]), *command[1:]]
    env = os.environ | environment
    return subprocess.run(program, cwd=cwd, env=env, capture_output=True, text=True, timeout=300, check=False)


@contextmanager
def serve(
    arguments: Sequence[str], home: Path, log: Path, cwd: Path = ROOT, start_seconds: float = 60
) -> Iterator[Server]:
    """`bentoml serve` with ``arguments``, from the moment it is ready; stopped at the end as a container would be."""
    port = free_port()
    env = os.environ | {"BENTOML_HOME": str(home)}
    command = [str(BIN / "bentoml"), "serve", *arguments, "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=cwd, env=env, stdout=output, stderr=subprocess.STDOUT)
    try:
        server = Server(f"http://127.0.0.1:{port}", process, log)
        _wait_until_ready(server, start_seconds)
        yield server
    finally:
        process.terminate()
        process.wait(timeout=30)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(server: Server, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            if httpx.get(f"{server.url}/readyz", timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(f"the server did not get ready:\n{server.log.read_text()}")
