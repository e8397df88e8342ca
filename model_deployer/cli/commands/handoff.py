"""`deployer handoff [NAME[:VERSION]] -o DIR`."""

from pathlib import Path
from typing import Annotated

import typer

from model_deployer.contract import store
from model_deployer.system.extras import packages_of

Tag = Annotated[
    str | None, typer.Argument(metavar="[NAME[:VERSION]]", help="The model; default: the only model in the store.")
]
Out = Annotated[Path, typer.Option("--output", "-o", help="The folder to write; it must be new or empty.")]
Spec = Annotated[
    Path | None,
    typer.Option(
        "--spec",
        help="The model.yaml of the model, to replay the whole test part; default: the path that it was trained from.",
    ),
]
Key = Annotated[
    Path | None,
    typer.Option(help="Sign the package with this EC private key, a PEM file without a password."),
]
Verify = Annotated[bool, typer.Option(help="Verify the package; if not, every document in it is marked UNVERIFIED.")]
RunbookUrl = Annotated[
    str | None,
    typer.Option(
        "--runbook-url",
        metavar="URL",
        help="Where you will publish monitoring/RUNBOOK.md, so that alerts link to it; default: alerts have no link.",
    ),
]


def handoff(  # noqa: PLR0913, PLR0917 (the options of the command)
    tag: Tag = None,
    output: Out = Path("model-package"),
    spec: Spec = None,
    key: Key = None,
    verify: Verify = True,
    runbook_url: RunbookUrl = None,
) -> None:
    """Write a package for another team, and verify it.

    The package contains everything that is needed to run, call and monitor a model.
    """
    artifact = store.load(tag).require_servable()
    with packages_of("handoff"):
        from model_deployer.contract.signing_keys import read_private_key  # noqa: PLC0415
        from model_deployer.handoff.package import PackageOptions, write_package  # noqa: PLC0415
    write_package(artifact, output, PackageOptions(spec, verify, read_private_key(key) if key else None, runbook_url))
    print(f"{artifact.tag} is in {output}. Begin with {output / 'README.md'}")
