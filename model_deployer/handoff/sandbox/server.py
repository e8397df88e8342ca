"""A server of a package's own Bento."""

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from model_deployer.contract.errors import EnvironmentFault
from model_deployer.handoff.sandbox.workplace import clean_environment

#: Seconds that a server may take to get ready, and to end.
PATIENCE, FAREWELL = 120, 30


@dataclass(frozen=True)
class Server:
    """A server that is ready.

    Attributes:
        url: Where it answers.
        process: Its parent process.
        cold_start_seconds: From the start of that until it was ready.
        grpc: Where it answers over gRPC, as ``host:port``; None where it does not.
    """

    url: str
    process: "subprocess.Popen[bytes]"
    cold_start_seconds: float
    grpc: str | None = None

    def stop(self) -> int | None:
        """End it as a container would be ended, and tell its exit status; None where it had to be killed."""
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            return self.process.wait(timeout=FAREWELL)
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        return None


@contextmanager
def serving(command: str, folder: Path, speaks_grpc: bool = False) -> Iterator[Server]:
    """Run a `bentoml serve` in ``folder``, on a free port and with a BentoML home of its own, until the end.

    Args:
        command: What starts it.
        folder: Where.
        speaks_grpc: Whether on another free port, too.

    Raises:
        EnvironmentFault: It does not get ready; the message ends with the last line of its log.
    """
    with tempfile.TemporaryDirectory(prefix="model-deployer-") as home, tempfile.TemporaryFile() as log:
        port, grpc_port = free_ports(2)
        variables = {"BENTOML_HOME": home, "BENTOML_HOST": "127.0.0.1", "BENTOML_PORT": str(port)}
        variables |= {"DEPLOYER_GRPC_PORT": str(grpc_port)} if speaks_grpc else {}
        environment, began = clean_environment() | variables, time.monotonic()
        process = subprocess.Popen(
            ["sh", "-c", f"exec {command}"], cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        server = Server(f"http://127.0.0.1:{port}", process, 0.0)
        try:
            if fault := wait_until_ready(server.url, lambda: process.poll() is not None):
                log.seek(0)
                said = log.read().decode(errors="replace").strip().splitlines()
                raise EnvironmentFault(f"{fault}: {said[-1] if said else 'it said nothing'}")
            address = f"127.0.0.1:{grpc_port}" if speaks_grpc else None
            yield Server(server.url, process, time.monotonic() - began, address)
        finally:
            if process.poll() is None:
                server.stop()


def free_ports(count: int) -> list[int]:
    """As many ports, each another one, that nobody had a moment ago."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def wait_until_ready(url: str, has_ended: Callable[[], bool]) -> str | None:
    """Why a server at ``url`` does not get ready; None once it is."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if has_ended():
            return "the server of the package ended before it was ready"
        with suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz", timeout=2).status_code == httpx.codes.OK:
                return None
        time.sleep(0.02)
    return f"the server of the package was not ready within {PATIENCE} seconds"
