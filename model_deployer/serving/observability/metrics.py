"""The metrics of a worker, as Prometheus reads them at /metrics. The values of labels do not depend on requests."""

import os
from bisect import bisect_left
from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Literal, TypeVar, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.values import MultiProcessValue

from model_deployer.contract.errors import InvalidRows
from model_deployer.contract.reference import Reference
from model_deployer.serving.engines.batching import Arrays, Batch
from model_deployer.serving.engines.event_loop import running_loop
from model_deployer.serving.observability import metric_files, metric_specs, workers
from model_deployer.serving.observability.drift import COUNT_INTERVAL_SECONDS, DriftCounter
from model_deployer.serving.observability.metric_files import MetricFile, Place
from model_deployer.serving.observability.metric_specs import MetricSpec
from model_deployer.serving.observability.process_metrics import ProcessCollector
from model_deployer.serving.rows.columns import Columns

M = TypeVar("M")

#: What becomes of a row for the candidate in the shadow.
ShadowResult = Literal["same", "flip", "refused", "failed", "dropped"]

#: Under load, events are written to the metrics at this interval: so far may those of another worker lag behind.
_WRITE_INTERVAL_SECONDS = 0.02

#: The number of events per interval that are written at once.
_MAX_IMMEDIATE_EVENTS = 10

#: The label of fields that the model does not have.
OTHER_FIELD = "other"

_ROWS_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)

#: prometheus_client's variable with the folder of its files.
_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

#: The labels of statuses by their first digit.
_STATUS_CLASSES = ("", "1xx", "2xx", "3xx", "4xx", "5xx")

#: What became of captured rows.
CapturedState = Literal["written", "dropped", "lost"]


