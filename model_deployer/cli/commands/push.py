"""`deployer push [NAME[:VERSION]] oci://REGISTRY/REPOSITORY[:TAG]`."""

from pathlib import Path
from typing import Annotated

import typer

from model_deployer.contract import store

Tag = Annotated[str, typer.Argument(metavar="NAME[:VERSION]", help="The model.")]
Target = Annotated[
    str,
    typer.Argument(
        metavar="oci://REGISTRY/REPOSITORY[:TAG]",
        help="The address of the image; default of the tag: the version of the model.",
    ),
]
Key = Annotated[
    Path | None, typer.Option(help="A PEM file with an EC private key that has no password: it signs the image.")
]
PlainHttp = Annotated[
    bool, typer.Option("--plain-http", help="Ask the registry without TLS; one on this machine is asked so anyway.")
]


def push(tag: Tag, target: Target, key: Key = None, plain_http: PlainHttp = False) -> None:
    """Push a model to a registry as an image that Kubernetes can mount.

    Prints the address of the image with its digest.
    """
    from model_deployer.contract.signing_keys import read_private_key  # noqa: PLC0415 (it loads cryptography)
    from model_deployer.distribution.image_reference import ImageReference  # noqa: PLC0415
    from model_deployer.distribution.image_registry import ImageRegistry  # noqa: PLC0415
    from model_deployer.distribution.push import push as push_model  # noqa: PLC0415

    reference = ImageReference.parse(target)
    private_key = read_private_key(key) if key else None
    artifact = store.load(tag)
    with ImageRegistry(reference, plain_http) as registry:
        print(push_model(artifact, reference, registry, private_key))
