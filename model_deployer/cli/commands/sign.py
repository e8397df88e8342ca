"""`deployer sign [NAME[:VERSION]] --key FILE`."""

from pathlib import Path
from typing import Annotated

import typer

from model_deployer.contract import signature, store
from model_deployer.system.extras import packages_of

Tag = Annotated[
    str | None, typer.Argument(metavar="[NAME[:VERSION]]", help="The model; default: the only model in the store.")
]
Key = Annotated[Path, typer.Option(help="A PEM file with an EC private key that has no password.")]


def sign(key: Key, tag: Tag = None) -> None:
    """Sign a model with a private key.

    A server with the public key serves only models with a valid signature.
    """
    artifact = store.load(tag)
    with packages_of("signing"):
        print(signature.sign(artifact, key))
