"""`deployer verify DIR`."""

from pathlib import Path
from typing import Annotated

import typer

from model_deployer.cli.extras import packages_of

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a package.")]
Url = Annotated[str | None, typer.Option(help="Ask this deployment; without it, a server of the package's own Bento.")]


Base = Annotated[
    str | None,
    typer.Option(
        "--container",
        metavar="BASE",
        help="Build the package's image on this one, such as python:3.11-slim, and run it, with docker or podman.",
    ),
]


def verify(folder: Folder = Path("model-package"), url: Url = None, base: Base = None) -> None:
    """Execute everything that a package says; VERIFICATION.md and .json in it tell what came of it."""
    with packages_of("handoff"):
        from model_deployer.handoff import verification  # noqa: PLC0415
    found = verification.verify(folder, url.rstrip("/") if url else None, base=base)
    verification.raise_for_failures(found)
    print(f"{folder} holds what it says; see {folder / verification.MARKDOWN}")
