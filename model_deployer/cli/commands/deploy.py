"""`deployer deploy TARGET [DIR] -o DIR`."""

from pathlib import Path
from typing import Annotated

import typer

Target = Annotated[
    str,
    typer.Argument(metavar="TARGET", help="The platform: kubernetes, kserve, sagemaker, vertex, azureml or compose."),
]
Package = Annotated[Path, typer.Argument(metavar="PACKAGE", help="The folder of a handoff package.")]
Out = Annotated[Path, typer.Option("--output", "-o", help="The folder to write; it must be new or empty.")]
Image = Annotated[
    str | None,
    typer.Option(help="The image that the platform pulls, with a tag or a digest; not needed for compose."),
]
Load = Annotated[
    float | None,
    typer.Option(
        "--rps", help="The expected load, in single-row requests per second; default: the safe load of one replica."
    ),
]


def deploy(
    target: Target, output: Out, package: Package = Path("model-package"), image: Image = None, rps: Load = None
) -> None:
    """Write the files to deploy a model to a platform.

    Replicas, CPU and memory follow from the measurements in the package.
    """
    from model_deployer.deployment import targets  # noqa: PLC0415 (no other command needs it)

    written = targets.deploy(target, package, output, image, rps)
    print(f"{written.package.tag} for {target} is in {output}. Begin with {output / 'README.md'}")
