"""Vertex AI: the bodies of the REST requests that make an endpoint."""

import json
from typing import Any

from model_deployer.deployment.instance_types import InstanceType, smallest_instance_type
from model_deployer.deployment.readme import readme
from model_deployer.deployment.workload import (
    LIVE,
    LIVENESS_FAILURES,
    LIVENESS_PERIOD,
    READY,
    Workload,
    label,
    on_machines,
)
from model_deployer.package.sizing import READINESS_FAILURES, READINESS_PERIOD, SAFE_LOAD_SHARE, STARTUP_PERIOD

Body = dict[str, Any]

#: Where the container is asked for predictions: any path but the service's own.
PREDICT = "/vertex/predict"

#: Where it listens: the platform says so to the container in AIP_HTTP_PORT.
PORT = 8080

#: https://cloud.google.com/vertex-ai/docs/predictions/configure-compute lists them; the general ones.
INSTANCE_TYPES = (
    InstanceType("n1-standard-2", 2, 7.5),
    InstanceType("n1-standard-4", 4, 15),
    InstanceType("n1-standard-8", 8, 30),
    InstanceType("n1-standard-16", 16, 60),
    InstanceType("n1-standard-32", 32, 120),
)

#: The metric that the platform scales by.
_CPU = "aiplatform.googleapis.com/prediction/online/cpu/utilization"

#: What the commands of README.md put in its place.
_MODEL = "projects/${PROJECT}/locations/${REGION}/models/"


def vertex(workload: Workload) -> dict[str, str]:
    """The files, by their path."""
    bodies = {
        "upload-model.json": upload_model(workload),
        "create-endpoint.json": {"displayName": workload.name()},
        "deploy-model.json": deploy_model(workload),
    }
    machine = smallest_instance_type(INSTANCE_TYPES, workload)
    page = readme("vertex", workload, on_machines(workload), machine=machine, predict=PREDICT, ready=READY, port=PORT)
    return {"README.md": page} | {name: json.dumps(body, indent=2) + "\n" for name, body in bodies.items()}


def alias(workload: Workload) -> str:
    """By what a version is told apart from the others of the model."""
    return label(f"v{workload.version}")


def upload_model(workload: Workload) -> Body:
    """The body of `projects.locations.models.upload`: the image, and where it answers."""
    start = workload.sizing.startup_failures
    return {
        "modelId": workload.name(),
        "model": {
            "displayName": workload.name(),
            "versionAliases": [alias(workload)],
            "labels": {"version": alias(workload)},
            "containerSpec": {
                "imageUri": workload.image,
                "ports": [{"containerPort": PORT}],
                "predictRoute": PREDICT,
                "healthRoute": READY,
                "startupProbe": _probe(READY, STARTUP_PERIOD, start),
                "healthProbe": _probe(READY, READINESS_PERIOD, READINESS_FAILURES),
                "livenessProbe": _probe(LIVE, LIVENESS_PERIOD, LIVENESS_FAILURES),
            },
        },
    }


def _probe(path: str, period: int, failures: int) -> Body:
    return {
        "httpGet": {"path": path, "port": PORT},
        "periodSeconds": period,
        # The platform asks for a timeout above the period.
        "timeoutSeconds": period + 1,
        "failureThreshold": failures,
    }


def deploy_model(workload: Workload) -> Body:
    """The body of `projects.locations.endpoints.deployModel`: the machines, and all of the traffic."""
    machine = smallest_instance_type(INSTANCE_TYPES, workload)
    return {
        "deployedModel": {
            "model": f"{_MODEL}{workload.name()}@{alias(workload)}",
            "displayName": workload.versioned(),
            "dedicatedResources": {
                "machineSpec": {"machineType": machine.name},
                "minReplicaCount": workload.replicas,
                "maxReplicaCount": workload.most_replicas,
                **_scaling(workload, machine),
            },
        },
        "trafficSplit": {"0": 100},
    }


def _scaling(workload: Workload, machine: InstanceType) -> Body:
    """By CPU, where that was measured: the safe part of what a replica keeps busy, in percent of the machine."""
    if workload.sizing.cpu_request is None:
        return {}
    target = max(1, round(100 * SAFE_LOAD_SHARE * workload.sizing.cpu_request / machine.cores))
    return {"autoscalingMetricSpecs": [{"metricName": _CPU, "target": target}]}
