"""The bodies for Vertex AI: checked against Google's own description of its API."""

import json
from pathlib import Path
from typing import Any

import googleapiclient
import pytest

from model_deployer.deployment.vertex import vertex
from model_deployer.deployment.workload import Workload
from tests.support.workloads import ALL, UNKNOWN, workload

#: The schema of the request body in each file.
BODIES = {
    "upload-model.json": "GoogleCloudAiplatformV1UploadModelRequest",
    "create-endpoint.json": "GoogleCloudAiplatformV1Endpoint",
    "deploy-model.json": "GoogleCloudAiplatformV1DeployModelRequest",
}

TYPES: dict[str, type | tuple[type, ...]] = {"string": str, "integer": int, "number": (int, float), "boolean": bool}


@pytest.fixture(scope="module")
def schemas() -> dict[str, Any]:
    """The discovery document that comes with Google's client for Python."""
    folder = Path(googleapiclient.__file__).parent / "discovery_cache" / "documents"
    schemas: dict[str, Any] = json.loads((folder / "aiplatform.v1.json").read_bytes())["schemas"]
    return schemas


def read(example: Workload) -> dict[str, Any]:
    return {path: json.loads(text) for path, text in vertex(example).items() if path.endswith(".json")}


def problems(schemas: dict[str, Any], schema: dict[str, Any], value: Any, path: str) -> list[str]:
    """Names that the API does not define, and values of a wrong type."""
    schema = schemas[schema["$ref"]] if "$ref" in schema else schema
    if schema["type"] == "object":
        properties = schema.get("properties", {})
        parts = {name: properties.get(name, schema.get("additionalProperties")) for name in value}
        unknown = [f"{path}.{name} is unknown" for name, part in parts.items() if part is None]
        inside = [(part, value[name], f"{path}.{name}") for name, part in parts.items() if part]
        return unknown + [problem for arguments in inside for problem in problems(schemas, *arguments)]
    if schema["type"] == "array":
        return [problem for item in value for problem in problems(schemas, schema["items"], item, path)]
    return [] if isinstance(value, TYPES[schema["type"]]) else [f"{path} is not of type {schema['type']}"]


@pytest.mark.parametrize("example", ALL.values(), ids=ALL)
def test_google_describes_these_bodies_so(schemas: dict[str, Any], example: Workload) -> None:
    bodies = read(example)
    assert bodies.keys() == BODIES.keys()
    for path, name in BODIES.items():
        assert problems(schemas, {"$ref": name}, bodies[path], path) == []
    wrong = {"modelId": 1, "mdel": {}}
    errors = problems(schemas, {"$ref": BODIES["upload-model.json"]}, wrong, "body")
    assert errors == ["body.mdel is unknown", "body.modelId is not of type string"]


@pytest.mark.parametrize("example", ALL.values(), ids=ALL)
def test_what_is_deployed_is_what_was_uploaded(example: Workload) -> None:
    bodies = read(example)
    uploaded, deployed = bodies["upload-model.json"], bodies["deploy-model.json"]["deployedModel"]
    (alias,) = uploaded["model"]["versionAliases"]
    assert deployed["model"] == f"projects/${{PROJECT}}/locations/${{REGION}}/models/{uploaded['modelId']}@{alias}"
    resources = deployed["dedicatedResources"]
    assert resources["minReplicaCount"] == example.replicas
    assert resources["maxReplicaCount"] == example.max_replicas


def test_the_probes_ask_where_the_container_listens() -> None:
    container = read(workload())["upload-model.json"]["model"]["containerSpec"]
    (port,) = container["ports"]
    for kind in ("startupProbe", "healthProbe", "livenessProbe"):
        probe = container[kind]
        assert probe["httpGet"]["port"] == port["containerPort"] == 8080
        assert probe["timeoutSeconds"] > probe["periodSeconds"]  # as the description of the field requires


def test_autoscaler_knows_the_share_of_the_machine() -> None:
    """The autoscaler takes into account that a replica does not use the whole machine."""

    def target(example: Workload) -> Any:
        return read(example)["deploy-model.json"]["deployedModel"]["dedicatedResources"].get("autoscalingMetricSpecs")

    assert [metric["target"] for metric in target(workload())] == [31]  # 60 % of 1.04 of 2 cores
    assert target(workload(UNKNOWN)) is None
