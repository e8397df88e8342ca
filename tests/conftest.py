"""Each process that runs tests has a BentoML home of its own; BentoML reads these variables when first imported."""

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

HOME = Path(tempfile.mkdtemp(prefix="bentoml-home-"))
os.environ["BENTOML_HOME"] = str(HOME)
os.environ["BENTOML_DO_NOT_TRACK"] = "1"
# Small matrices: threads that contend with each other cost minutes here. What is learnt does not depend on it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell that starts the tests in the background has them, and what they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def home() -> Path:
    """The BentoML home, with an empty model store."""
    shutil.rmtree(HOME / "models", ignore_errors=True)
    (HOME / "models").mkdir(parents=True)
    return HOME


def pytest_unconfigure() -> None:
    """Not a fixture: the process that hands out the tests has a home, too, and runs none."""
    shutil.rmtree(HOME, ignore_errors=True)
