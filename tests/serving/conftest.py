from collections.abc import Iterator

import pytest

from tests.support import tiny
from tests.support.processes import Server, serve


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`bentoml serve` at the root of the repository, with the tiny model as the only one in its store."""
    folder = tmp_path_factory.mktemp("server")
    home = tiny.home(folder / "home", "1.0.0")
    with serve([], home, folder / "log") as running:
        yield running
