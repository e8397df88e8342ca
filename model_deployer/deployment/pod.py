"""A pod that runs the image: what Kubernetes and KServe have in common."""

from typing import Any

from model_deployer.deployment.workload import (
    DRAIN,
    LIVE,
    LIVENESS_FAILURES,
    LIVENESS_PERIOD,
    PORT,
    PROBE_TIMEOUT,
    READY,
    USER,
    Workload,
)
from model_deployer.package.sizing import READINESS_FAILURES, READINESS_PERIOD, STARTUP_PERIOD

#: The name of the port.
HTTP = "http"

#: The key of the secret that holds the API keys.
KEYS = "api-keys"

#: What the server may write: its counters, some hundred KiB a worker.
TMP = "64Mi"

_MIB = 1024 * 1024


def labels(workload: Workload) -> dict[str, str]:
    """What the pods of every version of the model have in common, and nothing else has."""
    return {"app.kubernetes.io/name": workload.name(), "app.kubernetes.io/component": "model-server"}


def metadata(workload: Workload, name: str | None = None) -> dict[str, Any]:
    """The name and the labels of an object."""
    version = {"app.kubernetes.io/version": workload.version}
    return {"name": name or workload.name(), "labels": labels(workload) | version}


def pod(workload: Workload, container_name: str) -> dict[str, Any]:
    """The pod: one container that answers at ``PORT``, has no privileges, and cannot change its own files."""
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": workload.grace,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(workload, container_name)],
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": TMP}}],
    }


def _container(workload: Workload, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "image": workload.image,
        "env": [_keys(workload)],
        "ports": [{"name": HTTP, "containerPort": PORT, "protocol": "TCP"}],
        **_resources(workload),
        **_probes(workload),
        "lifecycle": {"preStop": {"sleep": {"seconds": DRAIN}}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }


def _keys(workload: Workload) -> dict[str, Any]:
    """The API keys, where there is a secret that holds them."""
    secret = {"name": workload.name(), "key": KEYS, "optional": True}
    return {"name": "DEPLOYER_API_KEYS", "valueFrom": {"secretKeyRef": secret}}


def _resources(workload: Workload) -> dict[str, Any]:
    """What was measured; what was not is left out."""
    sizing = workload.sizing
    requests = {"cpu": cores(sizing.cpu_request), "memory": mebibytes(sizing.memory_request)}
    limits = {"cpu": cores(sizing.cpu_limit), "memory": mebibytes(sizing.memory_limit)}
    found = {
        kind: {name: value for name, value in asked.items() if value is not None}
        for kind, asked in (("requests", requests), ("limits", limits))
    }
    known = {kind: asked for kind, asked in found.items() if asked}
    return {"resources": known} if known else {}


def _probes(workload: Workload) -> dict[str, Any]:
    return {
        "startupProbe": probe(READY, STARTUP_PERIOD, workload.sizing.startup_failures),
        "readinessProbe": probe(READY, READINESS_PERIOD, READINESS_FAILURES),
        "livenessProbe": probe(LIVE, LIVENESS_PERIOD, LIVENESS_FAILURES),
    }


def probe(path: str, period: int, failures: int) -> dict[str, Any]:
    """A GET of ``path`` every ``period`` seconds; so many failures one after the other count."""
    return {
        "httpGet": {"path": path, "port": HTTP},
        "periodSeconds": period,
        "timeoutSeconds": PROBE_TIMEOUT,
        "failureThreshold": failures,
    }


def cores(count: float | None) -> str | None:
    """Processor cores as a quantity of Kubernetes: 1100m."""
    return None if count is None else f"{round(1000 * count)}m"


def mebibytes(count: int | None) -> str | None:
    """Bytes as a quantity of Kubernetes: 320Mi."""
    return None if count is None else f"{count // _MIB}Mi"
