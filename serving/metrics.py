"""What Prometheus reads at /metrics. Every label has few values, whatever is sent."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from contract.errors import InvalidRows

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_FOLDER = "MODEL_DEPLOYER_METRICS"
_SHARED = "PROMETHEUS_MULTIPROC_DIR"
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


def share_folder() -> None:
    """Give the workers that this process is about to start a folder of their own for their counters.

    BentoML's folder belongs to all servers of a BENTOML_HOME, and each empties it when it starts.
    """
    os.environ[_FOLDER] = tempfile.mkdtemp(prefix="model-deployer-metrics-")
    atexit.register(shutil.rmtree, os.environ[_FOLDER], ignore_errors=True)


class Metrics:
    """Counters of one worker, and the text that adds those of all workers of a server together.

    Args:
        model: The tag of the model, as a label of ``model_info``.
        fields: The features' names: the only fields that become labels.
    """

    def __init__(self, model: str, fields: Sequence[str]) -> None:
        self._fields = frozenset(fields)
        if _FOLDER in os.environ:
            os.environ[_SHARED] = os.environ[_FOLDER]
        registry = self._registry = CollectorRegistry()
        self._requests = Counter("model_requests", "Requests answered.", ["route", "status"], registry=registry)
        self._seconds = Histogram(
            "model_request_seconds", "From a request to its answer.", ["route"], buckets=_SECONDS, registry=registry
        )
        self._rows = Counter("model_rows", "Rows predicted.", registry=registry)
        self._batch_rows = Histogram(
            "model_batch_rows", "Rows that went through the engine at once.", buckets=_ROWS, registry=registry
        )
        self._invalid = Counter("model_invalid_values", "Values refused.", ["field", "code"], registry=registry)
        info = Gauge(
            "model_info", "The model that answers.", ["name", "version"], multiprocess_mode="livemax", registry=registry
        )
        info.labels(*model.split(":")).set(1)

    def text(self) -> bytes:
        """The counters of all workers, as Prometheus reads them."""
        if _SHARED not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count an answer; ``route`` is one of the service's own, never the path of a request."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def batch(self, rows: int) -> None:
        """Count rows that go through the engine together."""
        self._batch_rows.observe(rows)
        self._rows.inc(rows)

    def refused(self, error: InvalidRows) -> None:
        """Count the problems of a refused request, those of fields that the model lacks under ``other``."""
        for problem in error.problems:
            field = problem.field if problem.field in self._fields else "other"
            self._invalid.labels(field, problem.code).inc()
