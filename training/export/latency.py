"""Measure the latency of the exported model, on this machine and on one thread, and its size."""

import platform
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import onnx
import onnxruntime
import polars as pl
from numpy.typing import NDArray

from model_deployer.contract.evaluation import CallTimes, Latency
from model_deployer.contract.tensor_batch import Graph
from model_deployer.training.export.export import feeds

#: The number of rows in a batch, unless a row has very many numbers.
BATCH_ROWS = 512

#: The maximum number of measured calls with one row and with a batch; enough for several calls beyond the 99th
#: percentile of single rows.
MAX_SINGLE_CALLS, MAX_BATCH_CALLS = 2000, 100

#: The duration of a measurement, after which no further call starts, and of the warm-up before it.
MEASURE_SECONDS, WARM_UP_SECONDS = 0.7, 0.2

Feeds = dict[str, NDArray[Any]]


def measure(graph: onnx.ModelProto, frame: pl.DataFrame, batch_rows: int = BATCH_ROWS) -> Latency:
    """Measure the wall-clock time of predictions for one row and for a batch.

    ONNX Runtime uses one thread, because many services share a machine. The time in the queue and in the encoders and
    decoders of a server is not included. The measurement takes at most two seconds, unless a single call takes longer.

    Args:
        graph: The exported model.
        frame: At least one conformed row; rows are repeated if there are fewer than in a batch.
        batch_rows: The number of rows in a batch, and of different rows that are predicted one by one.
    """
    content = graph.SerializeToString()
    session = _session(content)
    batch = feeds(session, frame[np.resize(np.arange(frame.height), batch_rows)])
    rows = [{name: column[row : row + 1] for name, column in batch.items()} for row in range(batch_rows)]
    predict = Graph(session)
    one_row, batches = _times(predict, rows, MAX_SINGLE_CALLS), _times(predict, [batch], MAX_BATCH_CALLS)
    return Latency(
        one_row_ms=_milliseconds(one_row),
        batch_rows=batch_rows,
        batch_ms=_milliseconds(batches),
        us_per_row=float(np.median(batches)) * 1e6 / batch_rows,
        bytes=len(content),
        threads=1,
        onnxruntime=onnxruntime.__version__,
        processor=_processor(),
    )


def _session(content: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _times(predict: Callable[[Feeds], Any], inputs: Sequence[Feeds], calls: int) -> list[float]:
    """Return the seconds of each call, at least one, after a warm-up that is not measured."""
    _repeat(predict, inputs, calls, WARM_UP_SECONDS)
    return _repeat(predict, inputs, calls, MEASURE_SECONDS)


def _repeat(predict: Callable[[Feeds], Any], inputs: Sequence[Feeds], calls: int, seconds: float) -> list[float]:
    times: list[float] = []
    end = perf_counter() + seconds
    for feed in islice(cycle(inputs), calls):
        start = perf_counter()
        predict(feed)
        stop = perf_counter()
        times.append(stop - start)
        if stop > end:
            break
    return times


def _milliseconds(seconds: Sequence[float]) -> CallTimes:
    p50, p99 = (1000 * np.quantile(seconds, [0.5, 0.99])).tolist()
    return CallTimes(p50=p50, p99=p99, calls=len(seconds))


def _processor() -> str:
    """Return the model name of the processor, or its architecture if the name is unknown."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
