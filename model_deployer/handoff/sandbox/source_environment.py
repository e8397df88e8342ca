"""The second environment of a package: that of a source that serves its model itself."""

from model_deployer.adoption.cell.environment import CellEnvironment, prepare_environment
from model_deployer.contract.errors import EnvironmentFault
from model_deployer.contract.source_runner import SourceRunner
from model_deployer.handoff.sandbox.environment import CleanEnvironment
from model_deployer.package.readme_commands import INSTALL_SOURCE
from model_deployer.serving.engines.source_process import ENVIRONMENTS_FOLDER, python_version
from model_deployer.system.command import last_line


def install_source(environment: CleanEnvironment, runner: SourceRunner) -> CellEnvironment:
    """Create the environment of a source with the command of README.md, if it does not exist yet, and return it.

    Args:
        environment: The installed environment, with a copy of the package.
        runner: How the source is started.

    Raises:
        EnvironmentFault: If it cannot be made; the message ends with the last line of the output.
    """
    completed = environment.run(INSTALL_SOURCE)
    if completed.returncode:
        raise EnvironmentFault(f"the environment of the model's process cannot be made: {last_line(completed)}")
    folder = environment.programs.parent / ENVIRONMENTS_FOLDER.name
    return prepare_environment(runner.requirements, python_version(runner), folder)
