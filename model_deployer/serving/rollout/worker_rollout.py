"""The replacement of the workers of a server, one by one, by workers with another environment.

Each new worker is ready before an old one stops, and an old one finishes its requests. All workers share the sockets
that the parent listens at, so connections that no worker has accepted yet wait meanwhile, and are not lost.
"""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

from circus.process import Process
from circus.watcher import Watcher

from model_deployer.contract.errors import DeployerError
from model_deployer.serving.config.model_selection import MODEL_VARIABLE
from model_deployer.serving.observability.workers import WorkerWatch
from model_deployer.serving.rollout import takeover

#: How often a new worker is started if it is killed before it is ready.
_ATTEMPTS = 3

#: How long a new worker may take until it is ready, and an old one to finish its requests before the next is replaced.
_START_SECONDS = 600.0
_DRAIN_SECONDS = 120.0

#: How long a worker may take to close its listening sockets after it was asked to stop, or to end after its report.
_CLOSE_SECONDS = 2.0

_CHECK_SECONDS = 0.01

_MAX_REASON_BYTES = 4096


class RolloutFailed(DeployerError):
    """A new worker did not become ready; the message says why."""


class WorkerRollout:
    """One replacement of all workers that serve another model. It runs in the event loop of circus.

    Args:
        watcher: The watcher of circus for the workers.
        watch: What logs and counts their ends.
        environment: The variables of the new workers. Their model is that of ``MODEL_VARIABLE``.
    """

    def __init__(self, watcher: Watcher, watch: WorkerWatch, environment: Mapping[str, str]) -> None:
        self._watcher, self._watch, self._environment = watcher, watch, dict(environment)
        self._size = watcher.numprocesses
        self._stopping: set[int] = set()

    async def run(self) -> None:
        """Replace the workers.

        Until the first new worker is ready, a worker that ends is started again with the old environment; later with
        the new one.

        Raises:
            RolloutFailed: if a new worker does not become ready. If it is the first one, nothing has changed.
        """
        try:
            while self._old_workers() and not is_ending(self._watcher):
                await self._replace_one()
        finally:
            self._watcher.numprocesses = self._size

    async def _replace_one(self) -> None:
        connection = await self._start_worker()
        self._watcher.env = self._environment
        with closing(connection):  # which gives the new worker its turn
            old = next(iter(self._old_workers()), None)
            if old:
                await self._stop_accepting(old)
        if old:
            await self._reap(old, _DRAIN_SECONDS)

    def _old_workers(self) -> list[Process]:
        """Return the living workers that serve another model and were not asked to stop, the oldest first."""
        model = self._environment[MODEL_VARIABLE]
        workers = sorted(self._watcher.processes.values(), key=lambda process: process.started)
        return [
            worker
            for worker in workers
            if worker.env[MODEL_VARIABLE] != model and worker.pid not in self._stopping and worker.is_alive()
        ]

    async def _start_worker(self) -> socket.socket:
        """Start a worker, and return the connection to it once it is ready; closing it gives the worker its turn."""
        for _ in range(_ATTEMPTS):
            self._watcher.numprocesses = self._size + 1
            worker, connection = self._spawn()
            report = await self._report(connection, worker)
            if report == takeover.READY:
                return connection
            connection.close()
            if report:
                self._watch.expect_end(worker.pid)
            await self._reap(worker, _CLOSE_SECONDS)
            if report:
                raise RolloutFailed(report.decode(errors="replace"))
            if is_ending(self._watcher):
                break
        raise RolloutFailed(f"{_ATTEMPTS} new workers ended before they were ready; lines before this one may say why")

    def _spawn(self) -> tuple[Process, socket.socket]:
        connection, other_end = socket.socketpair()
        connection.setblocking(False)
        other_end.set_inheritable(True)
        pids, environment = set(self._watcher.processes), self._watcher.env
        # Only this worker takes over; one that circus starts has no use for the connection.
        self._watcher.env = self._environment | {takeover.VARIABLE: str(other_end.fileno())}
        try:
            self._watcher.spawn_process()
        finally:
            self._watcher.env = environment
            other_end.close()
        started = self._watcher.processes.keys() - pids
        if not started:
            connection.close()
            raise RolloutFailed("no new worker can be started")
        return self._watcher.processes[started.pop()], connection

    @staticmethod
    async def _report(connection: socket.socket, worker: Process) -> bytes:
        """Return what a new worker reports; empty if it ends before."""
        loop = asyncio.get_running_loop()
        try:
            return await asyncio.wait_for(loop.sock_recv(connection, _MAX_REASON_BYTES), _START_SECONDS)
        except ConnectionError:
            return b""
        except TimeoutError:
            worker.send_signal(signal.SIGKILL)
            return f"a new worker was not ready after {_START_SECONDS:g} seconds".encode()

    async def _stop_accepting(self, worker: Process) -> None:
        """Have a worker finish its requests and end, and wait until it accepts no more connections.

        Its own processes, which serve these requests, get no signal.
        """
        self._stopping.add(worker.pid)
        self._watch.expect_end(worker.pid)
        worker.send_signal(signal.SIGTERM)
        await _until(lambda: not self._is_listening(worker), _CLOSE_SECONDS)

    async def _reap(self, worker: Process, seconds: float) -> None:
        """Wait until a worker has ended, and have circus forget it without starting another one."""
        await _until(lambda: not worker.is_alive(), seconds)
        self._watcher.numprocesses = self._size
        if not worker.is_alive():
            self._watcher.reap_process(worker.pid)

    def _is_listening(self, worker: Process) -> bool:
        """Return whether a worker has a listening socket open; True where the system does not say."""
        listeners = {f"socket:[{os.fstat(listener.fileno()).st_ino}]" for listener in self._watcher.sockets.values()}
        try:
            return not listeners.isdisjoint(str(file.readlink()) for file in Path(f"/proc/{worker.pid}/fd").iterdir())
        except OSError:
            return bool(worker.is_alive())


def is_ending(watcher: Watcher) -> bool:
    """Return whether the server stops."""
    return bool(watcher.is_stopping() or watcher.is_stopped())


def served_models(watcher: Watcher) -> set[str]:
    """Return the tags of the models that workers serve, or will serve when they are started again."""
    workers = [worker for worker in watcher.processes.values() if worker.is_alive()]
    return {watcher.env[MODEL_VARIABLE], *(worker.env[MODEL_VARIABLE] for worker in workers)}


async def _until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until a condition is true, or the time is up."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not condition() and loop.time() < deadline:
        await asyncio.sleep(_CHECK_SECONDS)
