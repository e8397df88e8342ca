from collections.abc import Iterator

import pytest

from tests.serving.protocols.served import Served, served
from tests.support import tiny
from tests.support.servers import SharedServers


@pytest.fixture(scope="session")
def labels(servers: SharedServers) -> Iterator[Served]:
    """A classification of two labels."""
    with served(servers, tiny.CONTRACT) as model:
        yield model


@pytest.fixture(scope="session")
def sets(servers: SharedServers) -> Iterator[Served]:
    """A classification of three labels, with sets, and two workers."""
    with served(servers, tiny.WITH_SETS, workers=2) as model:
        yield model


@pytest.fixture(scope="session")
def number(servers: SharedServers) -> Iterator[Served]:
    """A regression, with CSV as the default format of SageMaker's responses."""
    with served(servers, tiny.OF_A_NUMBER, SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT="text/csv") as model:
        yield model


@pytest.fixture(scope="session", params=["labels", "number"])
def either(request: pytest.FixtureRequest) -> Served:
    """A classification and a regression, one after the other."""
    model: Served = request.getfixturevalue(request.param)
    return model


@pytest.fixture(scope="session", params=["labels", "sets", "number"])
def any_output(request: pytest.FixtureRequest) -> Served:
    """Each kind of output, one after the other."""
    model: Served = request.getfixturevalue(request.param)
    return model
