"""`deployer capture delete STORE`."""

from pathlib import Path
from typing import Annotated

import typer

from model_deployer.contract.errors import CheckFailed, UsageError
from model_deployer.contract.number_format import count
from model_deployer.system.extras import packages_of

Store = Annotated[str, typer.Argument(metavar="STORE", help="The traffic store: a folder, or a URL such as s3://.")]
RowId = Annotated[str | None, typer.Option(metavar="ID", help="Delete the rows with this id of yours.")]
RequestId = Annotated[str | None, typer.Option(metavar="ID", help="Delete the rows of this request.")]
Field = Annotated[
    str | None, typer.Option(metavar="NAME=VALUE", help="Delete the rows in which a captured field has this value.")
]

KeyFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--key-file",
        metavar="FILE",
        help="The key of a field that is captured as a hash (serving.capture_key_file); several for keys before it.",
    ),
]


def delete(
    store: Store,
    row_id: RowId = None,
    request_id: RequestId = None,
    field: Field = None,
    key_file: KeyFiles = None,
) -> None:
    """Delete what a traffic store has of one subject: captured rows, refusals, labels, and rows of a shadow.

    Running servers delete what they have not stored yet. Exit code 1: some hashes were made with another key.
    """
    with packages_of("monitor"):
        from model_deployer.monitoring.traffic.deletion import Subject, delete  # noqa: PLC0415
        from model_deployer.monitoring.traffic.traffic_files import open_files  # noqa: PLC0415
    name, equals, value = (field or "").partition("=")
    if field and not (name and equals):
        raise UsageError("--field: expected NAME=VALUE, such as customer=4711")
    secrets = tuple(_secret(file) for file in key_file or ())
    deleted = delete(open_files(store), Subject(row_id, request_id, (name, value) if field else None, secrets))
    tables = {"row": deleted.rows, "refusal": deleted.refusals, "label": deleted.labels}
    parts = ", ".join(count(lines, name) for name, lines in tables.items())
    print(f"{store}: {parts} and {count(deleted.shadow, 'row')} of a shadow deleted")
    if field:
        print("Run this again after serving.capture_seconds for labels of rows that servers have not stored yet.")
    if deleted.not_searched:
        raise CheckFailed(
            f"hashes of '{name}' of these months were made with keys that were not given, and were not searched: "
            f"{', '.join(deleted.not_searched)}; name the files of these keys with --key-file, or wait until "
            "their rows are removed (serving.capture_days)"
        )


def _secret(file: Path) -> bytes:
    try:
        return file.read_bytes().strip()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from None
