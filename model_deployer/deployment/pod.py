"""The pod that runs the image, for Kubernetes and KServe."""

from typing import Any

from model_deployer.deployment.workload import (
    DRAIN_SECONDS,
    LIVE,
    LIVENESS_FAILURES,
    LIVENESS_PERIOD_SECONDS,
    PORT,
    PROBE_TIMEOUT_SECONDS,
    READY,
    USER,
    Workload,
)
from model_deployer.package.sizing import READINESS_FAILURES, READINESS_PERIOD_SECONDS, STARTUP_PERIOD_SECONDS

PORT_NAME = "http"

#: The key of the API keys in their secret.
KEYS = "api-keys"

#: The size of /tmp; the server writes its metrics there, some hundred KiB per worker.
TMP_SIZE = "64Mi"

_MIB = 1024 * 1024


def labels(workload: Workload) -> dict[str, str]:
    """Return the labels that identify the pods of every version of the model."""
    return {"app.kubernetes.io/name": workload.name(), "app.kubernetes.io/component": "model-server"}


def metadata(workload: Workload, name: str | None = None) -> dict[str, Any]:
    """Return the name and the labels of an object; the name is that of the model by default."""
    version = {"app.kubernetes.io/version": workload.version}
    return {"name": name or workload.name(), "labels": labels(workload) | version}


def pod(workload: Workload, container_name: str) -> dict[str, Any]:
    """Return the pod: one container that listens on ``PORT``, without privileges and with a read-only file system."""
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": workload.grace_period_seconds,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(workload, container_name)],
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": TMP_SIZE}}],
    }


def _container(workload: Workload, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "image": workload.image,
        "env": [_api_keys(workload)],
        "ports": [{"name": PORT_NAME, "containerPort": PORT, "protocol": "TCP"}],
        **_resources(workload),
        **_probes(workload),
        "lifecycle": {"preStop": {"sleep": {"seconds": DRAIN_SECONDS}}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }


def _api_keys(workload: Workload) -> dict[str, Any]:
    """Return the variable with the API keys; the secret that holds them is optional."""
    secret = {"name": workload.name(), "key": KEYS, "optional": True}
    return {"name": "DEPLOYER_API_KEYS", "valueFrom": {"secretKeyRef": secret}}


def _resources(workload: Workload) -> dict[str, Any]:
    """Return the requests and limits that were measured."""
    sizing = workload.sizing
    requests = {"cpu": cpu_quantity(sizing.cpu_request), "memory": memory_quantity(sizing.memory_request)}
    limits = {"cpu": cpu_quantity(sizing.cpu_limit), "memory": memory_quantity(sizing.memory_limit)}
    measured = {
        kind: {name: quantity for name, quantity in quantities.items() if quantity is not None}
        for kind, quantities in (("requests", requests), ("limits", limits))
    }
    resources = {kind: quantities for kind, quantities in measured.items() if quantities}
    return {"resources": resources} if resources else {}


def _probes(workload: Workload) -> dict[str, Any]:
    return {
        "startupProbe": probe(READY, STARTUP_PERIOD_SECONDS, workload.sizing.startup_failures),
        "readinessProbe": probe(READY, READINESS_PERIOD_SECONDS, READINESS_FAILURES),
        "livenessProbe": probe(LIVE, LIVENESS_PERIOD_SECONDS, LIVENESS_FAILURES),
    }


def probe(path: str, period: int, failures: int) -> dict[str, Any]:
    """Return a probe that sends GET ``path`` every ``period`` seconds and fails after ``failures`` in a row."""
    return {
        "httpGet": {"path": path, "port": PORT_NAME},
        "periodSeconds": period,
        "timeoutSeconds": PROBE_TIMEOUT_SECONDS,
        "failureThreshold": failures,
    }


def cpu_quantity(count: float | None) -> str | None:
    """Return processor cores as a quantity of Kubernetes: 1100m."""
    return None if count is None else f"{round(1000 * count)}m"


def memory_quantity(size: int | None) -> str | None:
    """Return bytes as a quantity of Kubernetes: 320Mi."""
    return None if size is None else f"{size // _MIB}Mi"
