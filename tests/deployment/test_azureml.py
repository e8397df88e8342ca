"""The documents for Azure Machine Learning; docs/07-deployment.md says what its own library found."""

import re
from typing import Any

import pytest
import yaml

from model_deployer.deployment.azureml import azureml
from model_deployer.deployment.workload import Workload
from tests.support.workloads import ALL, workload

#: Of endpoints and deployments.
NAME = re.compile(r"[a-z][a-z0-9-]{1,30}[a-z0-9]")

#: What the published schema of a managed online deployment knows of that which is written here.
KNOWN = {
    "": {
        "$schema", "name", "endpoint_name", "tags", "environment", "instance_type", "instance_count",
        "request_settings", "readiness_probe", "liveness_probe",
    },
    "environment": {"name", "version", "image", "inference_config"},
    "request_settings": {"request_timeout_ms", "max_concurrent_requests_per_instance"},
    "liveness_probe": {"initial_delay", "period", "timeout", "success_threshold", "failure_threshold"},
    "readiness_probe": {"initial_delay", "period", "timeout", "success_threshold", "failure_threshold"},
}  # fmt: skip


def read(written: Workload) -> dict[str, Any]:
    return {path: yaml.safe_load(text) for path, text in azureml(written).items() if path.endswith(".yml")}


@pytest.mark.parametrize("written", ALL.values(), ids=ALL)
def test_the_deployment_says_what_the_schema_knows(written: Workload) -> None:
    documents = read(written)
    endpoint, deployment = documents["endpoint.yml"], documents["deployment.yml"]
    for place, known in KNOWN.items():
        assert set(deployment[place] if place else deployment) == known
    assert deployment["endpoint_name"] == endpoint["name"]
    for name in (endpoint["name"], deployment["name"]):
        assert NAME.fullmatch(name)
    assert isinstance(deployment["environment"]["version"], str)
    for probe in ("liveness_probe", "readiness_probe"):
        assert all(isinstance(value, int) and value >= 1 for value in deployment[probe].values())
    assert deployment["instance_count"] == written.replicas
    assert deployment["request_settings"]["request_timeout_ms"] >= 1000 * written.sizing.timeout_seconds


def test_as_many_requests_are_let_in_at_once_as_the_capacity_was_measured_with() -> None:
    settings = read(workload())["deployment.yml"]["request_settings"]
    assert settings["max_concurrent_requests_per_instance"] == 16
