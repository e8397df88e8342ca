"""`deployer check [configuration.yaml]`."""

from pathlib import Path
from typing import Annotated

import typer

from model_deployer.cli.output import console
from model_deployer.contract.errors import CheckFailed

File = Annotated[Path, typer.Argument(help="The settings of the server.")]


def check(file: File = Path("configuration.yaml")) -> None:
    """Find what is misspelt or of a wrong kind in the settings of the server: BentoML would ignore it in silence."""
    from model_deployer.serving.config import configuration  # noqa: PLC0415 (it loads BentoML)

    if found := configuration.check(file):
        raise CheckFailed("\n".join(found))
    console.print(f"{file}: every key is known, and every value is of its kind", markup=False)
