"""Running servers that tests share: one for each profile, in each process that runs tests.

A server takes two to three seconds to start, and most tests only ask it something. Such tests take the fixture
``server`` (the tiny model under the settings of the repository), or ask the fixture ``servers`` for another profile::

    @pytest.fixture(scope="module")
    def server(servers: SharedServers) -> Server:
        return servers.get(Profile(contract=tiny.WITH_SETS))

What others do to a shared server shows in its metrics and in its log. A test that counts compares the metrics before
and after; one that reads the log looks for what it alone caused. A test that kills or stops processes, fills the queue
or reads the log from its beginning starts a server of its own, with :func:`tests.support.processes.serve`.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from model_deployer.contract.artifact import Manifest
from model_deployer.contract.contract import Contract
from tests.support import tiny
from tests.support.processes import Server, free_port, serve


def write_tiny(folder: Path, contract: Contract) -> Manifest:
    """Write the files of the tiny model, named "served", into ``folder`` and seal them."""
    return tiny.write(folder, "served", contract=contract)


@dataclass(frozen=True)
class Profile:
    """What a shared server is started with. Equal profiles get the same server.

    Attributes:
        contract: What its model promises. The model is ``served:1.0.0``, alone in its store.
        write: A function of a module that writes the model's files into a folder that it may create. It is compared by
            identity, so a lambda or a partial would never be shared.
        variables: Environment variables, as pairs of name and value.
        workers: How many processes answer.
        speaks_grpc: Whether it listens on a port for gRPC, too: :attr:`Server.grpc_port`.
    """

    contract: Contract = tiny.CONTRACT
    write: Callable[[Path, Contract], Manifest] = write_tiny
    variables: tuple[tuple[str, str], ...] = ()
    workers: int = 1
    speaks_grpc: bool = False


#: The graph is in a service of its own.
WITH_RUNNER = Profile(tiny.UNBOUNDED, variables=(("DEPLOYER_ENGINE", "runner"),))


class SharedServers:
    """The servers of one process that runs tests; each is started when it is first wanted.

    Args:
        factory: Makes the folders of the servers.
    """

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        self._factory = factory
        self._stack = ExitStack()
        self._running: dict[Profile, Server] = {}

    def get(self, profile: Profile) -> Server:
        """The server of this profile, running and ready."""
        if profile not in self._running:
            self._running[profile] = self._start(profile)
        server = self._running[profile]
        assert server.process.poll() is None, "a test stopped a server that it shares with others"
        return server

    def close(self) -> None:
        """Stop all of them, at the same time."""
        for server in self._running.values():
            server.process.terminate()
        self._stack.close()

    def _start(self, profile: Profile) -> Server:
        folder = self._factory.mktemp("server")
        home = tiny.home_of(folder / "home", folder / "files", profile.write(folder / "files", profile.contract))
        variables = dict(profile.variables)
        grpc_port = free_port() if profile.speaks_grpc else None
        if grpc_port is not None:
            variables["DEPLOYER_GRPC_PORT"] = str(grpc_port)
        if profile.workers > 1:
            settings = folder / "settings.yaml"
            settings.write_text(f"services: {{ModelService: {{workers: {profile.workers}}}}}\n")
            variables["BENTOML_CONFIG"] = str(settings)
        server = self._stack.enter_context(serve([], home, folder / "log", variables=variables))
        return replace(server, grpc_port=grpc_port)
