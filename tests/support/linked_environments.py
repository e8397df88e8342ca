"""Virtual environments whose packages are links to those of the tests, so that nothing has to be installed."""

import json
import platform
import sys
import sysconfig
import venv
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

from model_deployer.adoption.cell.environment import environment_folder
from model_deployer.contract.source_runner import SourceRunner
from model_deployer.handoff.sandbox.environment import CleanEnvironment
from model_deployer.serving.engines.source_process import python_version


def link_environment(folder: Path, names: Iterable[str]) -> None:
    """Make a virtual environment with some packages of the tests, and with their programs."""
    venv.EnvBuilder(with_pip=False, symlinks=True).create(folder)
    packages = folder / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
    for name in names:
        for file in distribution(name).files or ():
            place = Path(str(file.locate()))
            if place.parent.name == "bin":
                _write_program(place, folder / "bin")
            elif not (packages / file.parts[0]).exists() and file.parts[0] != "..":
                (packages / file.parts[0]).symlink_to(Path(str(distribution(name).locate_file(file.parts[0]))))


def _write_program(program: Path, folder: Path) -> None:
    """Write a program of Python for another environment; others are left out."""
    first, _, rest = program.read_bytes().partition(b"\n")
    if b"python" in first:
        (folder / program.name).write_bytes(f"#!{folder}/python\n".encode() + rest)
        (folder / program.name).chmod(0o755)


def link_source(runner: SourceRunner, folder: Path) -> None:
    """Make the environment of a source in a folder of environments."""
    made = environment_folder(runner.requirements, python_version(runner), folder)
    pins = dict(requirement.split("==") for requirement in runner.requirements)
    link_environment(made, pins)
    facts = {"versions": pins | {"python": platform.python_version()}, "notes": []}
    (made / "cell.json").write_text(json.dumps(facts))


def linked_environment(folder: Path, names: Iterable[str], runner: SourceRunner) -> CleanEnvironment:
    """Return both environments of the package of a model that its source serves, in a new folder.

    Args:
        folder: The folder of the copy of the package.
        names: The packages of the service and of the tests.
        runner: How the source is started.
    """
    link_environment(folder / ".venv", [*names, "pip"])
    (folder / ".venv" / "installed.json").write_text('{"install": []}')
    link_source(runner, folder / ".venv" / "environments")
    return CleanEnvironment(folder)
