"""KServe: an InferenceService whose predictor is the image, called with the Open Inference Protocol."""

from typing import Any

from model_deployer.deployment.pod import metadata, pod
from model_deployer.deployment.readme import readme
from model_deployer.deployment.workload import Workload, formulas, sizes
from model_deployer.package.sizing import SAFE_LOAD_SHARE
from model_deployer.writing.yaml_text import to_yaml

#: The name of the container that KServe sends requests to.
CONTAINER_NAME = "kserve-container"

#: KServe appends `-predictor` and the namespace; the result is a DNS label of at most 63 characters.
MAX_NAME_LENGTH = 36


def kserve(workload: Workload) -> dict[str, str]:
    """Return the files by path."""
    text = to_yaml(inference_service(workload), formulas(sizes(workload)))
    return {
        "README.md": readme("kserve", workload, sizes(workload), name=name(workload)),
        "inference-service.yaml": text,
    }


def name(workload: Workload) -> str:
    """Return the name of the InferenceService; it is shorter than on other platforms because KServe extends it."""
    return workload.name(MAX_NAME_LENGTH)


def inference_service(workload: Workload) -> dict[str, Any]:
    """Return the InferenceService in the mode Standard: pods end gracefully, and run before the first request."""
    spec = pod(workload, CONTAINER_NAME)
    spec["containers"][0]["env"] += [{"name": "PROTOCOL", "value": "v2"}]
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": metadata(workload, name(workload))
        | {"annotations": {"serving.kserve.io/deploymentMode": "Standard"}},
        "spec": {"predictor": _scaling(workload) | {"timeout": workload.timeout_seconds} | spec},
    }


def _scaling(workload: Workload) -> dict[str, Any]:
    """Return the settings to scale by CPU; if CPU was not measured, the number of replicas is fixed."""
    minimum = {"minReplicas": workload.replicas}
    if workload.sizing.cpu_request is None:
        return minimum | {"maxReplicas": workload.replicas}
    return minimum | {
        "maxReplicas": workload.max_replicas,
        "scaleMetric": "cpu",
        "scaleTarget": round(100 * SAFE_LOAD_SHARE),
    }
