"""ONNX Runtime, on the CPU or on a GPU of this machine."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from model_deployer.contract.errors import EnvironmentFault
from model_deployer.contract.outputs import Output
from model_deployer.contract.tensor_batch import Graph
from model_deployer.serving.rows.columns import Columns
from model_deployer.system.cpus import cpu_count

#: The longest time that a batch may block the event loop.
_MAX_INLINE_SECONDS = 0.001

#: How many times faster twice the threads must be: they take cores from other processes.
_MIN_SPEEDUP = 1.3

_CUDA = "CUDAExecutionProvider"

logger = logging.getLogger("model_deployer")


class OnnxEngine:
    """An inference session; its methods may be called from any thread.

    Args:
        model: The path of the ONNX graph.
        output: The model's output, which names the graph's output tensors.
        threads: The number of threads on the CPU; with None, :meth:`tune` chooses it.
        device: The index of the GPU, from 0; None for the CPU.

    Raises:
        EnvironmentFault: if a GPU is requested and this installation of ONNX Runtime does not support it.
    """

    degraded: str | None = None
    unavailable: str | None = None

    def __init__(self, model: Path, output: Output, threads: int | None = 1, device: int | None = None) -> None:
        if device is not None and _CUDA not in onnxruntime.get_available_providers():
            raise EnvironmentFault(
                "this ONNX Runtime runs on the CPU only: "
                "install onnxruntime-gpu in its place, or set `serving.engine: cpu` in configuration.yaml"
            )
        if device is not None:
            # pip installs the CUDA libraries in a folder that the system's loader does not search.
            onnxruntime.preload_dlls()
        self.name = "cpu" if device is None else "cuda"
        self.inline_rows = 0
        self._model = model
        self._tensors = list(output.tensors)
        self._device = device
        self._threads = threads
        self._graph = self._load(threads or 1)

    def tune(self, columns: Columns) -> None:
        """Choose the number of threads, if it is not fixed, and the number of rows that may run in the event loop.

        Args:
            columns: A full batch: one array per feature, [rows, *shape], float64 or str objects.
        """
        if self._threads is None:
            self._choose_threads(columns)
        if self._device is None:
            self.inline_rows = self._measure_inline_rows(columns)

    def run(self, columns: Columns) -> dict[str, NDArray[Any]]:
        """Return the output tensors by name, [rows, n] float32, one row for each row of ``columns``.

        Tensors with a free shape may differ in it; the graph runs once for each shape.
        """
        return self._graph(columns)

    run_locally = run

    def close(self) -> None:
        """Do nothing: this engine has no background work."""

    def _load(self, threads: int) -> Graph:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # A spinning thread pool occupies the core that the event loop needs between two batches.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers: list[Any] = ["CPUExecutionProvider"]
        if self._device is not None:
            providers = [(_CUDA, {"device_id": self._device}), *providers]
        return Graph(onnxruntime.InferenceSession(str(self._model), options, providers=providers), self._tensors)

    def _choose_threads(self, columns: Columns) -> None:
        """Double the number of threads while each doubling reaches the minimum speedup."""
        threads, seconds = 1, _best_of(3, lambda: self.run(columns))
        while 2 * threads <= cpu_count():
            previous_graph = self._graph
            self._graph = self._load(2 * threads)
            doubled_seconds = _best_of(3, lambda: self.run(columns))
            if doubled_seconds * _MIN_SPEEDUP > seconds:
                self._graph = previous_graph
                break
            threads, seconds = 2 * threads, doubled_seconds
        self._threads = threads
        logger.info(
            "number of ONNX Runtime threads chosen", extra={"threads": threads, "batch_ms": round(1000 * seconds, 3)}
        )

    def _measure_inline_rows(self, columns: Columns) -> int:
        """Return the largest power of two of rows, up to those of ``columns``, that runs within the time limit."""
        rows, max_rows = 1, len(next(iter(columns.values())))
        while 2 * rows <= max_rows:
            batch = {name: array[: 2 * rows] for name, array in columns.items()}
            if _best_of(3, lambda: self.run(batch)) > _MAX_INLINE_SECONDS:  # noqa: B023 (called in this iteration)
                break
            rows *= 2
        return rows


def _best_of(times: int, call: Callable[[], object]) -> float:
    """Return the duration of the fastest of several calls, in seconds."""
    durations = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        durations.append(time.perf_counter() - start)
    return min(durations)
