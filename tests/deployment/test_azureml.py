"""The documents for Azure Machine Learning; docs/07-deployment.md has the results of Azure's own library."""

import re
from typing import Any

import pytest
import yaml

from model_deployer.deployment.azureml import azureml
from model_deployer.deployment.workload import Workload
from tests.support.workloads import ALL, workload

#: The names of endpoints and deployments.
NAME = re.compile(r"[a-z][a-z0-9-]{1,30}[a-z0-9]")

#: The fields of each object in the document; the published schema of a managed online deployment has all of them.
FIELDS = {
    "": {
        "$schema", "name", "endpoint_name", "tags", "environment", "instance_type", "instance_count",
        "request_settings", "readiness_probe", "liveness_probe",
    },
    "environment": {"name", "version", "image", "inference_config"},
    "request_settings": {"request_timeout_ms", "max_concurrent_requests_per_instance"},
    "liveness_probe": {"initial_delay", "period", "timeout", "success_threshold", "failure_threshold"},
    "readiness_probe": {"initial_delay", "period", "timeout", "success_threshold", "failure_threshold"},
}  # fmt: skip


def read(example: Workload) -> dict[str, Any]:
    return {path: yaml.safe_load(text) for path, text in azureml(example).items() if path.endswith(".yml")}


@pytest.mark.parametrize("example", ALL.values(), ids=ALL)
def test_the_deployment_says_what_the_schema_knows(example: Workload) -> None:
    documents = read(example)
    endpoint, deployment = documents["endpoint.yml"], documents["deployment.yml"]
    for path, fields in FIELDS.items():
        assert set(deployment[path] if path else deployment) == fields
    assert deployment["endpoint_name"] == endpoint["name"]
    for name in (endpoint["name"], deployment["name"]):
        assert NAME.fullmatch(name)
    assert isinstance(deployment["environment"]["version"], str)
    for probe in ("liveness_probe", "readiness_probe"):
        assert all(isinstance(value, int) and value >= 1 for value in deployment[probe].values())
    assert deployment["instance_count"] == example.replicas
    assert deployment["request_settings"]["request_timeout_ms"] >= 1000 * example.sizing.timeout_seconds


def test_concurrency_is_what_capacity_was_measured_with() -> None:
    """As many requests are admitted at once as the capacity was measured with."""
    settings = read(workload())["deployment.yml"]["request_settings"]
    assert settings["max_concurrent_requests_per_instance"] == 16
