"""`deployer init table.csv --target y`."""

from pathlib import Path
from typing import Annotated

import typer

from model_deployer.cli.extras import packages_of
from model_deployer.contract.errors import UsageError


def init(
    table: Annotated[Path, typer.Argument(help="The table: a CSV, Parquet, Arrow or JSON lines file.")],
    target: Annotated[str, typer.Option(help="The column to predict.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path("model.yaml"),
    force: Annotated[bool, typer.Option(help="Overwrite an existing file.")] = False,
) -> None:
    """Write a commented model.yaml for a table.

    It contains everything that can be inferred from the table.
    """
    with packages_of("train"):
        from model_deployer.training.data.profile import print_findings  # noqa: PLC0415
        from model_deployer.training.data.spec_draft import draft_spec  # noqa: PLC0415
        from model_deployer.training.runtime.console import print_stage  # noqa: PLC0415
    if output.is_dir() or not output.parent.is_dir():
        raise UsageError(f"{output} cannot be written: --output must name a file in an existing folder")
    if output.exists() and not force:
        raise UsageError(f"{output} exists; name another file with --output, or overwrite it with --force")
    draft = draft_spec(table, target, output.parent)
    output.write_text(draft.text, encoding="utf-8")
    for note in draft.notes:
        print_stage("read", note)
    print_findings(draft.findings)
    for question in draft.questions:
        print_stage("question", question.message())
    advice = "Answer the questions in it" if draft.questions else "Read it, correct it if necessary"
    print(f"Wrote {output}. {advice}, then run:  deployer train {output}")
