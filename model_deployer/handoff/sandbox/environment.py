"""A copy of a package in which its commands are run as a stranger would run them: nothing is left in the package."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from model_deployer.contract.errors import EnvironmentFault
from model_deployer.package.readme_commands import INSTALL
from model_deployer.system.command import Completed, last_line, run

#: Seconds that a command may take.
TIMEOUT_SECONDS = 900.0

#: Variables by which this process could lead another one to its own packages, settings and servers.
_OURS = ("PYTHON", "BENTOML", "DEPLOYER", "VIRTUAL_ENV", "PYTEST", "PROMETHEUS", "MODEL_DEPLOYER", "URL", "API_KEY")


@dataclass(frozen=True)
class CleanEnvironment:
    """The copy; ``.venv`` in it is the clean environment, once it is installed."""

    folder: Path

    @property
    def programs(self) -> Path:
        """The folder of the programs of the clean environment."""
        return self.folder / ".venv" / "bin"

    def copy(self, package: Path) -> None:
        """Take over the files of a package."""
        shutil.copytree(package, self.folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".venv"))

    def install(self) -> None:
        """Create the clean environment, by the commands of README.md.

        Raises:
            EnvironmentFault: They fail; the message has the last line of what they said.
        """
        if self.programs.exists():
            return
        done = self.run(INSTALL)
        if done.returncode:
            raise EnvironmentFault(f"the package's requirements cannot be installed: {last_line(done)}")

    def installed(self) -> list[str]:
        """What the clean environment holds, as ``name==version``."""
        done = self.run(".venv/bin/pip freeze --disable-pip-version-check --exclude pip --exclude setuptools")
        return sorted(done.stdout.split())

    def run(self, command: str, **variables: str) -> Completed:
        """Run shell commands, the first that fails being the last, with these variables beside the usual ones."""
        environment = clean_variables() | variables
        return run(["sh", "-e", "-c", command], self.folder, environment, TIMEOUT_SECONDS)


@contextmanager
def temporary_environment() -> Iterator[CleanEnvironment]:
    """An empty one, removed in the end."""
    with tempfile.TemporaryDirectory(prefix="model-package-") as name:
        yield CleanEnvironment(Path(name))


def clean_variables() -> dict[str, str]:
    """The variables of this process without those of ``_OURS``, and with no statistics sent by BentoML."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return kept | {"BENTOML_DO_NOT_TRACK": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
