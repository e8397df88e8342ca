from collections.abc import Iterator

import pytest

from tests.serving.protocols.served import Served, served
from tests.support import tiny


@pytest.fixture(scope="session")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A classification of two labels."""
    with served(tmp_path_factory.mktemp("labels"), tiny.CONTRACT) as found:
        yield found


@pytest.fixture(scope="session")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A classification of three labels, with sets, and two workers."""
    folder = tmp_path_factory.mktemp("sets")
    workers = folder / "workers.yaml"
    workers.write_text("services: {ModelService: {workers: 2}}\n")
    with served(folder, tiny.WITH_SETS, BENTOML_CONFIG=str(workers)) as found:
        yield found


@pytest.fixture(scope="session")
def number(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A regression, with CSV as what SageMaker's clients get where they name no type."""
    folder = tmp_path_factory.mktemp("number")
    with served(folder, tiny.OF_A_NUMBER, SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT="text/csv") as found:
        yield found


@pytest.fixture(scope="session", params=["labels", "number"])
def either(request: pytest.FixtureRequest) -> Served:
    """A classification and a regression, one after the other."""
    found: Served = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session", params=["labels", "sets", "number"])
def any_output(request: pytest.FixtureRequest) -> Served:
    """Each kind of output, one after the other."""
    found: Served = request.getfixturevalue(request.param)
    return found
