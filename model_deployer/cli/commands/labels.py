"""`deployer labels FILE --traffic STORE`."""

from pathlib import Path
from typing import Annotated

import typer
from rich import get_console

from model_deployer.cli.traffic_options import TrafficStore
from model_deployer.contract import store
from model_deployer.contract.number_format import count
from model_deployer.system.extras import packages_of

File = Annotated[Path, typer.Argument(help="A CSV, Parquet or JSON lines file with one label in each line.")]
ModelTag = Annotated[
    str | None, typer.Option("--model", metavar="NAME", help="The model; default: the only model in the store.")
]


def labels(file: File, *, traffic: TrafficStore, model: ModelTag = None) -> None:
    """Take what really happened for captured rows from a file.

    The columns are `label`, `time` (when it came to be known, optional), and `request_id` with `row`, or `row_id`, your
    own id of the row. They are validated as those of POST /feedback; if one cannot be used, none is taken.
    """
    with packages_of("monitor"):
        from model_deployer.monitoring.traffic.label_file import take_labels  # noqa: PLC0415
        from model_deployer.monitoring.traffic.traffic_files import open_files  # noqa: PLC0415
    artifact = store.load(model)
    taken = take_labels(file, open_files(traffic), artifact)
    print(f"{file}: {count(taken.taken, 'label')} taken for {artifact.manifest.name}")
    notes = (
        (taken.duplicates, "left out: the same label for the row was there before"),
        (taken.corrected, "replaced a different label that was there before"),
        (taken.contradicting, "contradicted an earlier line of the file; the last line counts"),
        (taken.unknown, "taken for rows that were not captured; they count when these rows come"),
    )
    for number, what in notes:
        if number:
            get_console().print(f"{number:,} {what}", markup=False, highlight=False, soft_wrap=True)
