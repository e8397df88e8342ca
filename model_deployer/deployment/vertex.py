"""Vertex AI: the bodies of the REST requests that create an endpoint."""

import json
from typing import Any

from model_deployer.deployment.instance_types import InstanceType, smallest_instance_type
from model_deployer.deployment.readme import readme
from model_deployer.deployment.workload import (
    LIVE,
    LIVENESS_FAILURES,
    LIVENESS_PERIOD_SECONDS,
    READY,
    Workload,
    dns_label,
    instance_sizes,
)
from model_deployer.package.sizing import (
    READINESS_FAILURES,
    READINESS_PERIOD_SECONDS,
    SAFE_LOAD_SHARE,
    STARTUP_PERIOD_SECONDS,
)

Body = dict[str, Any]

#: The path of predictions. It can be any path that the service does not use itself.
PREDICT = "/vertex/predict"

#: The port of the container; the platform passes it to the container in AIP_HTTP_PORT.
PORT = 8080

#: The general-purpose instance types, from https://cloud.google.com/vertex-ai/docs/predictions/configure-compute.
INSTANCE_TYPES = (
    InstanceType("n1-standard-2", 2, 7.5),
    InstanceType("n1-standard-4", 4, 15),
    InstanceType("n1-standard-8", 8, 30),
    InstanceType("n1-standard-16", 16, 60),
    InstanceType("n1-standard-32", 32, 120),
)

#: The metric for autoscaling.
_CPU_METRIC = "aiplatform.googleapis.com/prediction/online/cpu/utilization"

#: The parent of a model; the commands of README.md replace the variables.
_MODELS = "projects/${PROJECT}/locations/${REGION}/models/"


def vertex(workload: Workload) -> dict[str, str]:
    """Return the files by path."""
    bodies = {
        "upload-model.json": upload_model(workload),
        "create-endpoint.json": {"displayName": workload.name()},
        "deploy-model.json": deploy_model(workload),
    }
    page = readme(
        "vertex",
        workload,
        instance_sizes(workload),
        instance_type=smallest_instance_type(INSTANCE_TYPES, workload),
        predict=PREDICT,
        ready=READY,
        port=PORT,
    )
    return {"README.md": page} | {name: json.dumps(body, indent=2) + "\n" for name, body in bodies.items()}


def alias(workload: Workload) -> str:
    """Return the alias of this version of the model."""
    return dns_label(f"v{workload.version}")


def upload_model(workload: Workload) -> Body:
    """Return the body of `projects.locations.models.upload`: the image, its port, its paths and its probes."""
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
                "startupProbe": _probe(READY, STARTUP_PERIOD_SECONDS, workload.sizing.startup_failures),
                "healthProbe": _probe(READY, READINESS_PERIOD_SECONDS, READINESS_FAILURES),
                "livenessProbe": _probe(LIVE, LIVENESS_PERIOD_SECONDS, LIVENESS_FAILURES),
            },
        },
    }


def _probe(path: str, period: int, failures: int) -> Body:
    return {
        "httpGet": {"path": path, "port": PORT},
        "periodSeconds": period,
        # The platform requires a timeout above the period.
        "timeoutSeconds": period + 1,
        "failureThreshold": failures,
    }


def deploy_model(workload: Workload) -> Body:
    """Return the body of `projects.locations.endpoints.deployModel`: the instances, which get all of the traffic."""
    instance_type = smallest_instance_type(INSTANCE_TYPES, workload)
    return {
        "deployedModel": {
            "model": f"{_MODELS}{workload.name()}@{alias(workload)}",
            "displayName": workload.versioned_name(),
            "dedicatedResources": {
                "machineSpec": {"machineType": instance_type.name},
                "minReplicaCount": workload.replicas,
                "maxReplicaCount": workload.max_replicas,
                **_scaling(workload, instance_type),
            },
        },
        "trafficSplit": {"0": 100},
    }


def _scaling(workload: Workload, instance_type: InstanceType) -> Body:
    """Return the CPU target: the safe share of a replica's CPU use, in percent of the instance; {} if unmeasured."""
    if workload.sizing.cpu_request is None:
        return {}
    target = max(1, round(100 * SAFE_LOAD_SHARE * workload.sizing.cpu_request / instance_type.cores))
    return {"autoscalingMetricSpecs": [{"metricName": _CPU_METRIC, "target": target}]}
