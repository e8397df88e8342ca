"""The processes of the runner: as many for each version that workers of the server serve, at a socket of its own."""

import json
import uuid
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from circus.sockets import CircusSocket
from circus.watcher import Watcher

from model_deployer.serving.config.model_selection import MODEL_VARIABLE
from model_deployer.serving.observability.workers import WorkerWatch
from model_deployer.serving.rollout.process_group import ProcessGroup, RolloutFailed

#: BentoML's variable with the addresses of the services that a worker uses, as JSON.
_ADDRESSES_VARIABLE = "BENTOML_RUNNER_MAP"

#: The name of the service, which is also that of its socket, and BentoML's name of the watcher for its processes.
_SERVICE, _WATCHER = "Runner", "service_Runner"


@dataclass(frozen=True)
class _Version:
    """What the processes of one version are started with.

    Attributes:
        environment: Their variables.
        sockets: The sockets of the server, with the one that they listen at as that of the runner.
    """

    environment: Mapping[str, str]
    sockets: Mapping[str, CircusSocket]


class RunnerProcesses:
    """Starts and ends processes of the runner, in the event loop of circus.

    Args:
        runner: The watcher of circus for the runner.
        watch: What logs and counts the ends of processes.
    """

    def __init__(self, runner: Watcher, watch: WorkerWatch) -> None:
        self._group = ProcessGroup(runner, watch)
        self._versions = {runner.env[MODEL_VARIABLE]: _Version(runner.env, runner.sockets)}

    @classmethod
    def of_server(cls, workers: Watcher, watch: WorkerWatch) -> "RunnerProcesses | None":
        """Return those that workers use; None if the server was started without a runner."""
        try:
            return cls(workers.arbiter.get_watcher(_WATCHER), watch)
        except KeyError:
            return None

    async def start(self, model: str) -> dict[str, str]:
        """Return the variable with which workers find the runner of a model; it is started if it is not there.

        Raises:
            RolloutFailed: if a process does not become ready; those of other models go on.
        """
        if model not in self._versions:
            others = self._versions.keys() | set()
            self._versions[model] = self._new_version(model)
            try:
                await self._start_processes(self._versions[model])
            except RolloutFailed:
                await self.stop_others(others)
                raise
        version = self._versions[model]
        addresses = json.loads(version.environment[_ADDRESSES_VARIABLE])
        return {_ADDRESSES_VARIABLE: json.dumps(addresses | {_SERVICE: _address(version.sockets[_SERVICE])})}

    async def stop_others(self, models: AbstractSet[str]) -> None:
        """End the processes of all models but these, if one of these has any: circus keeps no group without any."""
        kept = self._versions.keys() & models
        if not kept:
            return
        if self._group.watcher.env[MODEL_VARIABLE] not in kept:
            self._restart_as(self._versions[min(kept)])
        for process in self._group.serving_others(kept):
            await self._group.stop_accepting(process)
            await self._group.retire(process)
        for model in self._versions.keys() - kept:
            self._versions.pop(model).sockets[_SERVICE].close()
        if len(kept) == 1:
            self._group.settle()
            self._number_processes()

    def _new_version(self, model: str) -> _Version:
        """Return a version with a socket of its own: next to the present one, or at another port."""
        watcher = self._group.watcher
        socket = _new_socket(watcher.sockets[_SERVICE])
        return _Version({**watcher.env, MODEL_VARIABLE: model}, {**watcher.sockets, _SERVICE: socket})

    async def _start_processes(self, version: _Version) -> None:
        for _ in range(self._group.size):
            (await self._group.start(version.environment, version.sockets)).close()
        self._restart_as(version)

    def _restart_as(self, version: _Version) -> None:
        """Have circus start processes that end as those of a version."""
        watcher = self._group.watcher
        watcher.env, watcher.sockets = dict(version.environment), version.sockets

    def _number_processes(self) -> None:
        """Number the processes from 1, as those before them, so that one that is started again gets the same GPU."""
        for process in self._group.processes():
            process.wid = (process.wid - 1) % self._group.size + 1


def _new_socket(socket: CircusSocket) -> CircusSocket:
    """Return a listening socket at a path in the same folder, or at a free port of the same address."""
    if socket.is_unix:
        path = Path(socket.path).with_name(f"{uuid.uuid4().hex[:12]}.sock")
        new = CircusSocket(socket.name, path=str(path), backlog=socket.backlog)
    else:
        new = CircusSocket(socket.name, socket.host, 0, backlog=socket.backlog)
    new.bind_and_listen()
    return new


def _address(socket: CircusSocket) -> str:
    return Path(socket.path).as_uri() if socket.is_unix else f"tcp://{socket.host}:{socket.port}"
