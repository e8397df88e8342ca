"""What the service counts, as /metrics names it: the metrics are made from these, and documents describe them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """A metric.

    Attributes:
        name: As Prometheus reads it.
        about: What it says.
        labels: By what it is told apart.
    """

    name: str
    about: str
    labels: tuple[str, ...] = ()


REQUESTS = MetricSpec(
    "model_requests_total",
    "Answers; status 499 where the client left before it had one.",
    ("protocol", "route", "status"),
)
REQUEST_SECONDS = MetricSpec("model_request_seconds", "From a request to its answer.", ("route",))
QUEUE_SECONDS = MetricSpec("model_queue_seconds", "From decoded rows to the start of their batch.")
ROWS = MetricSpec("model_rows_total", "Rows predicted.")
BATCH_ROWS = MetricSpec("model_batch_rows", "Rows that went through the engine at once.")
INVALID_VALUES = MetricSpec(
    "model_invalid_values_total",
    "Values refused, of each request the first 1,000; unknown fields count as other.",
    ("field", "code"),
)
FEATURE_VALUES = MetricSpec(
    "model_feature_values_total",
    "Live values in the bins of training, of a sample: up to each tenth of a number, each category, other, missing.",
    ("feature", "bin"),
)
PREDICTIONS = MetricSpec(
    "model_predictions_total", "Live predictions in the bins of training, likewise.", ("output", "bin")
)
DEGRADED = MetricSpec("model_degraded", "1 while an engine that stands in for the configured one answers.")
INFO = MetricSpec("model_info", "1 for the model that answers.", ("name", "version"))

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
