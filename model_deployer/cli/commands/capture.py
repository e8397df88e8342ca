"""`deployer capture delete STORE`."""

from typing import Annotated

import typer

from model_deployer.contract.errors import UsageError
from model_deployer.contract.number_format import count
from model_deployer.system.extras import packages_of

Store = Annotated[str, typer.Argument(metavar="STORE", help="The traffic store: a folder, or a URL such as s3://.")]
RowId = Annotated[str | None, typer.Option(metavar="ID", help="Delete the rows with this id of yours.")]
RequestId = Annotated[str | None, typer.Option(metavar="ID", help="Delete the rows of this request.")]
Field = Annotated[
    str | None, typer.Option(metavar="NAME=VALUE", help="Delete the rows in which a captured field has this value.")
]


def delete(store: Store, row_id: RowId = None, request_id: RequestId = None, field: Field = None) -> None:
    """Delete what a traffic store has of one subject: captured rows, refusals, labels, and rows of a shadow."""
    with packages_of("monitor"):
        from model_deployer.monitoring.traffic.deletion import Subject, delete  # noqa: PLC0415
        from model_deployer.monitoring.traffic.traffic_files import open_files  # noqa: PLC0415
    name, equals, value = (field or "").partition("=")
    if field and not (name and equals):
        raise UsageError("--field: expected NAME=VALUE, such as customer=4711")
    deleted = delete(open_files(store), Subject(row_id, request_id, (name, value) if field else None))
    tables = {"row": deleted.rows, "refusal": deleted.refusals, "label": deleted.labels}
    parts = ", ".join(count(lines, name) for name, lines in tables.items())
    print(f"{store}: {parts} and {count(deleted.shadow, 'row')} of a shadow deleted")
