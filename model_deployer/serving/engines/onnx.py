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
from model_deployer.serving.rows.columns import Columns
from model_deployer.system.cpus import cpu_count

#: Seconds that a batch may hold up the event loop.
_MOMENT = 0.001

#: More threads have to be so much faster, since they take cores from everybody else.
_GAIN = 1.3

_CUDA = "CUDAExecutionProvider"

logger = logging.getLogger("model_deployer")


class OnnxEngine:
    """One session, safe to call from any thread.

    Args:
        model: The graph.
        output: What it answers.
        threads: Threads on the CPU; None has :meth:`tune` find out how many are worth it.
        device: The number of the GPU, from 0; None for the CPU.

    Raises:
        EnvironmentFault: A GPU is wanted, and this installation of ONNX Runtime has no support for it.
    """

    degraded: str | None = None

    def __init__(self, model: Path, output: Output, threads: int | None = 1, device: int | None = None) -> None:
        if device is not None and _CUDA not in onnxruntime.get_available_providers():
            raise EnvironmentFault(
                "this ONNX Runtime runs on the CPU only: "
                "install onnxruntime-gpu in its place, or set `serving.engine: cpu` in configuration.yaml"
            )
        if device is not None:
            # The CUDA libraries that pip installs lie where the system's loader does not look.
            onnxruntime.preload_dlls()
        self.name = "cpu" if device is None else "cuda"
        self.inline_rows = 0
        self._model = model
        self._tensors = list(output.tensors)
        self._device = device
        self._threads = threads
        self._session = self._load(threads or 1)

    def tune(self, columns: Columns) -> None:
        """Choose the number of threads, where it is open, and how many rows may run in the event loop."""
        if self._threads is None:
            self._choose_threads(columns)
        if self._device is None:
            self.inline_rows = self._rows_of_a_moment(columns)

    def run(self, columns: Columns) -> dict[str, NDArray[Any]]:
        """The output tensors, one row for each row of ``columns``."""
        return dict(zip(self._tensors, self._session.run(self._tensors, columns), strict=True))

    check = run

    def close(self) -> None:
        """Nothing runs beside the caller's thread."""

    def _load(self, threads: int) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # A spinning pool burns the core that the event loop needs between two batches.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers: list[Any] = ["CPUExecutionProvider"]
        if self._device is not None:
            providers = [(_CUDA, {"device_id": self._device}), *providers]
        return onnxruntime.InferenceSession(str(self._model), options, providers=providers)

    def _choose_threads(self, columns: Columns) -> None:
        """One thread more and more, as long as each doubling is worth its cores."""
        threads, seconds = 1, _best_of(3, lambda: self.run(columns))
        while 2 * threads <= cpu_count():
            single = self._session
            self._session = self._load(2 * threads)
            faster = _best_of(3, lambda: self.run(columns))
            if faster * _GAIN > seconds:
                self._session = single
                break
            threads, seconds = 2 * threads, faster
        self._threads = threads
        logger.info("threads of ONNX Runtime chosen", extra={"threads": threads, "batch_ms": round(1000 * seconds, 3)})

    def _rows_of_a_moment(self, columns: Columns) -> int:
        """The largest power of two, up to the rows given, that takes no longer than a moment."""
        rows, most = 1, len(next(iter(columns.values())))
        while 2 * rows <= most:
            part = {name: array[: 2 * rows] for name, array in columns.items()}
            if _best_of(3, lambda: self.run(part)) > _MOMENT:  # noqa: B023 (called before the next turn)
                break
            rows *= 2
        return rows


def _best_of(times: int, call: Callable[[], object]) -> float:
    """The seconds of the fastest call."""
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return min(seconds)
