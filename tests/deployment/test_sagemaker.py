"""The requests for SageMaker: checked against AWS' own description of its API, and sent to moto's mock of it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.validate import ParamValidator
from moto import mock_aws

from model_deployer.deployment.sagemaker import MAX_REQUEST_SECONDS, create_endpoint_config, sagemaker
from model_deployer.deployment.workload import Workload
from tests.support.observed import MEASURED
from tests.support.workloads import ALL, workload

#: The service and the operation of each file.
OPERATIONS = {
    "create-model.json": ("sagemaker", "CreateModel"),
    "create-endpoint-config.json": ("sagemaker", "CreateEndpointConfig"),
    "create-endpoint.json": ("sagemaker", "CreateEndpoint"),
    "update-endpoint.json": ("sagemaker", "UpdateEndpoint"),
    "register-scalable-target.json": ("application-autoscaling", "RegisterScalableTarget"),
    "put-scaling-policy.json": ("application-autoscaling", "PutScalingPolicy"),
}

ROLE = "arn:aws:iam::123456789012:role/models"


def read(example: Workload) -> dict[str, Any]:
    return {path: json.loads(text) for path, text in sagemaker(example).items() if path.endswith(".json")}


def problems(service: str, operation: str, request: Mapping[str, Any]) -> str:
    shape = botocore.session.get_session().get_service_model(service).operation_model(operation).input_shape
    report: str = ParamValidator().validate(request, shape).generate_report()
    return report


@pytest.mark.parametrize("example", ALL.values(), ids=ALL)
def test_aws_describes_these_requests_so(example: Workload) -> None:
    requests = read(example)
    scaling = {path for path, (service, _) in OPERATIONS.items() if service == "application-autoscaling"}
    assert requests.keys() == OPERATIONS.keys() - (scaling if example.load is None else set())
    for path, request in requests.items():
        assert problems(*OPERATIONS[path], request) == ""
    assert "Unknown parameter" in problems("sagemaker", "CreateModel", requests["create-model.json"] | {"Imag": "x"})


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A mocked AWS account."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with mock_aws():
        yield


@pytest.mark.usefixtures("account")
def test_a_version_goes_live_and_the_next_one_is_ready_beside_it() -> None:
    client = boto3.client("sagemaker")
    first, second = read(workload()), read(workload(version="1.1.0"))
    for requests in (first, second):
        client.create_model(**requests["create-model.json"], ExecutionRoleArn=ROLE)
        client.create_endpoint_config(**requests["create-endpoint-config.json"])
    client.create_endpoint(**first["create-endpoint.json"])
    name = first["create-endpoint.json"]["EndpointName"]
    assert client.describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService"
    scaling = boto3.client("application-autoscaling")
    scaling.register_scalable_target(**first["register-scalable-target.json"])
    scaling.put_scaling_policy(**first["put-scaling-policy.json"])
    (policy,) = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    assert policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 60 * 2592
    # moto does not support UpdateEndpoint, so only the names in the request can be checked.
    update = second["update-endpoint.json"]
    assert update["EndpointName"] == name
    configured = client.describe_endpoint_config(EndpointConfigName=update["EndpointConfigName"])
    assert configured["ProductionVariants"][0]["ModelName"] == "served-1-1-0"


@pytest.mark.parametrize(("measured", "allowed"), [(3.456, 60), (100.0, 500), (1000.0, 3600)])
def test_start_timeout_is_five_times_the_measured_start(measured: float, allowed: int) -> None:
    """A container may take five times as long to start as was measured."""
    example = workload(MEASURED.model_copy(update={"cold_start_seconds": measured}))
    (variant,) = create_endpoint_config(example)["ProductionVariants"]
    assert variant["ContainerStartupHealthCheckTimeoutInSeconds"] == allowed


def test_a_limit_beyond_that_of_the_platform_is_said() -> None:
    note = f"gives up after {MAX_REQUEST_SECONDS} s"
    contract = workload().package.contract
    limits = contract.limits.model_copy(update={"timeout_seconds": MAX_REQUEST_SECONDS + 1})
    slow = workload(contract=contract.model_copy(update={"limits": limits}))
    assert note in sagemaker(slow)["README.md"]
    assert note not in sagemaker(workload())["README.md"]
