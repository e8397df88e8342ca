"""Real programs, started as a user starts them."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent

_HOLDERS: list[socket.socket] = []

_is_forbidden = False


def forbid(is_forbidden: bool) -> None:
    """Let nothing be started during a test that is not marked as slow."""
    global _is_forbidden  # noqa: PLW0603 (as global as the test that is running)
    _is_forbidden = is_forbidden


def _check_allowed() -> None:
    assert not _is_forbidden, "a test that starts a server or a command is marked with @pytest.mark.slow"


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@dataclass(frozen=True)
class Server:
    """A server that is ready.

    Attributes:
        url: Where it answers.
        process: The first of its processes.
        home: Its BentoML home.
        log: The file with what it prints.
        grpc_port: Where it answers over gRPC; None where it does not.
    """

    url: str
    process: "subprocess.Popen[bytes]"
    home: Path
    log: Path
    grpc_port: int | None = None

    @property
    def model(self) -> Path:
        """The files of its model ``served:1.0.0``."""
        return self.home / "models" / "served" / "1.0.0"

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])

    def metric(self, sample: str) -> float:
        """What /metrics says of a sample, named with its labels; 0 where it is not there yet."""
        found = re.search(rf"^{re.escape(sample)} (\S+)$", httpx.get(f"{self.url}/metrics").text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def workers(self) -> list[psutil.Process]:
        """The processes that answer."""
        found = []
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                if "_bentoml_impl.worker.service" in child.cmdline():
                    found.append(child)
        return found


def run(*command: str, cwd: Path = ROOT, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a program of this environment to its end and keep what it printed."""
    _check_allowed()
    program = [str(BIN / command[0]), *command[1:]]
    env = os.environ | environment
    return subprocess.run(program, cwd=cwd, env=env, capture_output=True, text=True, timeout=600, check=False)


@contextmanager
def serve(
    arguments: Sequence[str],
    home: Path,
    log: Path,
    *,
    cwd: Path = ROOT,
    variables: Mapping[str, str] | None = None,
    start_seconds: float = 60,
) -> Iterator[Server]:
    """`bentoml serve` with ``arguments``, from the moment it is ready; stopped at the end as a container would be."""
    _check_allowed()
    port = free_port()
    env = os.environ | {"BENTOML_HOME": str(home)} | dict(variables or {})
    command = [str(BIN / "bentoml"), "serve", *arguments, "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=cwd, env=env, stdout=output, stderr=subprocess.STDOUT)
    try:
        server = Server(f"http://127.0.0.1:{port}", process, home, log)
        _wait_until_ready(server, start_seconds)
        yield server
    finally:
        process.terminate()
        process.wait(timeout=30)


def free_port() -> int:
    """A port that nobody else is given while the tests run.

    A socket stays bound to it and never listens. Linux lets a server that names the port listen all the same, as both
    set SO_REUSEADDR, and gives it to no program that asks for any port.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    _HOLDERS.append(holder)
    port: int = holder.getsockname()[1]
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
