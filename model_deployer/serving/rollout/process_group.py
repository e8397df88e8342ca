"""The processes that circus runs of one command: one more is started with another environment, an old one is ended.

Each new process is ready before an old one stops, and an old one finishes its requests. All of them share the sockets
that the parent listens at, so connections that no process has accepted yet wait meanwhile, and are not lost.
"""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from circus.process import Process
from circus.watcher import Watcher
from psutil import NoSuchProcess

from model_deployer.contract.errors import DeployerError
from model_deployer.serving.config.model_selection import MODEL_VARIABLE
from model_deployer.serving.observability.workers import WorkerWatch
from model_deployer.serving.rollout import takeover

#: How often a new process is started if it is killed before it is ready.
_ATTEMPTS = 3

#: How long a new process may take until it is ready, and an old one to finish its requests.
_START_SECONDS = 600.0
_DRAIN_SECONDS = 120.0

#: How long a process may take to close its listening sockets after it was asked to stop, or to end after its report.
_CLOSE_SECONDS = 2.0

_CHECK_SECONDS = 0.01

_MAX_REASON_BYTES = 4096


class RolloutFailed(DeployerError):
    """A new process did not become ready; the message says why."""


class ProcessGroup:
    """Changes the processes of a watcher of circus, in its event loop.

    Args:
        watcher: The watcher.
        watch: What logs and counts the ends of its processes.

    Attributes:
        size: The number of its processes while nothing is changed.
    """

    def __init__(self, watcher: Watcher, watch: WorkerWatch) -> None:
        self.watcher, self._watch = watcher, watch
        self.size: int = watcher.numprocesses
        self._stopping: set[int] = set()

    @property
    def is_ending(self) -> bool:
        """Whether the server stops."""
        return bool(self.watcher.is_stopping() or self.watcher.is_stopped())

    def processes(self) -> list[Process]:
        """Return the living processes, the oldest first. ``is_alive`` would hide the end of one from circus."""
        processes: list[Process] = self.watcher.get_active_processes()
        return sorted(processes, key=lambda process: float(process.started))

    def values(self, variable: str) -> set[str]:
        """Return the values of a variable of the processes, also of those that will be started again."""
        environments = [self.watcher.env, *(process.env for process in self.processes())]
        return {environment[variable] for environment in environments if variable in environment}

    def serving_others(self, models: Iterable[str]) -> list[Process]:
        """Return those that serve another model than these, and were not asked to stop."""
        known = set(models)
        return [
            process
            for process in self.processes()
            if process.env[MODEL_VARIABLE] not in known and process.pid not in self._stopping
        ]

    async def start(self, environment: Mapping[str, str], sockets: Mapping[str, socket.socket]) -> socket.socket:
        """Start one more process, and return the connection to it once it is ready; closing it gives it its turn.

        Circus keeps one process more from now on, until :meth:`retire` or :meth:`settle` is called.

        Args:
            environment: Its variables.
            sockets: The sockets that its command may name.

        Raises:
            RolloutFailed: if it does not become ready; circus keeps as many processes as before.
        """
        self.watcher.numprocesses += 1
        try:
            for _ in range(_ATTEMPTS):
                process, connection = self._spawn(environment, sockets)
                report = await self._report(connection, process)
                if report == takeover.READY:
                    return connection
                connection.close()
                if report:
                    self._watch.expect_end(process.pid)
                await self._reap(process)
                if report:
                    raise RolloutFailed(report.decode(errors="replace"))
                if self.is_ending:
                    break
            raise RolloutFailed(
                f"{_ATTEMPTS} new workers ended before they were ready; lines before this one may say why"
            )
        except RolloutFailed:
            self.watcher.numprocesses -= 1
            raise

    def _spawn(
        self, environment: Mapping[str, str], sockets: Mapping[str, socket.socket]
    ) -> tuple[Process, socket.socket]:
        connection, other_end = socket.socketpair()
        connection.setblocking(False)
        other_end.set_inheritable(True)
        pids = set(self.watcher.processes)
        before = self.watcher.env, self.watcher.sockets
        # Only this process takes over; one that circus starts has no use for the connection.
        self.watcher.env = {**environment, takeover.VARIABLE: str(other_end.fileno())}
        self.watcher.sockets = sockets
        try:
            self.watcher.spawn_process()
        finally:
            self.watcher.env, self.watcher.sockets = before
            other_end.close()
        started = self.watcher.processes.keys() - pids
        if not started:
            connection.close()
            raise RolloutFailed("no new worker can be started")
        return self.watcher.processes[started.pop()], connection

    @staticmethod
    async def _report(connection: socket.socket, process: Process) -> bytes:
        """Return what a new process reports; empty if it ends before."""
        loop = asyncio.get_running_loop()
        try:
            return await asyncio.wait_for(loop.sock_recv(connection, _MAX_REASON_BYTES), _START_SECONDS)
        except ConnectionError:
            return b""
        except TimeoutError:
            with suppress(NoSuchProcess):
                process.send_signal(signal.SIGKILL)
            return f"a new worker was not ready after {_START_SECONDS:g} seconds".encode()

    async def stop_accepting(self, process: Process) -> None:
        """Have a process finish its requests and end, and wait until it accepts no more connections.

        Its own processes, which serve these requests, get no signal.
        """
        self._stopping.add(process.pid)
        self._watch.expect_end(process.pid)
        with suppress(NoSuchProcess):
            process.send_signal(signal.SIGTERM)
        await _until(lambda: not self._is_listening(process), _CLOSE_SECONDS)

    async def retire(self, process: Process) -> None:
        """Wait until a process that was asked to stop has ended; circus keeps one process less."""
        await _until(lambda: process not in self.processes(), _DRAIN_SECONDS)
        self.watcher.numprocesses -= 1
        self._forget(process)

    def settle(self) -> None:
        """Have circus keep as many processes as before all changes."""
        self.watcher.numprocesses = self.size

    async def _reap(self, process: Process) -> None:
        """Wait until a process that reported an error or was killed has ended, and have circus forget it."""
        await _until(lambda: process not in self.processes(), _CLOSE_SECONDS)
        self._forget(process)

    def _forget(self, process: Process) -> None:
        """Have circus forget a process that has ended, before it starts another one."""
        if process not in self.processes():
            self.watcher.reap_process(process.pid)

    def _is_listening(self, process: Process) -> bool:
        """Return whether a process has its listening socket open; True where the system does not say."""
        files = {
            f"socket:[{os.fstat(listener.fileno()).st_ino}]"
            for name, listener in self.watcher.sockets.items()
            if f"$(circus.sockets.{name})" in self.watcher.args
        }
        try:
            return not files.isdisjoint(str(file.readlink()) for file in Path(f"/proc/{process.pid}/fd").iterdir())
        except OSError:
            return process in self.processes()


async def _until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until a condition is true, or the time is up."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not condition() and loop.time() < deadline:
        await asyncio.sleep(_CHECK_SECONDS)
