"""The InferenceService: its pod against Kubernetes' schema; docs/07-deployment.md says what KServe's own one found."""

from typing import Any

import kubernetes_validate
import pytest
import yaml

from model_deployer.deployment.kserve import kserve
from model_deployer.deployment.workload import Workload
from tests.support.workloads import ALL

#: What an InferenceService says of a predictor beside its pod.
OWN = {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "timeout"}


def read(written: Workload) -> Any:
    return yaml.safe_load(kserve(written)["inference-service.yaml"])


@pytest.mark.parametrize("written", ALL.values(), ids=ALL)
def test_the_predictor_is_a_pod_that_kubernetes_takes(written: Workload) -> None:
    service = read(written)
    assert (service["apiVersion"], service["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    pod = {name: part for name, part in service["spec"]["predictor"].items() if name not in OWN}
    metadata = {name: service["metadata"][name] for name in ("name", "labels")}
    kubernetes_validate.validate(
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod}, "1.35", strict=True
    )


@pytest.mark.parametrize("written", ALL.values(), ids=ALL)
def test_kserve_routes_to_the_container_and_knows_what_it_speaks(written: Workload) -> None:
    predictor = read(written)["spec"]["predictor"]
    (container,) = predictor["containers"]
    assert len(f"{read(written)['metadata']['name']}-predictor") <= 63
    assert container["name"] == "kserve-container"
    assert {"name": "PROTOCOL", "value": "v2"} in container["env"]
    assert predictor["timeout"] >= written.sizing.timeout_seconds
    assert predictor["minReplicas"] == written.replicas
    is_scaled = written.sizing.cpu_request is not None
    assert predictor["maxReplicas"] == (written.most_replicas if is_scaled else written.replicas)
    assert ("scaleMetric" in predictor) == is_scaled
