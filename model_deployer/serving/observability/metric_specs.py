"""The metrics of /metrics. :mod:`serving.observability.metrics` creates them, and documents describe them."""

from bisect import bisect_left
from dataclasses import dataclass

#: The upper bounds of the buckets of seconds.
SECONDS_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

#: The classes of requests by their rows: up to each of these numbers, and above the last of them ``more``. The latency
#: of a request depends on its rows, so an objective holds for a class.
ROW_CLASSES = (1, 10, 100, 1000)

_ROW_LABELS = (*map(str, ROW_CLASSES), "more")


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """A metric.

    Attributes:
        name: Its name in Prometheus.
        about: What it measures; the help text at /metrics.
        labels: The names of its labels.
    """

    name: str
    about: str
    labels: tuple[str, ...] = ()


REQUESTS = MetricSpec(
    "model_requests_total",
    "Responses; status 499 if the client disconnected before its response.",
    ("protocol", "route", "status"),
)
REQUEST_SECONDS = MetricSpec(
    "model_request_seconds",
    "Time from a request to its response; status is its first digit: 2xx; rows is the upper bound of its predicted "
    "rows: 0, 1, 10, 100, 1000, more.",
    ("protocol", "route", "status", "rows"),
)
REQUESTS_IN_PROGRESS = MetricSpec("model_requests_in_progress", "Requests that are being answered.")
QUEUED_ROWS = MetricSpec("model_queued_rows", "Rows that wait for the engine.")
QUEUE_SECONDS = MetricSpec("model_queue_seconds", "Time from decoded rows to the start of their batch.")
ROWS = MetricSpec("model_rows_total", "Rows predicted.")
BATCH_ROWS = MetricSpec("model_batch_rows", "Rows per batch of the engine.")
INVALID_VALUES = MetricSpec(
    "model_invalid_values_total",
    "Refused values, at most 1,000 per request; unknown fields count as other.",
    ("field", "code"),
)
FEATURE_VALUES = MetricSpec(
    "model_feature_values_total",
    "Sampled live values per bin of the reference rows: deciles of a number, each category, other, missing.",
    ("feature", "bin"),
)
PREDICTIONS = MetricSpec(
    "model_predictions_total", "Sampled live predictions per bin of the reference rows.", ("output", "bin")
)
CAPTURED_ROWS = MetricSpec(
    "model_captured_rows_total",
    "Captured rows and refusals by what became of them: written to a file, dropped because memory or disk is full, "
    "lost with a killed worker.",
    ("state",),
)
SHADOW_ROWS = MetricSpec(
    "model_shadow_rows_total",
    "Rows for the candidate in the shadow: answered the same or otherwise (flip), refused by it, failed, or dropped "
    "because the server or the candidate had too much to do.",
    ("result",),
)
SHADOW_INFO = MetricSpec("model_shadow_info", "1 for the candidate that answers in the shadow.", ("name", "version"))
DEGRADED = MetricSpec("model_degraded", "1 while a fallback answers instead of the configured engine.")
INFO = MetricSpec("model_info", "1 for the model that is served.", ("name", "version"))
WORKER_STARTS = MetricSpec("model_worker_starts_total", "Workers that were started.")
WORKER_ENDS = MetricSpec(
    "model_worker_ends_total", "Workers that ended without being asked to, by signal or exit code.", ("reason",)
)
WORKER_RESTARTS = MetricSpec("model_worker_restarts_total", "Workers that ended so and were started again.")
WORKER_STALLS = MetricSpec("model_worker_stalls_total", "Times that a worker did not react for 10 seconds.")
SOURCE_ENDS = MetricSpec(
    "model_source_ends_total",
    "Processes of a model that its source serves that ended without being asked to, by signal or exit code.",
    ("reason",),
)
ROLLOUTS = MetricSpec(
    "model_rollouts_total",
    "Times that the alias of the server named another version, by result: done, or failed while the version before "
    "goes on answering.",
    ("result",),
)
PROCESS_CPU = MetricSpec("process_cpu_seconds_total", "CPU time of a process of the server.", ("process",))
PROCESS_MEMORY = MetricSpec("process_resident_memory_bytes", "Memory of a process of the server.", ("process",))
PROCESS_FILES = MetricSpec("process_open_fds", "Open files and connections of a process of the server.", ("process",))
PROCESS_START = MetricSpec(
    "process_start_time_seconds", "Start of a process of the server, in seconds since 1970.", ("process",)
)

METRIC_SPECS = (
    REQUESTS,
    REQUEST_SECONDS,
    REQUESTS_IN_PROGRESS,
    QUEUED_ROWS,
    QUEUE_SECONDS,
    ROWS,
    BATCH_ROWS,
    INVALID_VALUES,
    FEATURE_VALUES,
    PREDICTIONS,
    CAPTURED_ROWS,
    SHADOW_ROWS,
    SHADOW_INFO,
    DEGRADED,
    INFO,
    WORKER_STARTS,
    WORKER_ENDS,
    WORKER_RESTARTS,
    WORKER_STALLS,
    SOURCE_ENDS,
    ROLLOUTS,
    PROCESS_CPU,
    PROCESS_MEMORY,
    PROCESS_FILES,
    PROCESS_START,
)


def row_class(rows: int) -> str:
    """Return the class of a request by its number of rows, for the label ``rows``; "0" if no row was predicted."""
    return _ROW_LABELS[bisect_left(ROW_CLASSES, rows)] if rows else "0"


#: The metrics that a server has whose model is pinned, as that of every handoff package, and that has no shadow.
PINNED_METRIC_SPECS = tuple(spec for spec in METRIC_SPECS if spec not in (ROLLOUTS, SHADOW_INFO))

#: Those of them whose model is a graph.
GRAPH_METRIC_SPECS = tuple(spec for spec in PINNED_METRIC_SPECS if spec is not SOURCE_ENDS)
