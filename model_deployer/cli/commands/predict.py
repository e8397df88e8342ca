"""`deployer predict MODEL TABLE -o answers.parquet`."""

from pathlib import Path
from typing import Annotated

import typer
from rich import get_console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from model_deployer.contract import store
from model_deployer.system.extras import packages_of

Tag = Annotated[str, typer.Argument(metavar="NAME[:VERSION]", help="The model.")]
TablePath = Annotated[
    str, typer.Argument(metavar="TABLE", help="A CSV, Parquet, Arrow or JSON lines file, or a glob of such files.")
]
Output = Annotated[Path, typer.Option("--output", "-o", help="The file to write: .parquet or .csv.")]
Keep = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMNS", help="Columns of the table to copy into the output, such as an id."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue an interrupted run, if there is one.")]


def predict(tag: Tag, table: TablePath, output: Output, keep: Keep = None, resume: Resume = False) -> None:
    """Predict every row of a table, without a server.

    The output has the predictions of each row, or its problems in the column `error`. Exit code 1: rows were refused.
    """
    with packages_of("train"):
        from model_deployer.prediction.file_prediction import FilePrediction, predict_file  # noqa: PLC0415
    artifact = store.load(tag).require_servable()
    job = FilePrediction(table, output, keep or (), resume)
    with _bar() as bar:
        task = bar.add_task("", total=None, rows="0")
        summary = predict_file(
            artifact,
            job,
            lambda done, total: bar.update(task, completed=done, total=total, rows=f"{done:,}"),
        )
    if summary.left_out:
        _note(f"columns that {artifact.tag} does not use: {', '.join(summary.left_out)}")
    if summary.absent:
        _note(f"optional fields that the table does not have: {', '.join(summary.absent)}")
    refused = f", {summary.refused:,} refused: see the column `error`" if summary.refused else ", 0 refused"
    print(f"{output}: {summary.answered:,} rows answered by {artifact.tag}{refused}")
    if summary.refused:
        raise typer.Exit(1)


def _bar() -> Bar:
    columns = (TextColumn("predicting"), BarColumn(), TextColumn("{task.fields[rows]} rows"), TimeRemainingColumn())
    return Bar(*columns, console=get_console(), transient=True, disable=not get_console().is_terminal)


def _note(text: str) -> None:
    get_console().print(text, markup=False, highlight=False, soft_wrap=True)
