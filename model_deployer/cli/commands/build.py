"""`deployer build [NAME[:VERSION]] [options of bentoml build]`."""

from typing import Annotated

import typer

from model_deployer.cli.bentoml_options import split_arguments
from model_deployer.contract import store

Tag = Annotated[
    str | None, typer.Argument(metavar="[NAME[:VERSION]]", help="The model; default: the only model in the store.")
]


def build(context: typer.Context, tag: Tag = None) -> None:
    """Build a Bento that pins a model.

    The Bento is saved in BentoML's Bento store. Other options are passed to `bentoml build`.
    """
    tag, options = split_arguments(context, tag)
    artifact = store.load(tag).require_servable()
    from model_deployer.image.bento import build_bento  # noqa: PLC0415

    bento = build_bento(artifact, options)
    print(f"{bento} is in the Bento store. Serve it:  bentoml serve {bento}")
