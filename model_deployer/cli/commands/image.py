"""`deployer image [NAME[:VERSION]]`."""

from typing import Annotated

import typer

from model_deployer.contract import store

Tag = Annotated[
    str | None, typer.Argument(metavar="[NAME[:VERSION]]", help="The model; default: the only model in the store.")
]
Backend = Annotated[
    str | None,
    typer.Option(
        metavar="BACKEND", help="The program that builds: docker, podman or buildah; default: the first that works."
    ),
]
BuildArg = Annotated[
    list[str] | None,
    typer.Option(
        "--build-arg",
        metavar="KEY=VALUE",
        help="A build argument: BASE, USER or ONNXRUNTIME; docs/06-image.md explains them. May be repeated.",
    ),
]


def image(tag: Tag = None, backend: Backend = None, build_arg: BuildArg = None) -> None:
    """Build a container image that serves a model.

    The image has the name and the version of the model.
    """
    artifact = store.load(tag).require_servable()
    from model_deployer.image.image import build_image  # noqa: PLC0415

    print(build_image(artifact, backend, build_arg or ()))
