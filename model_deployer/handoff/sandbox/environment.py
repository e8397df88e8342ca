"""A copy of a package with an environment of its own: commands run as on another machine, and leave no files behind."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from model_deployer.contract.errors import EnvironmentFault
from model_deployer.package.readme_commands import INSTALL
from model_deployer.system.command import Completed, last_line, run
from model_deployer.system.janitor import temporary_folder

#: The longest time that a command may take.
TIMEOUT_SECONDS = 900.0

#: Prefixes of variables that would give a command access to this process's packages, settings and servers.
_OWN_VARIABLES = (
    "PYTHON",
    "BENTOML",
    "DEPLOYER",
    "VIRTUAL_ENV",
    "PYTEST",
    "PROMETHEUS",
    "MODEL_DEPLOYER",
    "PORT",
    "URL",
    "API_KEY",
)


@dataclass(frozen=True)
class CleanEnvironment:
    """A copy of a package; its ``.venv`` is the clean environment once it is installed.

    Attributes:
        folder: The folder of the copy.
    """

    folder: Path

    @property
    def programs(self) -> Path:
        """The folder with the programs of the clean environment."""
        return self.folder / ".venv" / "bin"

    def copy(self, folder: Path) -> None:
        """Copy the files of a package into this one."""
        shutil.copytree(folder, self.folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".venv"))

    def install(self) -> None:
        """Create the clean environment with the commands of README.md, if it does not exist yet.

        Raises:
            EnvironmentFault: If they fail; the message ends with the last line of their output.
        """
        if self.programs.exists():
            return
        completed = self.run(INSTALL, PIP_REPORT=str(self._report))
        if completed.returncode:
            raise EnvironmentFault(f"the package's requirements cannot be installed: {last_line(completed)}")

    @property
    def _report(self) -> Path:
        """The file in which pip lists what it installed."""
        return self.folder / ".venv" / "installed.json"

    def wheel_hashes(self) -> dict[str, str]:
        """Return the SHA-256 of the file of each installed package, by its normalized name.

        Packages whose index states no hash are left out.
        """
        return read_hashes(self._report)

    def installed(self) -> list[str]:
        """Return the packages of the clean environment as ``name==version``."""
        completed = self.run(".venv/bin/pip freeze --disable-pip-version-check --exclude pip --exclude setuptools")
        return sorted(completed.stdout.split())

    def run(self, command: str, **variables: str) -> Completed:
        """Run shell commands until one fails, with additional environment variables."""
        environment = clean_variables() | variables
        return run(["sh", "-e", "-c", command], self.folder, environment, TIMEOUT_SECONDS)


@contextmanager
def temporary_environment() -> Iterator[CleanEnvironment]:
    """Yield an empty environment, and remove it at the end."""
    with temporary_folder("model-package-") as folder:
        yield CleanEnvironment(folder)


def read_hashes(report: Path) -> dict[str, str]:
    """Return the SHA-256 of the files in a report of pip, by the normalized name of the package.

    Packages whose index states no hash are left out.
    """
    packages = json.loads(report.read_bytes())["install"]
    files = {package["metadata"]["name"]: package["download_info"].get("archive_info", {}) for package in packages}
    hashes = {canonicalize_name(name): file.get("hashes", {}).get("sha256") for name, file in files.items()}
    return {name: digest for name, digest in hashes.items() if digest}


def clean_variables() -> dict[str, str]:
    """Return the variables of this process without ``_OWN_VARIABLES``, and with BentoML's usage tracking disabled."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(_OWN_VARIABLES)}
    return variables | {"BENTOML_DO_NOT_TRACK": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
