"""`deployer serve [NAME[:VERSION]] [options of bentoml serve]`."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from model_deployer.cli.bentoml_options import split_arguments
from model_deployer.contract import store
from model_deployer.contract.errors import UsageError

Tag = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME[:VERSION]]",
        help="The model; default: the only model in the store. With NAME@ALIAS, the server follows the alias.",
    ),
]
Configuration = Annotated[
    Path | None,
    typer.Option(help="The file with the settings of the server; default: configuration.yaml here, if there is one."),
]
Port = Annotated[int, typer.Option(help="The port to listen on.")]
Folder = Annotated[
    Path | None, typer.Option(help="A folder with the files of a model, to serve in place of a model of the store.")
]
Host = Annotated[str | None, typer.Option(help="The address to listen on; default: every address of this machine.")]


def serve(  # noqa: PLR0913, PLR0917 (the options of the command)
    context: typer.Context,
    tag: Tag = None,
    port: Port = 3000,
    host: Host = None,
    configuration: Configuration = None,
    folder: Folder = None,
) -> None:
    """Serve a model on http://localhost:3000.

    Other options are passed to `bentoml serve`.
    """
    tag, options = split_arguments(context, tag)
    variables = _settings_variable(configuration)
    service = ["model_deployer.bundle.service:ModelService", *_model(tag, folder)]
    if folder:
        variables["DEPLOYER_MODEL_FOLDER"] = str(folder.absolute())
    address = ["--port", str(port), *(["--host", host] if host else [])]
    command = [sys.executable, "-m", "bentoml", "serve", *service, *address, *options]
    # The server replaces this process, so that it gets the signals and sets the exit code.
    os.execve(sys.executable, command, os.environ | variables)


def _model(tag: str | None, folder: Path | None) -> list[str]:
    """Return the options that name the model; an alias is passed on, so that the server follows it."""
    if folder:
        if tag:
            raise UsageError("name a model of the store, or --folder, and not both")
        return []
    exact_tag = store.resolve(tag)
    return ["--arg", f"model={tag if tag and '@' in tag else exact_tag}"]


def _settings_variable(file: Path | None) -> dict[str, str]:
    """Return the environment variable that names the settings; none for the default settings."""
    if file is None and not Path("configuration.yaml").is_file():
        return {}
    settings = file or Path("configuration.yaml")
    if not settings.is_file():
        raise UsageError(f"{settings}: no such file; name the settings of the server with --configuration")
    return {"DEPLOYER_CONFIGURATION": str(settings.absolute())}
