"""`deployer deploy TARGET [DIR] -o DIR`."""

from pathlib import Path
from typing import Annotated

import typer

Target = Annotated[
    str, typer.Argument(metavar="TARGET", help="kubernetes, kserve, sagemaker, vertex, azureml or compose.")
]
Package = Annotated[Path, typer.Argument(metavar="PACKAGE", help="The folder of a handoff package.")]
Out = Annotated[Path, typer.Option("--output", "-o", help="A folder that is not there yet, or is empty.")]
Image = Annotated[
    str | None, typer.Option(help="The image as the target pulls it, with a tag or a digest; compose does without.")
]
Load = Annotated[
    float | None,
    typer.Option("--rps", help="Requests of one row a second to carry; default: what one replica carries safely."),
]


def deploy(
    target: Target, output: Out, package: Package = Path("model-package"), image: Image = None, rps: Load = None
) -> None:
    """Write what a platform needs to run a model, sized by the measurements of its package."""
    from model_deployer.deployment import targets  # noqa: PLC0415 (no other command needs it)

    written = targets.deploy(target, package, output, image, rps)
    print(f"{written.package.tag} for {target} is in {output}. Begin with {output / 'README.md'}")
