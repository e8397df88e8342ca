"""`deployer sign [NAME[:VERSION]] --key FILE`."""

from pathlib import Path
from typing import Annotated

import typer

from model_deployer.cli.extras import packages_of
from model_deployer.contract import signature, store

Tag = Annotated[str | None, typer.Argument(metavar="[NAME[:VERSION]]", help="Default: the only model of the store.")]
Key = Annotated[Path, typer.Option(help="A PEM file with an EC private key, without a password.")]


def sign(key: Key, tag: Tag = None) -> None:
    """Sign a model, so that servers that have the public key serve no other one."""
    artifact = store.load(tag)
    with packages_of("signing"):
        print(signature.sign(artifact, key))
