"""`deployer init table.csv --target y`."""

from pathlib import Path
from typing import Annotated

import typer

from model_deployer.contract.errors import UsageError
from model_deployer.system.extras import packages_of


def init(  # noqa: PLR0913 (one parameter per option)
    path: Annotated[
        str | None, typer.Argument(metavar="TABLE", help="The table: a file, a folder or glob of files, or a URL.")
    ] = None,
    *,
    target: Annotated[str, typer.Option(help="The column to predict.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path("model.yaml"),
    force: Annotated[bool, typer.Option(help="Overwrite an existing file.")] = False,
    query: Annotated[str | None, typer.Option(help="A query to read the table with, in place of files.")] = None,
    connection: Annotated[str | None, typer.Option(help="The database of the query.")] = None,
    table: Annotated[str | None, typer.Option(help="SQLite, DuckDB: the table.")] = None,
    format: Annotated[str | None, typer.Option(help="The format of the file, such as csv.")] = None,
    delimiter: Annotated[str | None, typer.Option(help="CSV: the character between values, or 'tab'.")] = None,
    quote: Annotated[str | None, typer.Option(help="CSV: the character around values, or 'none'.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Text: the encoding, such as cp1252.")] = None,
    header_row: Annotated[int | None, typer.Option(help="CSV, Excel: the row of the names; 0: none.")] = None,
    footer_rows: Annotated[int | None, typer.Option(help="CSV, Excel: rows at the end that are not data.")] = None,
    sheet: Annotated[str | None, typer.Option(help="Excel: the sheet.")] = None,
    range_: Annotated[str | None, typer.Option("--range", help="Excel: the cells, such as B3:F200.")] = None,
) -> None:
    """Write a commented model.yaml for a table.

    It contains everything that can be inferred from the table. How the table is read is inferred, too, unless an
    option states it.
    """
    options = {
        "path": path,
        "query": query,
        "connection": connection,
        "table": table,
        "format": format,
        "delimiter": delimiter,
        "quote": quote,
        "encoding": encoding,
        "header_row": header_row,
        "footer_rows": footer_rows,
        "sheet": sheet,
        "range": range_,
    }
    with packages_of("train"):
        from model_deployer.training.data.profile import print_findings  # noqa: PLC0415
        from model_deployer.training.data.spec_draft import draft_spec  # noqa: PLC0415
        from model_deployer.training.runtime.console import print_stage  # noqa: PLC0415
    if (path is None) == (query is None):
        raise UsageError("name the table, or pass --query with the query that reads it")
    if output.is_dir() or not output.parent.is_dir():
        raise UsageError(f"{output} cannot be written: --output must name a file in an existing folder")
    if output.exists() and not force:
        raise UsageError(f"{output} exists; name another file with --output, or overwrite it with --force")
    draft = draft_spec(target, output.parent, {key: value for key, value in options.items() if value is not None})
    output.write_text(draft.text, encoding="utf-8")
    for note in draft.notes:
        print_stage("read", note)
    print_findings(draft.findings)
    for question in draft.questions:
        print_stage("question", question.message())
    advice = "Answer the questions in it" if draft.questions else "Read it, correct it if necessary"
    print(f"Wrote {output}. {advice}, then run:  deployer train {output}")
