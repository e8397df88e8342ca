"""Make the environments of sources before a server starts, as an image does: ``python -m ... FOLDER``.

FOLDER has the models of a Bento, each in ``NAME/VERSION``. The environments are made in the folder that the variable
:data:`ENVIRONMENTS_VARIABLE` names, or in a folder of the environment that this program runs in. A server finds them
there, and needs no network.
"""

import os
import sys
from pathlib import Path

from model_deployer.contract.errors import DeployerError
from model_deployer.contract.source_runner import RUNNER, SourceRunner
from model_deployer.serving.engines.source_process import ENVIRONMENTS_FOLDER, ENVIRONMENTS_VARIABLE, source_environment


def prepare(models: Path) -> None:
    """Make the environment of each model whose source answers.

    Args:
        models: The folder of the models.

    Raises:
        EnvironmentFault: if one cannot be made.
    """
    for path in sorted(models.glob(f"*/*/{RUNNER}")):
        environment = source_environment(SourceRunner.read(path))
        print(f"{path.parent.relative_to(models)}: {environment.python}")
        for note in environment.notes:
            print(note)


if __name__ == "__main__":
    os.environ.setdefault(ENVIRONMENTS_VARIABLE, str(ENVIRONMENTS_FOLDER))
    try:
        prepare(Path(sys.argv[1]))
    except DeployerError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
