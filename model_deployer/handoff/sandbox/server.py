"""Run the server of a package's own Bento."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from model_deployer.contract.errors import EnvironmentFault
from model_deployer.handoff.sandbox.environment import clean_variables
from model_deployer.system.janitor import owned_group, temporary_folder
from model_deployer.system.server_ready import free_ports, wait_until_ready

#: The longest time that a server may take to stop.
STOP_SECONDS = 30.0


@dataclass(frozen=True)
class Server:
    """A server that is ready.

    Attributes:
        url: The URL of the server.
        process: The parent process of the server.
        cold_start_seconds: The time from the start of the process until the server was ready.
        grpc: The address of the gRPC server as ``host:port``; None if there is none.
    """

    url: str
    process: "subprocess.Popen[bytes]"
    cold_start_seconds: float
    grpc: str | None = None

    def stop(self) -> int | None:
        """Stop the server with SIGTERM and return its exit status; None if it had to be killed."""
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            return self.process.wait(timeout=STOP_SECONDS)
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        return None


@contextmanager
def run_server(
    command: str, folder: Path, has_grpc: bool = False, variables: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Run `bentoml serve` on a free port, with a BentoML home of its own, and yield the server once it is ready.

    Args:
        command: The command that starts the server.
        folder: The working folder.
        has_grpc: Whether to serve gRPC as well, on another free port.
        variables: Environment variables of the command.

    Raises:
        EnvironmentFault: If the server does not become ready; the message ends with the last line of its log.
    """
    with temporary_folder("model-deployer-") as home, tempfile.TemporaryFile() as log, ExitStack() as stack:
        port, grpc_port = free_ports(2)
        own = {"BENTOML_HOME": str(home), "BENTOML_HOST": "127.0.0.1"}
        own |= {"PORT": str(port), "BENTOML_PORT": str(port)}  # the commands of README.md take the former
        own |= {"DEPLOYER_GRPC_PORT": str(grpc_port)} if has_grpc else {}
        environment, start = clean_variables() | own | dict(variables or {}), time.monotonic()
        process = subprocess.Popen(
            ["sh", "-c", f"exec {command}"], cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        server = Server(f"http://127.0.0.1:{port}", process, 0.0)
        try:
            stack.enter_context(owned_group(process.pid))
            if fault := wait_until_ready(server.url, lambda: process.poll() is not None):
                log.seek(0)
                lines = log.read().decode(errors="replace").strip().splitlines()
                raise EnvironmentFault(f"{fault}: {lines[-1] if lines else 'no output'}")
            address = f"127.0.0.1:{grpc_port}" if has_grpc else None
            yield Server(server.url, process, time.monotonic() - start, address)
        finally:
            if process.poll() is None:
                server.stop()
