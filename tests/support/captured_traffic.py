"""A traffic store with captured rows of many days, written by the capture itself."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.traffic import partition
from model_deployer.serving.capture.record_tables import label_batch
from model_deployer.serving.capture.row_sampler import everything
from model_deployer.serving.capture.spool import write_part
from model_deployer.serving.capture.traffic_listener import AnsweredRequest, TakenRows
from model_deployer.serving.config.settings import Settings
from model_deployer.serving.engines.onnx import OnnxEngine
from model_deployer.serving.predictor import Predictor
from model_deployer.serving.rows.decoding import Decoder

FIRST_DAY = datetime(2026, 1, 5, 12, tzinfo=UTC)

#: Returns the label of a row that got a prediction; None if it has none yet.
Labeller = Callable[[Mapping[str, Any], Mapping[str, Any]], str | None]


def write_traffic(
    store: Path, model: Artifact, days: Sequence[Sequence[Mapping[str, Any]]], label: Labeller | None = None
) -> None:
    """Write the rows of days into a traffic store: each row is a request of its own.

    Args:
        store: The store, a folder.
        model: The model that answers them.
        days: The rows of each day.
        label: Returns their labels; None for no labels.
    """
    predictor = Predictor(model, Settings(capture=str(store)))
    assert predictor.capture is not None
    engine = OnnxEngine(model.model, model.contract.output)
    labels: list[dict[str, Any]] = []
    for number, rows in enumerate(days):
        day = FIRST_DAY + timedelta(days=number)
        requests = []
        for index, row in enumerate(rows):
            decoded = Decoder(model.contract)(json.dumps({"rows": [row]}).encode())
            outputs = engine.run(predictor._batch_columns([decoded]))
            request_id = f"{model.manifest.version}-{number}-{index}"
            time = day.timestamp() + index / 10
            taken = TakenRows(predictor.capture, decoded, outputs, time, False, everything(1))
            requests.append(AnsweredRequest(request_id, "native", 0.002, taken))
            (prediction,) = model.contract.output.predictions(outputs)
            value = label(row, prediction) if label else None
            if value is not None:
                known = {"label": value, "time": time, "received": time}
                labels.append({"request_id": request_id, "row": 0, "row_id": None, **known})
        batch = predictor.capture._table.batch(requests)
        _publish(store, f"{partition('traffic', model.tag, day)}/{number}.parquet", batch)
    if labels:
        _publish(
            store, f"{partition('labels', model.tag, FIRST_DAY)}/{model.manifest.version}.parquet", label_batch(labels)
        )


def _publish(store: Path, path: str, batch: Any) -> None:
    write_part(store / ".made", path, [batch])
    target = store / path
    target.parent.mkdir(parents=True, exist_ok=True)
    (store / ".made" / "parts" / path).replace(target)
