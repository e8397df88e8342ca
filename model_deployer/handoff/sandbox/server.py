"""A server of a package's own Bento."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from model_deployer.contract.errors import EnvironmentFault
from model_deployer.handoff.sandbox.environment import clean_variables
from model_deployer.system.server_ready import free_ports, wait_until_ready

#: Seconds that a server may take to end.
STOP_SECONDS = 30.0


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
            return self.process.wait(timeout=STOP_SECONDS)
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        return None


@contextmanager
def run_server(command: str, folder: Path, speaks_grpc: bool = False) -> Iterator[Server]:
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
        environment, began = clean_variables() | variables, time.monotonic()
        process = subprocess.Popen(
            ["sh", "-c", f"exec {command}"], cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        server = Server(f"http://127.0.0.1:{port}", process, 0.0)
        try:
            if fault := wait_until_ready(server.url, lambda: process.poll() is not None):
                log.seek(0)
                said = log.read().decode(errors="replace").strip().splitlines()
                raise EnvironmentFault(f"{fault}: {said[-1] if said else 'no output'}")
            address = f"127.0.0.1:{grpc_port}" if speaks_grpc else None
            yield Server(server.url, process, time.monotonic() - began, address)
        finally:
            if process.poll() is None:
                server.stop()
