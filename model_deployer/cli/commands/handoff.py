"""`deployer handoff [NAME[:VERSION]] -o DIR`."""

from pathlib import Path
from typing import Annotated

import typer

from model_deployer.cli.extras import packages_of
from model_deployer.contract import store

Tag = Annotated[str | None, typer.Argument(metavar="[NAME[:VERSION]]", help="Default: the only model of the store.")]
Out = Annotated[Path, typer.Option("--output", "-o", help="A folder that is not there yet, or is empty.")]
Spec = Annotated[
    Path | None,
    typer.Option(
        "--spec", help="The model.yaml it was trained from, for a replay on the whole test part; default: where it lay."
    ),
]
Verify = Annotated[bool, typer.Option(help="Prove the package; else every document of it says UNVERIFIED.")]


def handoff(tag: Tag = None, output: Out = Path("model-package"), spec: Spec = None, verify: Verify = True) -> None:
    """Write all that another team needs to run, call, watch and trust a model, and prove it."""
    artifact = store.load(tag)
    with packages_of("handoff"):
        from model_deployer.handoff.package import write_package  # noqa: PLC0415
    write_package(artifact, output, spec, verify)
    print(f"{artifact.tag} is in {output}. Begin with {output / 'README.md'}")
