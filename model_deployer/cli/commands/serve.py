"""`deployer serve [NAME[:VERSION]] [options of bentoml serve]`."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from model_deployer.cli.bentoml_options import passed_on
from model_deployer.contract import store
from model_deployer.contract.errors import UsageError

Tag = Annotated[str | None, typer.Argument(metavar="[NAME[:VERSION]]", help="Default: the only model of the store.")]
Configuration = Annotated[
    Path | None,
    typer.Option(help="The settings of the server; default: configuration.yaml in this folder, if there is one."),
]
Port = Annotated[int, typer.Option(help="The port to listen on.")]
Host = Annotated[str | None, typer.Option(help="The address to bind; default: every address of this machine.")]


def serve(
    context: typer.Context, tag: Tag = None, port: Port = 3000, host: Host = None, configuration: Configuration = None
) -> None:
    """Serve a model on http://localhost:3000; further options go to `bentoml serve`."""
    tag, options = passed_on(context, tag)
    exact = store.resolve(tag)
    variables = {"BENTOML_DO_NOT_TRACK": "1"} | _settings(configuration)
    service = ["model_deployer.bundle.service:ModelService", "--arg", f"model={exact}"]
    address = ["--port", str(port), *(["--host", host] if host else [])]
    command = [sys.executable, "-m", "bentoml", "serve", *service, *address, *options]
    # The server takes the place of this process, so that signals and the exit code are its own.
    os.execve(sys.executable, command, os.environ | variables)


def _settings(file: Path | None) -> dict[str, str]:
    """The variable that names the settings; none for those of the package."""
    if file is None and not Path("configuration.yaml").is_file():
        return {}
    found = file or Path("configuration.yaml")
    if not found.is_file():
        raise UsageError(f"{found}: no such file; name the settings of the server with --configuration")
    return {"DEPLOYER_CONFIGURATION": str(found.absolute())}
