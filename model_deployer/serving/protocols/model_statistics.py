"""The statistics of a model, in the form of Triton's statistics extension, from the metrics of all workers.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_statistics.md
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from model_deployer.contract.artifact import Manifest
from model_deployer.serving.observability import metric_specs

_METRICS = (
    metric_specs.REQUEST_SECONDS,
    metric_specs.QUEUE_SECONDS,
    metric_specs.ROWS,
    metric_specs.BATCH_ROWS,
)

#: The lines of the metrics that count here: the others, of distributions, are many.
_LINES = re.compile(rf"^(?:{'|'.join(spec.name for spec in _METRICS)})(?:_sum|_count)?\W.*\n", re.MULTILINE)

_NANOSECONDS = 1_000_000_000


def model_statistics(manifest: Manifest, metrics: bytes) -> dict[str, Any]:
    """Return the counts and durations of the Open Inference Protocol's requests for predictions, over REST and gRPC.

    Rows, batches and the time in the queue are those of all protocols. The phases of a computation are not measured:
    they are zero.

    Args:
        manifest: The model.
        metrics: The metrics in Prometheus' text format.
    """
    samples = list(_samples(metrics))

    def total(name: str, matches: Callable[[dict[str, str]], bool] = lambda labels: True) -> float:
        return sum(sample.value for sample in samples if sample.name == name and matches(sample.labels))

    def requests(is_success: bool) -> dict[str, int]:
        def matches(labels: dict[str, str]) -> bool:
            return _is_inference(labels) and labels["status"].startswith("2") == is_success

        seconds = metric_specs.REQUEST_SECONDS.name
        return _duration(total(f"{seconds}_count", matches), total(f"{seconds}_sum", matches))

    queue = metric_specs.QUEUE_SECONDS.name
    nothing = _duration(0, 0.0)
    statistics = {
        "success": requests(is_success=True),
        "fail": requests(is_success=False),
        "queue": _duration(total(f"{queue}_count"), total(f"{queue}_sum")),
    }
    return {
        "name": manifest.name,
        "version": manifest.version,
        "inference_count": int(total(metric_specs.ROWS.name)),
        "execution_count": int(total(f"{metric_specs.BATCH_ROWS.name}_count")),
        "inference_stats": statistics
        | dict.fromkeys(("compute_input", "compute_infer", "compute_output", "cache_hit"), nothing),
    }


def _samples(metrics: bytes) -> Iterable[Sample]:
    text = "".join(_LINES.findall(metrics.decode()))
    for family in text_string_to_metric_families(text):
        yield from family.samples


def _is_inference(labels: dict[str, str]) -> bool:
    route = labels["route"]
    return route == "ModelInfer" or (route.startswith("/v2/models/") and route.endswith("/infer"))


def _duration(count: float, seconds: float) -> dict[str, int]:
    return {"count": int(count), "ns": round(_NANOSECONDS * seconds)}
