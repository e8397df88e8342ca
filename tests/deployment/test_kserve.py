"""The InferenceService: its pod against Kubernetes' schema; docs/07-deployment.md has the results of KServe's own."""

from typing import Any

import kubernetes_validate
import pytest
import yaml

from model_deployer.deployment.kserve import kserve
from model_deployer.deployment.workload import Workload
from tests.support.workloads import ALL

#: The fields of a predictor in addition to those of its pod.
PREDICTOR_FIELDS = {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "timeout"}


def read(example: Workload) -> Any:
    return yaml.safe_load(kserve(example)["inference-service.yaml"])


@pytest.mark.parametrize("example", ALL.values(), ids=ALL)
def test_the_predictor_is_a_pod_that_kubernetes_takes(example: Workload) -> None:
    service = read(example)
    assert (service["apiVersion"], service["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    pod = {name: part for name, part in service["spec"]["predictor"].items() if name not in PREDICTOR_FIELDS}
    metadata = {name: service["metadata"][name] for name in ("name", "labels")}
    kubernetes_validate.validate(
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod}, "1.35", strict=True
    )


@pytest.mark.parametrize("example", ALL.values(), ids=ALL)
def test_kserve_routes_to_the_container_and_knows_what_it_speaks(example: Workload) -> None:
    predictor = read(example)["spec"]["predictor"]
    (container,) = predictor["containers"]
    assert len(f"{read(example)['metadata']['name']}-predictor") <= 63
    assert container["name"] == "kserve-container"
    assert {"name": "PROTOCOL", "value": "v2"} in container["env"]
    assert predictor["timeout"] >= example.sizing.timeout_seconds
    assert predictor["minReplicas"] == example.replicas
    is_scaled = example.sizing.cpu_request is not None
    assert predictor["maxReplicas"] == (example.max_replicas if is_scaled else example.replicas)
    assert ("scaleMetric" in predictor) == is_scaled
