"""The interface of what runs the graph, and the choice of an engine. An engine works on arrays and knows no HTTP.

============ =========================================================================================================
cpu          ONNX Runtime in the worker
cuda         ONNX Runtime in the worker, on a GPU
runner       another service of the same deployment, one process per GPU; the worker's own CPU while it does not answer
source       the source of a model that is not a graph, in a process of its own; nothing else can answer in its place
============ =========================================================================================================
"""

from collections.abc import Mapping
from typing import Any, Protocol

import onnxruntime
from numpy.typing import NDArray

from model_deployer.contract.errors import UsageError
from model_deployer.serving.config.settings import Settings
from model_deployer.serving.rows.columns import Columns
from model_deployer.system.gpus import visible_gpus

_CUDA = "CUDAExecutionProvider"


class Engine(Protocol):
    """Turns columns into output tensors.

    Columns are the graph's inputs: one array per feature, [rows, *shape], float64 or str objects. Output tensors are
    the graph's outputs by name, [rows, n] float32 each.

    Attributes:
        name: Its name in the settings.
        inline_rows: The maximum number of rows in a batch that is fast enough to run in the event loop.
    """

    name: str
    inline_rows: int

    @property
    def degraded(self) -> str | None:
        """Why a fallback answers instead of this engine; None while this engine answers."""

    @property
    def unavailable(self) -> str | None:
        """Why nothing answers now; None while this engine or a fallback does."""

    def tune(self, columns: Columns) -> None:
        """Measure the engine on a full batch of columns and choose its fastest configuration."""

    def run(self, columns: Columns) -> Mapping[str, NDArray[Any]]:
        """Return the output tensors, one row for each row of ``columns``. Blocks; one call at a time."""

    def run_locally(self, columns: Columns) -> Mapping[str, NDArray[Any]]:
        """Do the same as :meth:`run`, always in this process. Used to replay the golden predictions."""

    def close(self) -> None:
        """Stop background work."""


def choose_engine(settings: Settings, is_graph: bool) -> str:
    """Return the name of the engine that a server uses: ``cpu``, ``cuda``, ``runner`` or ``source``.

    Args:
        settings: The settings.
        is_graph: Whether the model is a graph; otherwise its source answers.

    Raises:
        UsageError: if the settings name an engine that cannot run the model.
    """
    if not is_graph:
        if settings.engine not in ("auto", "cpu"):
            raise UsageError(
                f"the model is not a graph, so `serving.engine: {settings.engine}` cannot run it; set `auto`"
            )
        return "source"
    if settings.engine != "auto":
        return settings.engine
    return "runner" if gpu_count() and _CUDA in onnxruntime.get_available_providers() else "cpu"


def gpu_count() -> int:
    """Return the number of NVIDIA GPUs that this process may use."""
    return len(visible_gpus())


def source_gpus(settings: Settings) -> list[str]:
    """Return the GPUs that the source of a model may use: those of the service, or none with the engine ``cpu``."""
    return visible_gpus() if settings.engine == "auto" else []
