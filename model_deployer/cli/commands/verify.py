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


PublicKey = Annotated[
    Path | None, typer.Option("--public-key", help="The EC public key of the author, a PEM file; checks the signature.")
]
Out = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="A folder for VERIFICATION.md and .json; default: none."),
]


def verify(
    folder: Folder = Path("model-package"),
    url: Url = None,
    base: Base = None,
    public_key: PublicKey = None,
    output: Out = None,
) -> None:
    """Verify a handoff package: compare its files and figures, and then run everything in it.

    The package is not changed, unless it was written with --no-verify.
    """
    with packages_of("handoff"):
        from model_deployer.handoff import verification  # noqa: PLC0415
        from model_deployer.package.package_data import read_package_data  # noqa: PLC0415
    is_verified = read_package_data(folder).is_verified
    options = verification.Options(url.rstrip("/") if url else None, base, public_key)
    results = verification.verify(folder, options)
    if output:
        verification.write_verification(results, output)
    verification.raise_for_failures(results)
    if not is_verified and not url:
        verification.complete_package(results, folder)
    print(f"{folder} passes the verification")