class Metrics:
    """The metrics of one worker, and the text that sums those of all workers of a server.

    Under load, events are collected and written together: one by one, they would cost as much as decoding a request.

    Attributes:
        fields: The names of the features.

    Args:
        model: The tag of the model, ``name:version``: the labels of ``model_info``.
        fields: The names of the features: the only fields that become labels.
        reference: The content of reference.json; without it, no distributions are counted.
    """

    def __init__(self, model: str, fields: Sequence[str], reference: Reference | None = None) -> None:
        self.fields = frozenset(fields)
        self._place = _take_place()
        registry = self.registry = CollectorRegistry()
        requests = _create(Counter, metric_specs.REQUESTS, registry)
        self._requests = cache(requests.labels)
        buckets = metric_specs.SECONDS_BUCKETS
        seconds = _create(Histogram, metric_specs.REQUEST_SECONDS, registry, buckets=buckets)
        self._seconds = cache(seconds.labels)
        self._queue_seconds = _create(Histogram, metric_specs.QUEUE_SECONDS, registry, buckets=buckets)
        self._in_progress = _create(Gauge, metric_specs.REQUESTS_IN_PROGRESS, registry, multiprocess_mode="livesum")
        self._queued_rows = _create(Gauge, metric_specs.QUEUED_ROWS, registry, multiprocess_mode="livesum")
        self._rows = _create(Counter, metric_specs.ROWS, registry)
        self._batch_rows = _create(Histogram, metric_specs.BATCH_ROWS, registry, buckets=_ROWS_BUCKETS)
        self._invalid_values = _create(Counter, metric_specs.INVALID_VALUES, registry)
        self._captured_rows = _create(Counter, metric_specs.CAPTURED_ROWS, registry)
        for state in get_args(CapturedState):
            self._captured_rows.labels(state)  # an alert sees an increase from 0 only
        self._shadow_rows = _create(Counter, metric_specs.SHADOW_ROWS, registry)
        for result in get_args(ShadowResult):
            self._shadow_rows.labels(result)
        self._shadow = _create(Gauge, metric_specs.SHADOW_INFO, registry, multiprocess_mode="livemax")
        self._degraded = _create(Gauge, metric_specs.DEGRADED, registry, multiprocess_mode="livemax")
        self._degraded.set(0)
        info = _create(Gauge, metric_specs.INFO, registry, multiprocess_mode="livemax")
        info.labels(*model.split(":")).set(1)
        self._drift = DriftCounter(reference, registry) if reference else None
        self._responses: list[tuple[str, str, int, float, str]] = []
        self._batches: list[Batch] = []
        self._is_write_scheduled = False
        self._is_count_scheduled = False
        self._interval_start, self._interval_events = 0.0, 0

    def text(self) -> bytes:
        """Return the metrics of all workers in Prometheus' text format."""
        self._write()
        self._count_drift()
        folder = metric_files.shared_folder() if self._place else None
        registry = CollectorRegistry()
        registry.register(ProcessCollector(folder))
        own = generate_latest(registry)
        if folder is None or MetricFile.is_any_in_memory:
            return own + generate_latest(self.registry)
        shared = CollectorRegistry()
        MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
        return own + generate_latest(shared)

    def show_life(self, requests: int, queued_rows: int) -> None:
        """Show that this worker is alive, and what it has to do.

        Args:
            requests: The number of requests that are being answered.
            queued_rows: The number of rows that wait for the engine.
        """
        self._in_progress.set(requests)
        self._queued_rows.set(queued_rows)
        if self._place:
            self._place.show_life()

    def count_response(self, protocol: str, route: str, status: int, seconds: float, rows: int) -> None:
        """Count a response.

        Args:
            protocol: The protocol of the client.
            route: One of the service's own routes, never the path of a request.
            status: The HTTP status.
            seconds: The time from the request to its response.
            rows: The number of predicted rows; 0 if there are none.
        """
        self._responses.append((protocol, route, status, seconds, metric_specs.row_class(rows)))
        self._schedule_write()

    def count_batch(self, batch: Batch) -> None:
        """Count a batch that the engine is about to run."""
        self._batches.append(batch)
        self._schedule_write()

    def sample(self, columns: Columns, outputs: Arrays, rows: int) -> None:
        """Add a batch and its outputs to the sampled distributions. Any thread may call it.

        Args:
            columns: The graph's inputs: one array per feature, [rows, *shape].
            outputs: The graph's output tensors, [rows, n] each.
            rows: The number of rows.
        """
        if self._drift:
            self._drift.sample(columns, outputs, rows)

    def count_problems(self, error: InvalidRows) -> None:
        """Count the problems of a refused request; those of fields that the model does not have count as ``other``."""
        labels_of_problems = (
            (problem.field if problem.field in self.fields else OTHER_FIELD, problem.code) for problem in error.problems
        )
        for labels, count in Tally(labels_of_problems).items():
            self._invalid_values.labels(*labels).inc(count)

    def count_captured(self, state: CapturedState, rows: int) -> None:
        """Count captured rows by what became of them. Any thread may call it."""
        self._captured_rows.labels(state).inc(rows)

    def count_shadow(self, result: ShadowResult, rows: int) -> None:
        """Count rows for the candidate in the shadow by what became of them. Any thread may call it."""
        self._shadow_rows.labels(result).inc(rows)

    def show_shadow(self, candidate: str) -> None:
        """Show the candidate that answers in the shadow, by its tag."""
        self._shadow.labels(*candidate.split(":")).set(1)

    def set_degraded(self, is_degraded: bool) -> None:
        """Set whether a fallback answers instead of the configured engine."""
        self._degraded.set(is_degraded)

    def _schedule_write(self) -> None:
        loop = running_loop()
        now = loop.time()
        if now - self._interval_start > _WRITE_INTERVAL_SECONDS:
            self._interval_start, self._interval_events = now, 0
        self._interval_events += 1
        if self._is_write_scheduled:
            return
        self._is_write_scheduled = True
        if self._interval_events <= _MAX_IMMEDIATE_EVENTS:
            loop.call_soon(self._write)
        else:
            loop.call_later(_WRITE_INTERVAL_SECONDS, self._write)

    def _write(self) -> None:
        self._is_write_scheduled = False
        responses, self._responses = self._responses, []
        seconds_by_labels: dict[tuple[str, str, int, str], list[float]] = defaultdict(list)
        for protocol, route, status, seconds, rows in responses:
            seconds_by_labels[protocol, route, status, rows].append(seconds)
        for (protocol, route, status, rows), durations in seconds_by_labels.items():
            self._requests(protocol, route, status).inc(len(durations))
            observe(self._seconds(protocol, route, _STATUS_CLASSES[status // 100], rows), durations)
        batches, self._batches = self._batches, []
        if batches:
            self._rows.inc(sum(batch.rows for batch in batches))
            observe(self._batch_rows, [batch.rows for batch in batches])
            observe(self._queue_seconds, [seconds for batch in batches for seconds in batch.wait_seconds])
        if batches and self._drift and not self._is_count_scheduled:
            self._is_count_scheduled = True
            running_loop().call_later(COUNT_INTERVAL_SECONDS, self._count_drift)

    def _count_drift(self) -> None:
        self._is_count_scheduled = False
        if self._drift:
            self._drift.count()


def observe(histogram: Histogram, observations: Sequence[float]) -> None:
    """Count observations in the buckets of a histogram: those of one bucket together."""
    histogram._sum.inc(sum(observations))
    for index, count in Tally(bisect_left(histogram._upper_bounds, value) for value in observations).items():
        histogram._buckets[index].inc(count)


def _create(kind: Callable[..., M], spec: MetricSpec, registry: CollectorRegistry, **options: Any) -> M:
    return kind(spec.name, spec.about, spec.labels, registry=registry, **options)


def _take_place() -> Place | None:
    """Have prometheus_client keep the metrics of this process in files that other workers read.

    Returns:
        The place of the process among the workers; None if it has none and its metrics stay in memory.
    """
    folder = metric_files.shared_folder()
    try:
        place = Place(folder) if folder else None
    except OSError as error:
        metric_files.warn_of_memory(error)
        place = None
    if place:
        os.environ[_FOLDER_VARIABLE] = str(folder)
        values.MmapedDict = MetricFile  # type: ignore[attr-defined]
        # By default a counter makes a system call for the process id each time that it counts.
        values.ValueClass = MultiProcessValue(lambda: place.number)  # type: ignore[no-untyped-call]
    elif workers.is_worker():
        values.ValueClass = values.MutexValue  # BentoML has named a folder of its own
    return place
