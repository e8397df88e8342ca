"""Environments that are those of the tests, so that nothing has to be installed."""

import json
import sys
from pathlib import Path

from model_deployer.adoption.cell.environment import current_environment, environment_folder
from model_deployer.contract.source_runner import SourceRunner
from model_deployer.handoff.sandbox.environment import CleanEnvironment
from model_deployer.serving.engines.source_process import python_version

#: What makes a folder a virtual environment.
_PARTS = ("bin", "lib", "pyvenv.cfg")


def link_environment(folder: Path) -> Path:
    """Make a virtual environment with the packages of the tests, and return it."""
    folder.mkdir(parents=True)
    for name in _PARTS:
        (folder / name).symlink_to(Path(sys.prefix) / name)
    return folder


def link_source(runner: SourceRunner, folder: Path) -> None:
    """Make the environment of a source in a folder of environments."""
    made = link_environment(environment_folder(runner.requirements, python_version(runner), folder))
    facts = {"versions": dict(current_environment().versions), "notes": []}
    (made / "cell.json").write_text(json.dumps(facts))


def linked_environment(folder: Path, runner: SourceRunner) -> CleanEnvironment:
    """Return both environments of the package of a model that its source serves, in a new folder."""
    made = link_environment(folder / ".venv")
    (made / "installed.json").write_text('{"install": []}')
    link_source(runner, made / "environments")
    return CleanEnvironment(folder)
