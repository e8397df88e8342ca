"""The model of parcels, trained once for all tests of monitoring in a process."""

from pathlib import Path

import pytest

from model_deployer.api import Model
from tests.support import parcels


@pytest.fixture(scope="session")
def parcel_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """The model of parcels, in the store of this process."""
    return parcels.train(Path(tmp_path_factory.mktemp("parcels")))
