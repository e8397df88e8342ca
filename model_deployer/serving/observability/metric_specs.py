"""The metrics of /metrics. :mod:`serving.observability.metrics` creates them, and documents describe them."""

from dataclasses import dataclass


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
REQUEST_SECONDS = MetricSpec("model_request_seconds", "Time from a request to its response.", ("route",))
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
    "Sampled live values per bin of the training data: deciles of a number, each category, other, missing.",
    ("feature", "bin"),
)
PREDICTIONS = MetricSpec(
    "model_predictions_total", "Sampled live predictions per bin of the training data.", ("output", "bin")
)
DEGRADED = MetricSpec("model_degraded", "1 while a fallback answers instead of the configured engine.")
INFO = MetricSpec("model_info", "1 for the model that is served.", ("name", "version"))

METRIC_SPECS = (
    REQUESTS,
    REQUEST_SECONDS,
    QUEUE_SECONDS,
    ROWS,
    BATCH_ROWS,
    INVALID_VALUES,
    FEATURE_VALUES,
    PREDICTIONS,
    DEGRADED,
    INFO,
)
