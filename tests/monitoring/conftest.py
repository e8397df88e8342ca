"""The model of parcels, trained once for all tests of monitoring in a process."""

from pathlib import Path

import pytest

from model_deployer.api import Model
from tests.support import in_process, parcels


@pytest.fixture(scope="session")
def parcel_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BentoML home of its own with the model of parcels: other tests empty that of the process."""
    home = Path(tmp_path_factory.mktemp("parcels"))
    with in_process.model_store(home):
        parcels.train(home / "files")
    return home


@pytest.fixture(scope="session")
def parcel_model(parcel_home: Path) -> Model:
    """The model of parcels."""
    with in_process.model_store(parcel_home):
        return parcels.load()
