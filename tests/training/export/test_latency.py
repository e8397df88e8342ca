import json

import onnx
import onnxruntime
import pytest

from model_deployer.contract.evaluation import Latency
from model_deployer.training.export.export import export_onnx
from model_deployer.training.export.latency import BATCH_ROWS, measure
from tests.support.tables import FEATURES, classes_of, spec, table, unfitted


@pytest.fixture(scope="module")
def graph() -> onnx.ModelProto:
    frame = table(300)
    model, _ = unfitted(frame, classes_of(frame, 2), 2, spec())
    return export_onnx(model, FEATURES)


@pytest.mark.parametrize("rows", [1, 3, 700])
def test_a_graph_is_timed_on_rows_of_any_number(graph: onnx.ModelProto, rows: int) -> None:
    latency = measure(graph, table(rows, seed=1))
    for times in (latency.one_row_ms, latency.batch_ms):
        assert 0 < times.p50 <= times.p99
        assert times.calls >= 1
    assert latency.us_per_row == pytest.approx(1000 * latency.batch_ms.p50 / BATCH_ROWS)


def test_what_was_measured_and_with_what_is_said_in_json(graph: onnx.ModelProto) -> None:
    latency = measure(graph, table(5))
    assert Latency.model_validate(json.loads(json.dumps(latency.to_json(), allow_nan=False))) == latency
    assert latency.bytes == len(graph.SerializeToString(deterministic=True))
    assert (latency.batch_rows, latency.threads) == (BATCH_ROWS, 1)
    assert latency.onnxruntime == onnxruntime.__version__
    assert latency.processor.strip()
