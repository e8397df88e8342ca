"""The requests that are generated from the OpenAPI document are those that a server can accept."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model_deployer.contract.artifact import Artifact
from model_deployer.handoff import specification
from model_deployer.serving.protocols.open_inference_document import schemas
from tests.support import tensor_models


def document(write: Callable[[Path], Any], folder: Path) -> dict[str, Any]:
    """Return a document with the components of a model alone, as it is given to schemathesis."""
    contract = Artifact(folder, write(folder)).contract
    fields = {feature.name: feature.json_schema() for feature in contract.features}
    components = {"schemas": fields | schemas(contract, {})}
    fuzzed = specification._without_inexpressible({"paths": {}, "components": components})
    result: dict[str, Any] = fuzzed["components"]["schemas"]
    return result


def test_only_the_example_of_an_image_is_sent(tmp_path: Path) -> None:
    field = document(tensor_models.write_images, tmp_path)["photo"]
    assert field["enum"] == [tensor_models.PHOTO.example]


def test_a_body_is_not_filled_with_images() -> None:
    """The limit of its bytes allows fewer images than its limit of rows."""
    image, rows = tensor_models.PHOTO.json_schema(), {"type": "array", "minItems": 1, "maxItems": 10_000}
    for schema, longest in ((image, None), ({"type": "string"}, 10_000)):
        components = {"schemas": {"Photo": schema, "Rows": dict(rows)}}
        fuzzed = specification._without_inexpressible({"paths": {}, "components": components})
        assert fuzzed["components"]["schemas"]["Rows"].get("maxItems") == longest


@pytest.mark.parametrize(("name", "length"), [("Words", 1), ("Signal", 2)])
def test_tensors_have_the_shortest_sequences(name: str, length: int, tmp_path: Path) -> None:
    properties = document(tensor_models.write_sequences, tmp_path)[f"OpenInferenceInput{name}"]["properties"]
    (_, size) = properties["shape"]["prefixItems"]
    flat, nested = properties["data"]["anyOf"]
    assert (size["minimum"], size["maximum"]) == (length, length)
    assert flat["minItems"] == flat["maxItems"] == nested["items"]["maxItems"] == length


def test_tensors_have_the_smallest_shape(tmp_path: Path) -> None:
    schemas = document(tensor_models.write_tensors, tmp_path)
    properties = schemas["OpenInferenceInputSpectrogram"]["properties"]
    flat, nested = properties["data"]["anyOf"]
    assert [size["maximum"] for size in properties["shape"]["prefixItems"][1:]] == [1, 4]
    assert (flat["minItems"], flat["maxItems"]) == (4, 4)
    assert (nested["items"]["maxItems"], nested["items"]["items"]["maxItems"]) == (1, 4)
    field = schemas["spectrogram"]
    assert (field["minItems"], field["maxItems"], field["items"]["maxItems"]) == (1, 6, 4)


def test_the_operator_may_capture_traffic_and_require_keys() -> None:
    """A deployment with the route for labels and with API keys has the document of the package."""
    operation = {"security": [{"key": []}], "responses": {"200": {}, "401": {}}}
    document = {"paths": {"/predict": {"post": operation}, "/feedback": {"post": {}}}, "security": [{"key": []}]}
    expected = {"paths": {"/predict": {"post": {"responses": {"200": {}}}}}, "security": []}
    assert specification._without_choices(document) == expected
