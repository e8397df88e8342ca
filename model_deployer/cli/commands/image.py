"""`deployer image [NAME[:VERSION]]`."""

from typing import Annotated

import typer

from model_deployer.contract import store

Tag = Annotated[str | None, typer.Argument(metavar="[NAME[:VERSION]]", help="Default: the only model of the store.")]
Backend = Annotated[
    str | None, typer.Option(metavar="BACKEND", help="docker, podman or buildah; default: the first one that works.")
]
BuildArg = Annotated[
    list[str] | None,
    typer.Option(
        "--build-arg", metavar="KEY=VALUE", help="As of docker build: BASE, USER or ONNXRUNTIME; docs/06-image.md."
    ),
]


def image(tag: Tag = None, backend: Backend = None, build_arg: BuildArg = None) -> None:
    """Build an image that serves a model, named as the model is."""
    artifact = store.load(tag)
    from model_deployer.image.image import build_image  # noqa: PLC0415

    print(build_image(artifact, backend, build_arg or ()))
