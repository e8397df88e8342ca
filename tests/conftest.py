"""Every test run has a BentoML home of its own; BentoML reads these variables when it is first imported."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

HOME = Path(tempfile.mkdtemp(prefix="bentoml-home-"))
os.environ["BENTOML_HOME"] = str(HOME)
os.environ["BENTOML_DO_NOT_TRACK"] = "1"
# Small matrices: threads that contend with each other cost minutes here. What is learnt does not depend on it.
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture
def home() -> Path:
    """The BentoML home, with an empty model store."""
    shutil.rmtree(HOME / "models", ignore_errors=True)
    (HOME / "models").mkdir(parents=True)
    return HOME


@pytest.fixture(scope="session", autouse=True)
def _remove_home() -> Iterator[None]:
    yield
    shutil.rmtree(HOME, ignore_errors=True)
