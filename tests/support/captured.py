"""Captured traffic of any days, as the servers would have written it, for tests that cannot wait for days."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import onnx
import polars as pl

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.outputs import Classification
from model_deployer.contract.traffic import output_column, partition
from model_deployer.training.data.features import conform
from model_deployer.training.export.export import graph_predictor

#: The time of the first row.
START = datetime(2026, 1, 1, tzinfo=UTC)


def capture_rows(
    store: Path, artifact: Artifact, rows: pl.DataFrame, labels: Sequence[str | float | None], days: int = 20
) -> None:
    """Write rows and their labels to a traffic store, as if they had come evenly over some days.

    Args:
        store: The folder of the store.
        artifact: The model, whose graph answers.
        rows: One column per field of the model, with values as captured.
        labels: The label of each row; None for a row without one.
        days: The number of days.
    """
    seconds = np.linspace(0, days * 86_400 - 1, len(rows))
    times = [START + timedelta(seconds=float(second)) for second in seconds]
    outputs = graph_predictor(onnx.load(artifact.model))(conform(rows, artifact.contract.features))
    answers = artifact.contract.output.columns(outputs)
    table = pl.DataFrame(
        {
            "request_id": [f"request-{index}" for index in range(len(rows))],
            "row": [0] * len(rows),
            "time": pl.Series(times, dtype=pl.Datetime("us", "UTC")),
            "protocol": ["native"] * len(rows),
            "status": [200] * len(rows),
            "degraded": [False] * len(rows),
            "milliseconds": [1.0] * len(rows),
            "weight": [1.0] * len(rows),
            "row_id": pl.Series([None] * len(rows), dtype=pl.String),
        }
        | {f"input.{name}": rows[name] for name in artifact.contract.names}
        | {output_column(name): values for name, values in answers.items()}
    )
    for (day,), part in table.group_by(pl.col("time").dt.date(), maintain_order=True):
        assert day
        folder = store / partition("traffic", artifact.tag, part["time"][0])
        folder.mkdir(parents=True, exist_ok=True)
        part.write_parquet(folder / "part.parquet")
    is_class = isinstance(artifact.contract.output, Classification)
    known = pl.DataFrame(
        {
            "request_id": table["request_id"],
            "row": table["row"],
            "row_id": table["row_id"],
            "label": [None if label is None else str(label) if is_class else repr(float(label)) for label in labels],
            "time": table["time"],
            "received": table["time"],
        }
    ).drop_nulls("label")
    if len(known):
        folder = store / partition("labels", artifact.tag, START)
        folder.mkdir(parents=True, exist_ok=True)
        known.write_parquet(folder / "labels.parquet")
