"""`deployer check [configuration.yaml]`."""

from pathlib import Path
from typing import Annotated

import typer

from model_deployer.cli.output import console
from model_deployer.contract.errors import CheckFailed

File = Annotated[Path, typer.Argument(help="The file with the settings of the server.")]


def check(file: File = Path("configuration.yaml")) -> None:
    """Check the settings of the server.

    It finds misspelt keys and wrong values, which BentoML would ignore silently.
    """
    from model_deployer.serving.config import configuration  # noqa: PLC0415 (it loads BentoML)

    if problems := configuration.check(file):
        raise CheckFailed("\n".join(problems))
    console.print(f"{file}: every key is known and every value is valid", markup=False)
