"""Amazon SageMaker: the requests that make a real-time endpoint, as `aws ... --cli-input-json` reads them."""

import json
import math
from typing import Any

from model_deployer.deployment.instance_types import InstanceType, smallest_instance_type
from model_deployer.deployment.readme import readme
from model_deployer.deployment.workload import Workload, on_machines
from model_deployer.package.sizing import START_HEADROOM

Request = dict[str, Any]

#: https://aws.amazon.com/sagemaker/pricing/ lists them; the general ones, of two cores or more.
INSTANCE_TYPES = (
    InstanceType("ml.m5.large", 2, 8),
    InstanceType("ml.m5.xlarge", 4, 16),
    InstanceType("ml.m5.2xlarge", 8, 32),
    InstanceType("ml.m5.4xlarge", 16, 64),
    InstanceType("ml.m5.12xlarge", 48, 192),
)

#: As long as the platform waits for an answer, in seconds.
PATIENCE = 60

#: Between what the platform takes for the start of a container, in seconds.
_LEAST_START, _MOST_START = 60, 3600

#: The name of the one variant.
VARIANT = "all"

#: A new version answers this part of the requests first, for so many seconds.
CANARY_PERCENT, CANARY_SECONDS = 10, 600


def sagemaker(workload: Workload) -> dict[str, str]:
    """The files, by their path."""
    requests = {
        "create-model.json": create_model(workload),
        "create-endpoint-config.json": create_endpoint_config(workload),
        "create-endpoint.json": create_endpoint(workload),
        "update-endpoint.json": update_endpoint(workload),
        "register-scalable-target.json": register_scalable_target(workload),
        "put-scaling-policy.json": put_scaling_policy(workload),
    }
    machine = smallest_instance_type(INSTANCE_TYPES, workload)
    page = readme("sagemaker", workload, on_machines(workload), machine=machine, patience=PATIENCE)
    return {"README.md": page} | {name: json.dumps(request, indent=2) + "\n" for name, request in requests.items()}


def create_model(workload: Workload) -> Request:
    """The image. The role that may pull it is given on the command line: it belongs to the account."""
    return {
        "ModelName": workload.versioned(),
        "PrimaryContainer": {"Image": workload.image, "Mode": "SingleModel"},
        "EnableNetworkIsolation": True,
        "Tags": _tags(workload),
    }


def create_endpoint_config(workload: Workload) -> Request:
    """The machines, and how long they may take to start."""
    start = math.ceil(START_HEADROOM * workload.sizing.measured.cold_start_seconds)
    return {
        "EndpointConfigName": workload.versioned(),
        "ProductionVariants": [
            {
                "VariantName": VARIANT,
                "ModelName": workload.versioned(),
                "InitialInstanceCount": workload.replicas,
                "InstanceType": smallest_instance_type(INSTANCE_TYPES, workload).name,
                "InitialVariantWeight": 1.0,
                "ContainerStartupHealthCheckTimeoutInSeconds": min(max(start, _LEAST_START), _MOST_START),
            }
        ],
        "Tags": _tags(workload),
    }


def create_endpoint(workload: Workload) -> Request:
    """The address of the first version, and of all later ones."""
    return {"EndpointName": workload.name(), "EndpointConfigName": workload.versioned(), "Tags": _tags(workload)}


def update_endpoint(workload: Workload) -> Request:
    """The address of a version before goes over to this one: first a part of the requests, then all of them."""
    canary = {
        "Type": "CANARY",
        "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": CANARY_PERCENT},
        "WaitIntervalInSeconds": CANARY_SECONDS,
    }
    policy = {"TrafficRoutingConfiguration": canary, "TerminationWaitInSeconds": CANARY_SECONDS}
    return {
        "EndpointName": workload.name(),
        "EndpointConfigName": workload.versioned(),
        "DeploymentConfig": {"BlueGreenUpdatePolicy": policy},
    }


def register_scalable_target(workload: Workload) -> Request:
    """How many machines there may be."""
    return {**_scaled(workload), "MinCapacity": workload.replicas, "MaxCapacity": workload.most_replicas}


def put_scaling_policy(workload: Workload) -> Request:
    """As many machines as the safe load of each asks for; the platform counts requests a minute."""
    metric = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
    return {
        "PolicyName": f"{workload.name()}-load",
        **_scaled(workload),
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": 60 * workload.sizing.safe_load,
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
