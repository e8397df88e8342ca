"""Podman on this machine, configured to build images without a registry and to run them under limits."""

import ctypes
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import threading
from ast import literal_eval
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tests.support.processes import until

#: The model, and the image that tests build of it.
MODEL = "imaged:1.0.0"

PACKAGES = ("podman", "runc", "conmon", "catatonit", "mmdebstrap", "ca-certificates")

#: The settings of pip that name the sources of packages.
_SOURCES = {"index-url", "extra-index-url", "find-links", "constraint", "trusted-host"}

_CLONE_NEWNET = 0x40000000


def install() -> None:
    """Install podman from Debian's packages if it is missing."""
    if all(map(shutil.which, ("podman", "runc", "conmon", "catatonit", "mmdebstrap"))):
        return
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "--quiet"], ["install", "--yes", "--no-install-recommends", *PACKAGES]):
        subprocess.run(["apt-get", *command], env=environment, capture_output=True, check=True)


@dataclass(frozen=True)
class Container:
    """A running container.

    Attributes:
        podman: The program that started it.
        name: The name of the container.
        process: The id of its first process, as seen from this machine.
    """

    podman: "Podman"
    name: str
    process: int

    def connection(self, port: int, timeout_seconds: float = 30) -> HTTPConnection:
        """A connection to a port inside the container, whose only network is its own loopback."""
        connection = HTTPConnection("localhost", port)
        connection.sock = self._connect_inside(port)
        connection.sock.settimeout(timeout_seconds)
        return connection

    def request(
        self, port: int, method: str, path: str, body: Any = None, timeout_seconds: float = 30
    ) -> tuple[int, bytes]:
        """Send a request and return the status and the body of the answer."""
        connection = self.connection(port, timeout_seconds)
        content = None if body is None else json.dumps(body)
        connection.request(method, path, content, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()

    def is_ready(self, port: int) -> bool:
        """Whether the server inside is ready; a server that is stopping does not answer new connections."""
        try:
            return self.request(port, "GET", "/readyz", timeout_seconds=2)[0] == 200
        except OSError:
            return False

    def wait_until_ready(self, port: int) -> None:
        """Wait until the server inside is ready; if it ends before, the error contains its log."""
        until(lambda: self.is_ready(port) or not self.state("Running"), 60)
        assert self.state("Running"), self.log()

    def state(self, key: str) -> Any:
        """A value of the container's state, as podman reports it."""
        return json.loads(self.podman.run("inspect", self.name))[0]["State"][key]

    def log(self) -> str:
        """The output of the container so far."""
        completed = self.podman.do("logs", self.name)
        return completed.stdout + completed.stderr

    def _connect_inside(self, port: int) -> socket.socket:
        """Connect in a thread that enters the container's network: a socket belongs to the network of its thread."""
        results: list[socket.socket | OSError] = []

        def connect() -> None:
            try:
                with Path(f"/proc/{self.process}/ns/net").open("rb") as network:
                    if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), _CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), "the network of the container cannot be entered")
                results.append(socket.create_connection(("127.0.0.1", port)))
            except OSError as error:
                results.append(error)

        thread = threading.Thread(target=connect)
        thread.start()
        thread.join()
        if isinstance(results[0], OSError):
            raise results[0]
        return results[0]


class Podman:
    """The program, with a configuration in ``folder`` that also works if this machine is a container itself."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        settings = _pip_settings()
        (folder / "pip.conf").write_text("\n".join(["[global]", *(f"{k} = {v}" for k, v in settings.items())]))
        words = [word for value in settings.values() for word in value.split()]
        # BentoML's own Dockerfile installs packages with uv.
        (folder / "uv.toml").write_text("system-certs = true\n")
        mounts = {"/etc/pip.conf": folder / "pip.conf", "/etc/uv/uv.toml": folder / "uv.toml"}
        mounts |= {w: Path(w) for w in words if w[0] == "/" and Path(w).exists()}
        self.sources = [word for key in settings.keys() & _SOURCES for word in settings[key].split()]
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        common = [f'default_ulimits = ["nofile={limit}:{limit}", "nproc=16384:16384"]', 'netns = "host"']
        volumes = json.dumps([f"{source}:{target}:ro" for target, source in mounts.items()])
        engine = ["[engine]", 'runtime = "runc"', 'cgroup_manager = "cgroupfs"', 'events_logger = "file"']
        self._run_settings = folder / "run.conf"
        self._run_settings.write_text("\n".join(["[containers]", *common, *engine]))
        self.build_settings = folder / "build.conf"
        self.build_settings.write_text("\n".join(["[containers]", *common, f"volumes = {volumes}", *engine]))

    def run(self, *arguments: str | Path) -> str:
        """Run a command that must succeed, and return its output."""
        completed = self.do(*arguments)
        assert completed.returncode == 0, completed.stderr or completed.stdout
        return completed.stdout

    def do(self, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        """Run a command."""
        settings = self.build_settings if arguments[0] == "build" else self._run_settings
        environment = os.environ | {"CONTAINERS_CONF": str(settings)}
        # A container that is killed for its memory leaves a file "oom" in the working directory.
        return subprocess.run(
            ["podman", *arguments], cwd=self._folder, env=environment, capture_output=True, text=True, check=False
        )

    @contextmanager
    def container(self, image: str, *options: str, command: tuple[str, ...] = ()) -> Iterator[Container]:
        """Run a container that may do as little as possible, and remove it at the end.

        It has a loopback network only, a read-only root file system, no capabilities, 512 MB, 100 processes, and a user
        id that the image does not know.
        """
        hardened = ["--read-only", "--tmpfs=/tmp", "--cap-drop=all", "--security-opt=no-new-privileges"]
        hardened += ["--network=none", "--memory=512m", "--pids-limit=100", "--user=1000770000:0"]
        name = self.run("run", "--detach", *hardened, *options, image, *command).strip()
        try:
            yield Container(self, name, json.loads(self.run("inspect", name))[0]["State"]["Pid"])
        finally:
            self.run("rm", "--force", "--time=0", name)


def _pip_settings() -> dict[str, str]:
    """The settings of pip on this machine, from its files and then from its variables, which take precedence."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    lines = sorted(listed.stdout.splitlines(), key=lambda line: line.startswith(":env:"))
    pairs = [line.partition("=") for line in lines]
    return {key.rpartition(".")[2]: literal_eval(value).replace("\n", " ") for key, _, value in pairs}
