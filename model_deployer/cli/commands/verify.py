"""`deployer verify DIR`."""

from pathlib import Path
from typing import Annotated

import typer

from model_deployer.system.extras import packages_of

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a handoff package.")]
Url = Annotated[
    str | None, typer.Option(help="The deployment to test; default: a server that is started from the package's Bento.")
]


Base = Annotated[
    str | None,
    typer.Option(
        "--container",
        metavar="BASE",
        help="Also build the package's image on this base image, such as python:3.11-slim, with docker or podman, and "
        "run it.",
    ),
]


def verify(folder: Folder = Path("model-package"), url: Url = None, base: Base = None) -> None:
    """Verify a handoff package by executing it.

    The results are in VERIFICATION.md and VERIFICATION.json in the package.
    """
    with packages_of("handoff"):
        from model_deployer.handoff import verification  # noqa: PLC0415
    results = verification.verify(folder, url.rstrip("/") if url else None, base=base)
    verification.raise_for_failures(results)
    print(f"{folder} passes the verification; see {folder / verification.MARKDOWN}")
