"""Each process that runs tests has a BentoML home of its own; BentoML reads these variables when first imported."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.support import processes

if TYPE_CHECKING:
    from tests.support.servers import SharedServers

HOME = Path(tempfile.mkdtemp(prefix="bentoml-home-"))
os.environ["BENTOML_HOME"] = str(HOME)
os.environ["BENTOML_DO_NOT_TRACK"] = "1"
# Small matrices: threads that contend with each other cost minutes here. The fitted models do not depend on it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A busy machine takes longer than any deadline.
settings.register_profile("without deadline", deadline=None)
settings.load_profile("without deadline")
# A shell that starts the tests in the background has them, and what they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)


#: Folders whose tests are all slow, and fixtures that make a test slow: they start a server, or ask for one by name.
SLOW_FOLDERS = {"acceptance", "cli", "examples", "image"}
SLOW_FIXTURES = {"server", "servers", "either", "any_output"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what starts servers and commands, so that `make test-fast` leaves it out.

    Any other test that starts one, or fits models for more than a few seconds, says so with ``@pytest.mark.slow``.
    Files with such tests come first: of two processes that take a file at a time, neither has to wait for the other.
    """
    for item in items:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        if folder in SLOW_FOLDERS or not SLOW_FIXTURES.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker("slow")
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Only tests that are marked as slow may start programs."""
    processes.forbid(item.get_closest_marker("slow") is None)


@pytest.fixture
def home() -> Path:
    """The BentoML home, with an empty model store, and no aliases and trials next to it."""
    for folder in ("models", "model-deployer-aliases", "model-deployer-trials"):
        shutil.rmtree(HOME / folder, ignore_errors=True)
    (HOME / "models").mkdir(parents=True)
    return HOME


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[SharedServers]":
    """Running servers that the tests of this process share; see `tests/support/servers.py`."""
    from tests.support.servers import SharedServers  # noqa: PLC0415 (it imports BentoML)

    with closing(SharedServers(tmp_path_factory)) as servers:
        yield servers


@pytest.fixture(scope="session")
def server(servers: "SharedServers") -> processes.Server:
    """`bentoml serve` at the root of the repository, with the tiny model as the only one in its store; shared."""
    from tests.support.servers import Profile  # noqa: PLC0415 (it imports BentoML)

    return servers.get(Profile())


def pytest_unconfigure() -> None:
    """Not a fixture: the process that hands out the tests has a home, too, and runs none."""
    shutil.rmtree(HOME, ignore_errors=True)
