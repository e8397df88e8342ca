"""The bodies for Vertex AI: held against Google's own description of its API."""

import json
from pathlib import Path
from typing import Any

import googleapiclient
import pytest

from model_deployer.deployment.vertex import vertex
from model_deployer.deployment.workload import Workload
from tests.support.workloads import ALL, UNKNOWN, workload

#: What each file is the body of.
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
    found: dict[str, Any] = json.loads((folder / "aiplatform.v1.json").read_bytes())["schemas"]
    return found


def read(written: Workload) -> dict[str, Any]:
    return {path: json.loads(text) for path, text in vertex(written).items() if path.endswith(".json")}


def problems(schemas: dict[str, Any], schema: dict[str, Any], value: Any, place: str) -> list[str]:
    """Names that the API does not know, and values of another type than it takes."""
    schema = schemas[schema["$ref"]] if "$ref" in schema else schema
    if schema["type"] == "object":
        known = schema.get("properties", {})
        parts = {name: known.get(name, schema.get("additionalProperties")) for name in value}
        strangers = [f"{place}.{name} is unknown" for name, part in parts.items() if part is None]
        inside = [(part, value[name], f"{place}.{name}") for name, part in parts.items() if part]
        return strangers + [each for one in inside for each in problems(schemas, *one)]
    if schema["type"] == "array":
        return [each for one in value for each in problems(schemas, schema["items"], one, place)]
    return [] if isinstance(value, TYPES[schema["type"]]) else [f"{place} is no {schema['type']}"]


@pytest.mark.parametrize("written", ALL.values(), ids=ALL)
def test_google_describes_these_bodies_so(schemas: dict[str, Any], written: Workload) -> None:
    bodies = read(written)
    assert bodies.keys() == BODIES.keys()
    for path, name in BODIES.items():
        assert problems(schemas, {"$ref": name}, bodies[path], path) == []
    wrong = {"modelId": 1, "mdel": {}}
    found = problems(schemas, {"$ref": BODIES["upload-model.json"]}, wrong, "body")
    assert found == ["body.mdel is unknown", "body.modelId is no string"]


@pytest.mark.parametrize("written", ALL.values(), ids=ALL)
def test_what_is_deployed_is_what_was_uploaded(written: Workload) -> None:
    bodies = read(written)
    uploaded, deployed = bodies["upload-model.json"], bodies["deploy-model.json"]["deployedModel"]
    (alias,) = uploaded["model"]["versionAliases"]
    assert deployed["model"] == f"projects/${{PROJECT}}/locations/${{REGION}}/models/{uploaded['modelId']}@{alias}"
    resources = deployed["dedicatedResources"]
    assert resources["minReplicaCount"] == written.replicas
    assert resources["maxReplicaCount"] == written.most_replicas


def test_the_probes_ask_where_the_container_listens() -> None:
    container = read(workload())["upload-model.json"]["model"]["containerSpec"]
    (port,) = container["ports"]
    for kind in ("startupProbe", "healthProbe", "livenessProbe"):
        probe = container[kind]
        assert probe["httpGet"]["port"] == port["containerPort"] == 8080
        assert probe["timeoutSeconds"] > probe["periodSeconds"]  # as the description of the field demands


def test_the_autoscaler_knows_that_a_replica_does_not_use_the_whole_machine() -> None:
    def target(written: Workload) -> Any:
        return read(written)["deploy-model.json"]["deployedModel"]["dedicatedResources"].get("autoscalingMetricSpecs")

    assert [each["target"] for each in target(workload())] == [33]  # 60 % of 1.1 of 2 cores
    assert target(workload(UNKNOWN)) is None
