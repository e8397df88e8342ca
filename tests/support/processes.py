"""Start real programs and servers, as a user starts them."""

import os
import re
import socket
import ssl
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

_reserved_sockets: list[socket.socket] = []

_is_forbidden = False


def forbid(is_forbidden: bool) -> None:
    """Let nothing be started during a test that is not marked as slow."""
    global _is_forbidden  # noqa: PLW0603 (as global as the test that is running)
    _is_forbidden = is_forbidden


def _check_allowed() -> None:
    assert not _is_forbidden, "a test that starts a server or a command is marked with @pytest.mark.slow"


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until a condition is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"the condition did not become true within {seconds:g} seconds"
        time.sleep(0.05)


@dataclass(frozen=True)
class Server:
    """A running server that is ready.

    Attributes:
        url: Its base URL.
        process: The process of `bentoml serve`.
        home: Its BentoML home.
        log: The file with its output.
        grpc_port: Its gRPC port; None without gRPC.
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
        """The port of its URL."""
        return int(self.url.rpartition(":")[2])

    def metric(self, sample: str) -> float:
        """Return the value of a sample at /metrics, given by its name and labels; 0 if it does not exist yet."""
        match = re.search(rf"^{re.escape(sample)} (\S+)$", httpx.get(f"{self.url}/metrics").text, re.MULTILINE)
        return float(match[1]) if match else 0.0

    def workers(self) -> list[psutil.Process]:
        """Return the worker processes."""
        workers = []
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                if "_bentoml_impl.worker.service" in child.cmdline():
                    workers.append(child)
        return workers


def run(*command: str, cwd: Path = ROOT, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a program of this environment to its end and capture its output."""
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
    tls: ssl.SSLContext | None = None,
    prefix: Sequence[str] = (),
) -> Iterator[Server]:
    """Run `bentoml serve` with ``arguments``: wait until it is ready, and stop it at the end as a container would.

    A server with ``tls`` is reached over TLS, with these settings of a client. ``prefix`` is a command that runs the
    server.
    """
    _check_allowed()
    port = free_port()
    env = os.environ | {"BENTOML_HOME": str(home)} | dict(variables or {})
    command = [*prefix, str(BIN / "bentoml"), "serve", *arguments, "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=cwd, env=env, stdout=output, stderr=subprocess.STDOUT)
    try:
        scheme = "https" if tls else "http"
        server = Server(f"{scheme}://127.0.0.1:{port}", process, home, log)
        _wait_until_ready(server, start_seconds, tls)
        yield server
    finally:
        process.terminate()
        process.wait(timeout=30)


def free_port() -> int:
    """Return a port that no other program receives while the tests run.

    A socket stays bound to the port and never listens. A server that requests this port can still listen on it, as both
    set SO_REUSEADDR; a program that requests any free port does not receive it.
    """
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    _reserved_sockets.append(reserved)
    port: int = reserved.getsockname()[1]
    return port


def _wait_until_ready(server: Server, seconds: float, tls: ssl.SSLContext | None) -> None:
    verify = tls or True
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            if httpx.get(f"{server.url}/readyz", timeout=2, verify=verify).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(f"the server did not become ready:\n{server.log.read_text()}")
