"""`deployer pull oci://REGISTRY/REPOSITORY[:TAG][@DIGEST]`."""

from pathlib import Path
from typing import Annotated

import typer

from model_deployer.cli.commands.push import PlainHttp

Source = Annotated[
    str,
    typer.Argument(
        metavar="oci://REGISTRY/REPOSITORY[:TAG][@DIGEST]", help="The address of an image that `deployer push` made."
    ),
]
PublicKey = Annotated[
    Path | None, typer.Option(help="A PEM file with an EC public key: only an image that its owner signed is pulled.")
]


def pull(source: Source, public_key: PublicKey = None, plain_http: PlainHttp = False) -> None:
    """Pull a model from a registry into the store.

    Prints the tag of the model.
    """
    from model_deployer.contract.signing_keys import read_public_key  # noqa: PLC0415 (it loads cryptography)
    from model_deployer.distribution.image_reference import ImageReference  # noqa: PLC0415
    from model_deployer.distribution.image_registry import ImageRegistry  # noqa: PLC0415
    from model_deployer.distribution.pull import pull as pull_model  # noqa: PLC0415

    reference = ImageReference.parse(source)
    key = read_public_key(public_key) if public_key else None
    with ImageRegistry(reference, plain_http) as registry:
        print(pull_model(reference, registry, key))
