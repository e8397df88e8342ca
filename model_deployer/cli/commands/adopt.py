"""`deployer adopt model.joblib --data table.csv --target y`."""

from pathlib import Path
from typing import Annotated

import typer

from model_deployer.contract.errors import UsageError
from model_deployer.system.extras import packages_of


def adopt(  # noqa: PLR0913 (one parameter per option)
    source: Annotated[
        Path,
        typer.Argument(help="A model that was trained elsewhere: a file, folder, BentoML tag, or models:/ of MLflow."),
    ],
    *,
    data: Annotated[Path | None, typer.Option(help="A table with the truth, to evaluate the model on.")] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(help="The column of the table that the model predicts; once for each of several, in its order."),
    ] = None,
    step: Annotated[
        list[str] | None,
        typer.Option(
            help="A file of the folder that the rows pass through, such as scaler.pkl, or file#key for an object in "
            "it; once for each step, in their order, the model last."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The name of the model in the store.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path("model.yaml"),
    trust: Annotated[bool, typer.Option(help="Consent to run the source: its files may hold programs.")] = False,
    force: Annotated[bool, typer.Option(help="Overwrite an existing file.")] = False,
) -> None:
    """Write a model.yaml for a model that was trained elsewhere.

    The source is read, and nothing of it runs. `deployer train` then proves that the served model answers as the
    source does, evaluates it on the table, and saves it.
    """
    with packages_of("train"):
        from model_deployer.adoption.read_source import SourceHints, read_source  # noqa: PLC0415
        from model_deployer.adoption.source_place import locate_source  # noqa: PLC0415
        from model_deployer.training.data.adoption_draft import draft_of  # noqa: PLC0415
        from model_deployer.training.runtime.console import print_stage  # noqa: PLC0415
    if output.is_dir() or not output.parent.is_dir():
        raise UsageError(f"{output} cannot be written: --output must name a file in an existing folder")
    if output.exists() and not force:
        raise UsageError(f"{output} exists; name another file with --output, or overwrite it with --force")
    if data is not None and "://" not in str(data) and not data.exists():
        raise UsageError(f"there is no table {data}")
    read = read_source(locate_source(str(source), Path()), SourceHints(steps=tuple(step or ())))
    for stage, line in read.lines():
        print_stage(stage, line)
    draft = draft_of(
        read, source, output.parent, name=name, table=data, targets=target or (), steps=step or (), is_trusted=trust
    )
    output.write_text(draft, encoding="utf-8")
    missing = [key for key, value in (("data.path", data), ("data.target", target)) if value is None]
    todo = f"Write {' and '.join(missing)} into it" if missing else "Read it, correct it if necessary"
    consent = "" if trust else ", remove the '#' before `trust` if you trust the author of the source"
    print(f"Wrote {output}. {todo}{consent}, then run:  deployer train {output}")
