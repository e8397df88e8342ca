"""Azure Machine Learning: a managed online endpoint and a deployment behind it, as `az ml` reads them."""

from typing import Any

from model_deployer.deployment.instance_types import InstanceType, smallest_instance_type
from model_deployer.deployment.readme import readme
from model_deployer.deployment.workload import (
    LIVE,
    LIVENESS_FAILURES,
    LIVENESS_PERIOD,
    PORT,
    PROBE_TIMEOUT,
    READY,
    Workload,
    formulas,
    label,
    on_machines,
)
from model_deployer.package.sizing import READINESS_FAILURES, READINESS_PERIOD, START_HEADROOM
from model_deployer.writing.yaml_text import to_yaml

Document = dict[str, Any]

#: Where the container is asked for predictions.
SCORE = "/score"

#: https://learn.microsoft.com/azure/machine-learning/reference-managed-online-endpoints-vm-sku-list lists them.
INSTANCE_TYPES = (
    InstanceType("Standard_DS2_v2", 2, 7),
    InstanceType("Standard_DS3_v2", 4, 14),
    InstanceType("Standard_DS4_v2", 8, 28),
    InstanceType("Standard_DS5_v2", 16, 56),
    InstanceType("Standard_F72s_v2", 72, 144),
)

#: As long as the name of an endpoint, or of a deployment, may be.
LONGEST = 32

#: The longest that the platform waits for an answer, in milliseconds.
PATIENCE = 180_000

_SCHEMAS = "https://azuremlschemas.azureedge.net/latest"


def azureml(workload: Workload) -> dict[str, str]:
    """The files, by their path."""
    page = readme(
        "azureml",
        workload,
        on_machines(workload),
        machine=smallest_instance_type(INSTANCE_TYPES, workload),
        endpoint=workload.name(LONGEST),
        deployment=deployment_name(workload),
    )
    return {
        "README.md": page,
        "endpoint.yml": to_yaml(endpoint(workload)),
        "deployment.yml": to_yaml(deployment(workload), formulas(on_machines(workload))),
    }


def deployment_name(workload: Workload) -> str:
    """One for each version."""
    return label(f"v{workload.version}", LONGEST)


def endpoint(workload: Workload) -> Document:
    """The address of all versions; the platform asks callers for its own key."""
    return {
        "$schema": f"{_SCHEMAS}/managedOnlineEndpoint.schema.json",
        "name": workload.name(LONGEST),
        "auth_mode": "key",
        "tags": {"model": workload.model},
    }


def deployment(workload: Workload) -> Document:
    """The image, and the machines that run it."""
    return {
        "$schema": f"{_SCHEMAS}/managedOnlineDeployment.schema.json",
        "name": deployment_name(workload),
        "endpoint_name": workload.name(LONGEST),
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
            "request_timeout_ms": min(1000 * workload.timeout, PATIENCE),
            # As many as were under way at capacity; the default is 1, and the platform refuses those beyond it.
            "max_concurrent_requests_per_instance": workload.sizing.best.clients,
        },
        "readiness_probe": _probe(READINESS_PERIOD, READINESS_FAILURES, workload),
        "liveness_probe": _probe(LIVENESS_PERIOD, LIVENESS_FAILURES, workload),
    }


def _probe(period: int, failures: int, workload: Workload) -> Document:
    """The platform has no probe of its own for the start: the others wait as long as it may take."""
    start = START_HEADROOM * workload.sizing.measured.cold_start_seconds
    return {
        "initial_delay": max(1, round(start)),
        "period": period,
        "timeout": PROBE_TIMEOUT,
        "success_threshold": 1,
        "failure_threshold": failures,
    }
