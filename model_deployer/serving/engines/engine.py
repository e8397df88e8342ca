"""What runs the graph. An engine knows arrays, never HTTP.

============ =========================================================================================================
cpu          ONNX Runtime in the worker
cuda         ONNX Runtime in the worker, on a GPU
runner       another service of the same deployment, one process a GPU; while it does not answer, the worker's own CPU
============ =========================================================================================================
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import onnxruntime
from numpy.typing import NDArray

from model_deployer.serving.config.settings import Settings
from model_deployer.serving.rows.columns import Columns

_CUDA = "CUDAExecutionProvider"
_DRIVER = Path("/proc/driver/nvidia/gpus")


class Engine(Protocol):
    """Columns in, output tensors out.

    Attributes:
        name: What the settings call it.
        inline_rows: Most rows of a batch that may run in the event loop, because it takes no longer than a moment.
    """

    name: str
    inline_rows: int

    @property
    def degraded(self) -> str | None:
        """Why another engine stands in for this one; None while none does."""

    def tune(self, columns: Columns) -> None:
        """Measure the engine on a full batch, and choose what it does best with."""

    def run(self, columns: Columns) -> Mapping[str, NDArray[Any]]:
        """The output tensors, one row for each row of ``columns``. Blocks; one call at a time."""

    def check(self, columns: Columns) -> Mapping[str, NDArray[Any]]:
        """As :meth:`run`, in this process: what the golden predictions are replayed with."""

    def close(self) -> None:
        """Let go of what runs beside this thread."""


def choose_engine(settings: Settings) -> str:
    """Which engine a server uses: ``cpu``, ``cuda`` or ``runner``."""
    if settings.engine != "auto":
        return settings.engine
    return "runner" if gpu_count() and _CUDA in onnxruntime.get_available_providers() else "cpu"


def gpu_count() -> int:
    """How many NVIDIA GPUs this process may use."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([device for device in visible.split(",") if device.strip() not in ("", "-1")])
    return len(list(_DRIVER.iterdir())) if _DRIVER.is_dir() else 0
