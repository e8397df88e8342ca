"""`deployer` for tests of whole packages, as a program: it does everything, but less of what takes long.

The server is measured for a shorter time, schemathesis makes fewer requests of each operation, and of the clients only
those that need no compiler are written: tests/handoff/clients compiles and runs all of them. The clean environment is
kept in the folder that ``CLEAN_ENVIRONMENT`` names, so that a second program need not install it again.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model_deployer.cli.main import main
from model_deployer.handoff import package, specification, verification
from model_deployer.handoff.clients import clients
from model_deployer.handoff.clients.languages import CURL, PYTHON
from model_deployer.handoff.measurement import server_measurement
from model_deployer.handoff.sandbox.environment import CleanEnvironment


@contextmanager
def kept_environment() -> Iterator[CleanEnvironment]:
    """The clean environment of the program before, if there was one, without the files of its package."""
    folder = Path(os.environ["CLEAN_ENVIRONMENT"])
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        if path.is_dir() and path.name != ".venv":
            shutil.rmtree(path)
        elif path.is_file():
            path.unlink()
    yield CleanEnvironment(folder)


server_measurement.SECONDS = 0.3
specification.EXAMPLES = 5
clients.LANGUAGES = (PYTHON, CURL)  # type: ignore[attr-defined, assignment]
package.temporary_environment = verification.temporary_environment = kept_environment  # type: ignore[attr-defined]

if __name__ == "__main__":
    main()
