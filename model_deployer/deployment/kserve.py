"""KServe: an InferenceService whose predictor is the image, asked by the Open Inference Protocol."""

from typing import Any

from model_deployer.deployment.pod import metadata, pod
from model_deployer.deployment.readme import readme
from model_deployer.deployment.workload import Workload, formulas, sizes
from model_deployer.package.sizing import SAFE_LOAD_SHARE
from model_deployer.writing.yaml_text import to_yaml

#: What KServe calls the container that it routes to.
CONTAINER = "kserve-container"

#: With `-predictor` and the namespace after it, the name is a part of an address, which may have 63 characters.
LONGEST = 36


def kserve(workload: Workload) -> dict[str, str]:
    """The files, by their path."""
    text = to_yaml(inference_service(workload), formulas(sizes(workload)))
    return {
        "README.md": readme("kserve", workload, sizes(workload), name=name(workload)),
        "inference-service.yaml": text,
    }


def name(workload: Workload) -> str:
    """Of the InferenceService: shorter than elsewhere, since KServe adds to it."""
    return workload.name(LONGEST)


def inference_service(workload: Workload) -> dict[str, Any]:
    """As plain deployments: a pod that ends is given time, and none is started by the first request."""
    spec = pod(workload, CONTAINER)
    spec["containers"][0]["env"] += [{"name": "PROTOCOL", "value": "v2"}]
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": metadata(workload, name(workload))
        | {"annotations": {"serving.kserve.io/deploymentMode": "Standard"}},
        "spec": {"predictor": _scaling(workload) | {"timeout": workload.timeout} | spec},
    }


def _scaling(workload: Workload) -> dict[str, Any]:
    """By CPU; where that was not measured, the number of replicas is fixed."""
    least = {"minReplicas": workload.replicas}
    if workload.sizing.cpu_request is None:
        return least | {"maxReplicas": workload.replicas}
    return least | {
        "maxReplicas": workload.most_replicas,
        "scaleMetric": "cpu",
        "scaleTarget": round(100 * SAFE_LOAD_SHARE),
    }
