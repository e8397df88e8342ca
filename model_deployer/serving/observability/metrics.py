"""What Prometheus reads at /metrics. Every label has few values, whatever is sent."""

import atexit
import os
import shutil
import tempfile
from collections import Counter as Tally
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.values import MultiProcessValue

from model_deployer.contract.errors import InvalidRows
from model_deployer.contract.reference import Reference
from model_deployer.serving.engines.batching import Arrays, Batch
from model_deployer.serving.engines.event_loop import running_loop
from model_deployer.serving.observability import metric_specs
from model_deployer.serving.observability.drift import INTERVAL, DriftCounter
from model_deployer.serving.observability.metric_specs import MetricSpec
from model_deployer.serving.rows.columns import Columns

Made = TypeVar("Made")

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

    What happens in one turn of the event loop is written down together, at the turn's end.

    Args:
        model: The tag of the model, as a label of ``model_info``.
        fields: The features' names: the only fields that become labels.
        reference: The content of reference.json; without it, no distributions are counted.
    """

    def __init__(self, model: str, fields: Sequence[str], reference: Reference | None = None) -> None:
        self._fields = frozenset(fields)
        if _FOLDER in os.environ:
            os.environ[_SHARED] = os.environ[_FOLDER]
            # A counter would else ask the system for the process id each time that it counts.
            values.ValueClass = MultiProcessValue(partial(int, os.getpid()))  # type: ignore[no-untyped-call]
        registry = self.registry = CollectorRegistry()
        requests = _made(Counter, metric_specs.REQUESTS, registry)
        self._requests = cache(requests.labels)
        seconds = _made(Histogram, metric_specs.REQUEST_SECONDS, registry, buckets=_SECONDS)
        self._seconds = cache(seconds.labels)
        self._queue_seconds = _made(Histogram, metric_specs.QUEUE_SECONDS, registry, buckets=_SECONDS)
        self._rows = _made(Counter, metric_specs.ROWS, registry)
        self._batch_rows = _made(Histogram, metric_specs.BATCH_ROWS, registry, buckets=_ROWS)
        self._invalid = _made(Counter, metric_specs.INVALID_VALUES, registry)
        self._degraded = _made(Gauge, metric_specs.DEGRADED, registry, multiprocess_mode="livemax")
        info = _made(Gauge, metric_specs.INFO, registry, multiprocess_mode="livemax")
        info.labels(*model.split(":")).set(1)
        self._drift = DriftCounter(reference, registry) if reference else None
        self._answers: list[tuple[str, str, int, float]] = []
        self._batches: list[Batch] = []
        self._writing = False
        self._counting = False

    def text(self) -> bytes:
        """The counters of all workers, as Prometheus reads them."""
        self._write()
        self._count_drift()
        if _SHARED not in os.environ:
            return generate_latest(self.registry)
        _forget_the_dead(Path(os.environ[_SHARED]))
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def answered(self, protocol: str, route: str, status: int, seconds: float) -> None:
        """Count an answer; ``route`` is one of the service's own, never the path of a request."""
        self._answers.append((protocol, route, status, seconds))
        self._write_soon()

    def batch(self, batch: Batch) -> None:
        """Count rows that go through the engine together."""
        self._batches.append(batch)
        self._write_soon()

    def predicted(self, columns: Columns, outputs: Arrays, rows: int) -> None:
        """Take a batch and its outputs into the distributions; any thread may call it."""
        if self._drift:
            self._drift.see(columns, outputs, rows)

    def refused(self, error: InvalidRows) -> None:
        """Count the problems of a refused request, those of fields that the model lacks under ``other``."""
        known = ((each.field if each.field in self._fields else "other", each.code) for each in error.problems)
        for labels, count in Tally(known).items():
            self._invalid.labels(*labels).inc(count)

    def degraded(self, is_degraded: bool) -> None:
        """Say whether another engine than the configured one answers."""
        self._degraded.set(is_degraded)

    def _write_soon(self) -> None:
        if not self._writing:
            self._writing = True
            running_loop().call_soon(self._write)

    def _write(self) -> None:
        self._writing = False
        answers, self._answers = self._answers, []
        for labels, count in Tally(answer[:3] for answer in answers).items():
            self._requests(*labels).inc(count)
        for _, route, _, seconds in answers:
            self._seconds(route).observe(seconds)
        batches, self._batches = self._batches, []
        for batch in batches:
            self._rows.inc(batch.rows)
            self._batch_rows.observe(batch.rows)
            for seconds in batch.wait_seconds:
                self._queue_seconds.observe(seconds)
        if batches and self._drift and not self._counting:
            self._counting = True
            running_loop().call_later(INTERVAL, self._count_drift)

    def _count_drift(self) -> None:
        self._counting = False
        if self._drift:
            self._drift.count()


def _made(kind: Callable[..., Made], meter: MetricSpec, registry: CollectorRegistry, **options: Any) -> Made:
    return kind(meter.name, meter.about, meter.labels, registry=registry, **options)


def _forget_the_dead(folder: Path) -> None:
    """What a worker that was killed said of its present state holds no longer; what it counted stays."""
    for file in folder.glob("gauge_live*.db"):
        pid = int(file.stem.rpartition("_")[2])
        if not _is_alive(pid):
            mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
