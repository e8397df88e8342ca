"""How long the exported model takes to answer, on this machine and on one thread, and how large it is."""

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
from model_deployer.training.export.export import feeds

#: Rows in a batch, and different rows that are asked for one by one.
BATCH_ROWS = 512

#: The most answers measured of each kind: enough that the slowest in a hundred are some.
SINGLE_CALLS, BATCH_CALLS = 2000, 100

#: Seconds after which no other answer of a kind is measured, and of the warm-up before it.
SECONDS, WARM_UP_SECONDS = 0.7, 0.2

Feeds = dict[str, NDArray[Any]]


def measure(graph: onnx.ModelProto, frame: pl.DataFrame) -> Latency:
    """Time the answers to one row and to a batch, by the clock on the wall.

    One thread of ONNX Runtime, as many services share a machine; the time in a server's queue and codecs is not in it.

    Args:
        graph: The exported model.
        frame: At least one conformed row; rows are repeated where there are fewer than a batch has.

    It takes two seconds at most, unless single answers take longer.
    """
    content = graph.SerializeToString()
    session = _session(content)
    batch = feeds(session, frame[np.resize(np.arange(frame.height), BATCH_ROWS)])
    rows = [{name: column[row : row + 1] for name, column in batch.items()} for row in range(BATCH_ROWS)]
    answer: Callable[[Feeds], Any] = lambda asked: session.run(None, asked)  # noqa: E731
    one_row, batches = _times(answer, rows, SINGLE_CALLS), _times(answer, [batch], BATCH_CALLS)
    return Latency(
        one_row_ms=_milliseconds(one_row),
        batch_rows=BATCH_ROWS,
        batch_ms=_milliseconds(batches),
        us_per_row=float(np.median(batches)) * 1e6 / BATCH_ROWS,
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


def _times(answer: Callable[[Feeds], Any], asked: Sequence[Feeds], calls: int) -> list[float]:
    """Seconds of each answer, at least one, after a warm-up that no figure shows."""
    _repeat(answer, asked, calls, WARM_UP_SECONDS)
    return _repeat(answer, asked, calls, SECONDS)


def _repeat(answer: Callable[[Feeds], Any], asked: Sequence[Feeds], calls: int, seconds: float) -> list[float]:
    times: list[float] = []
    end = perf_counter() + seconds
    for feed in islice(cycle(asked), calls):
        start = perf_counter()
        answer(feed)
        stop = perf_counter()
        times.append(stop - start)
        if stop > end:
            break
    return times


def _milliseconds(seconds: Sequence[float]) -> CallTimes:
    p50, p99 = (1000 * np.quantile(seconds, [0.5, 0.99])).tolist()
    return CallTimes(p50=p50, p99=p99, calls=len(seconds))


def _processor() -> str:
    """The processor as its maker calls it, or else its architecture."""
    described = Path("/proc/cpuinfo")
    lines = described.read_text(encoding="utf-8").splitlines() if described.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
