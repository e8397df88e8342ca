"""Azure Machine Learning: a managed online endpoint and a deployment behind it, for `az ml`."""

from typing import Any

from model_deployer.deployment.instance_types import InstanceType, smallest_instance_type
from model_deployer.deployment.readme import readme
from model_deployer.deployment.workload import (
    LIVE,
    LIVENESS_FAILURES,
    LIVENESS_PERIOD_SECONDS,
    PORT,
    PROBE_TIMEOUT_SECONDS,
    READY,
    Workload,
    dns_label,
    formulas,
    instance_sizes,
)
from model_deployer.package.sizing import READINESS_FAILURES, READINESS_PERIOD_SECONDS, STARTUP_HEADROOM
from model_deployer.writing.yaml_text import to_yaml

Document = dict[str, Any]

#: The path of predictions.
SCORE = "/score"

#: From https://learn.microsoft.com/azure/machine-learning/reference-managed-online-endpoints-vm-sku-list.
INSTANCE_TYPES = (
    InstanceType("Standard_DS2_v2", 2, 7),
    InstanceType("Standard_DS3_v2", 4, 14),
    InstanceType("Standard_DS4_v2", 8, 28),
    InstanceType("Standard_DS5_v2", 16, 56),
    InstanceType("Standard_F72s_v2", 72, 144),
)

#: The maximum length of the name of an endpoint or of a deployment.
MAX_NAME_LENGTH = 32

#: The longest time that the platform waits for an answer.
MAX_REQUEST_MILLISECONDS = 180_000

_SCHEMAS = "https://azuremlschemas.azureedge.net/latest"


def azureml(workload: Workload) -> dict[str, str]:
    """Return the files by path."""
    page = readme(
        "azureml",
        workload,
        instance_sizes(workload),
        instance_type=smallest_instance_type(INSTANCE_TYPES, workload),
        endpoint=workload.name(MAX_NAME_LENGTH),
        deployment=deployment_name(workload),
    )
    return {
        "README.md": page,
        "endpoint.yml": to_yaml(endpoint(workload)),
        "deployment.yml": to_yaml(deployment(workload), formulas(instance_sizes(workload))),
    }


def deployment_name(workload: Workload) -> str:
    """Return the name of the deployment; each version of the model has its own."""
    return dns_label(f"v{workload.version}", MAX_NAME_LENGTH)


def endpoint(workload: Workload) -> Document:
    """Return the endpoint, which is shared by all versions; callers authenticate with a key of the platform."""
    return {
        "$schema": f"{_SCHEMAS}/managedOnlineEndpoint.schema.json",
        "name": workload.name(MAX_NAME_LENGTH),
        "auth_mode": "key",
        "tags": {"model": workload.model},
    }


def deployment(workload: Workload) -> Document:
    """Return the deployment: the image, and the instances that run it."""
    return {
        "$schema": f"{_SCHEMAS}/managedOnlineDeployment.schema.json",
        "name": deployment_name(workload),
        "endpoint_name": workload.name(MAX_NAME_LENGTH),
        "tags": {"model": workload.model, "version": workload.version},
        "environment": {
            "name": workload.name(),
            "version": workload.version,
            "image": workload.image,
            "inference_config": {
                "liveness_route": {"path": LIVE, "port": PORT},
                "readiness_route": {"path": READY, "port": PORT},
                "scoring_route": {"path": SCORE, "port": PORT},
            },
        },
        "instance_type": smallest_instance_type(INSTANCE_TYPES, workload).name,
        "instance_count": workload.replicas,
        "request_settings": {
            "request_timeout_ms": min(1000 * workload.timeout_seconds, MAX_REQUEST_MILLISECONDS),
            # The number of concurrent requests at capacity. The platform refuses requests above it; its default is 1.
            "max_concurrent_requests_per_instance": workload.sizing.best_load.clients,
        },
        "readiness_probe": _probe(READINESS_PERIOD_SECONDS, READINESS_FAILURES, workload),
        "liveness_probe": _probe(LIVENESS_PERIOD_SECONDS, LIVENESS_FAILURES, workload),
    }


def _probe(period: int, failures: int, workload: Workload) -> Document:
    """Return a probe that starts after the allowed start time, because the platform has no startup probe."""
    start = STARTUP_HEADROOM * workload.sizing.measured.cold_start_seconds
    return {
        "initial_delay": max(1, round(start)),
        "period": period,
        "timeout": PROBE_TIMEOUT_SECONDS,
        "success_threshold": 1,
        "failure_threshold": failures,
    }
