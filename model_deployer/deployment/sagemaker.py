"""Amazon SageMaker: the requests that create a real-time endpoint, for `aws ... --cli-input-json`."""

import json
import math
from typing import Any

from model_deployer.deployment.instance_types import InstanceType, smallest_instance_type
from model_deployer.deployment.readme import readme
from model_deployer.deployment.workload import Workload, instance_sizes
from model_deployer.package.sizing import STARTUP_HEADROOM

Request = dict[str, Any]

#: The general-purpose instance types with two cores or more, from https://aws.amazon.com/sagemaker/pricing/.
INSTANCE_TYPES = (
    InstanceType("ml.m5.large", 2, 8),
    InstanceType("ml.m5.xlarge", 4, 16),
    InstanceType("ml.m5.2xlarge", 8, 32),
    InstanceType("ml.m5.4xlarge", 16, 64),
    InstanceType("ml.m5.12xlarge", 48, 192),
)

#: The longest time that the platform waits for an answer.
MAX_REQUEST_SECONDS = 60

#: The range of start times that the platform accepts.
_MIN_STARTUP_SECONDS, _MAX_STARTUP_SECONDS = 60, 3600

#: The name of the only variant.
VARIANT = "all"

#: A new version first answers this percentage of the requests, for this time.
CANARY_PERCENT, CANARY_SECONDS = 10, 600


def sagemaker(workload: Workload) -> dict[str, str]:
    """Return the files by path."""
    requests = {
        "create-model.json": create_model(workload),
        "create-endpoint-config.json": create_endpoint_config(workload),
        "create-endpoint.json": create_endpoint(workload),
        "update-endpoint.json": update_endpoint(workload),
    }
    if workload.load is not None:
        requests["register-scalable-target.json"] = register_scalable_target(workload)
        requests["put-scaling-policy.json"] = put_scaling_policy(workload)
    page = readme(
        "sagemaker",
        workload,
        instance_sizes(workload),
        instance_type=smallest_instance_type(INSTANCE_TYPES, workload),
        max_request_seconds=MAX_REQUEST_SECONDS,
    )
    return {"README.md": page} | {name: json.dumps(request, indent=2) + "\n" for name, request in requests.items()}


def create_model(workload: Workload) -> Request:
    """Return the request for the model: the image. The role belongs to the account, so it is a command-line option."""
    return {
        "ModelName": workload.versioned_name(),
        "PrimaryContainer": {"Image": workload.image, "Mode": "SingleModel"},
        "EnableNetworkIsolation": True,
        "Tags": _tags(workload),
    }


def create_endpoint_config(workload: Workload) -> Request:
    """Return the request for the configuration: the instances, and how long they may take to start."""
    start = math.ceil(STARTUP_HEADROOM * workload.sizing.measured.cold_start_seconds)
    return {
        "EndpointConfigName": workload.versioned_name(),
        "ProductionVariants": [
            {
                "VariantName": VARIANT,
                "ModelName": workload.versioned_name(),
                "InitialInstanceCount": workload.replicas,
                "InstanceType": smallest_instance_type(INSTANCE_TYPES, workload).name,
                "InitialVariantWeight": 1.0,
                "ContainerStartupHealthCheckTimeoutInSeconds": min(
                    max(start, _MIN_STARTUP_SECONDS), _MAX_STARTUP_SECONDS
                ),
            }
        ],
        "Tags": _tags(workload),
    }


def create_endpoint(workload: Workload) -> Request:
    """Return the request for the endpoint: the address of this version and of all later ones."""
    return {"EndpointName": workload.name(), "EndpointConfigName": workload.versioned_name(), "Tags": _tags(workload)}


def update_endpoint(workload: Workload) -> Request:
    """Return the request that moves an existing endpoint to this version: first a part of the requests, then all."""
    canary = {
        "Type": "CANARY",
        "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": CANARY_PERCENT},
        "WaitIntervalInSeconds": CANARY_SECONDS,
    }
    policy = {"TrafficRoutingConfiguration": canary, "TerminationWaitInSeconds": CANARY_SECONDS}
    return {
        "EndpointName": workload.name(),
        "EndpointConfigName": workload.versioned_name(),
        "DeploymentConfig": {"BlueGreenUpdatePolicy": policy},
    }


def register_scalable_target(workload: Workload) -> Request:
    """Return the request that sets the minimum and maximum number of instances."""
    return {**_scaled(workload), "MinCapacity": workload.replicas, "MaxCapacity": workload.max_replicas}


def put_scaling_policy(workload: Workload) -> Request:
    """Return the request for scaling by the safe load of an instance; the platform counts requests per minute."""
    metric = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
    return {
        "PolicyName": f"{workload.name()}-load",
        **_scaled(workload),
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": round(60 * workload.sizing.safe_load, 3),
            "PredefinedMetricSpecification": metric,
        },
    }


def _scaled(workload: Workload) -> Request:
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{workload.name()}/variant/{VARIANT}",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }


def _tags(workload: Workload) -> list[Request]:
    return [{"Key": "model", "Value": workload.model}, {"Key": "version", "Value": workload.version}]
