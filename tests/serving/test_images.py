"""A model with an image in every protocol: the answers have the bits of ONNX Runtime's own."""

import base64
import io
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import numpy as np
import polars as pl
import pytest

from tests.serving.grpc import tensorflow
from tests.serving.grpc.client import Client
from tests.serving.protocols.speakers import TORCHSERVE
from tests.serving.test_vectors import JSON_REQUESTS, VARIABLES, VERTEX, assert_bits, columns, of_predictions
from tests.support import tensor_models
from tests.support.processes import Server
from tests.support.servers import Profile, SharedServers
from tests.support.tensor_models import ONE_IMAGE, WITH_IMAGE

pytestmark = pytest.mark.slow

INFER = "/v2/models/served/infer"
ROWS = tensor_models.image_rows(WITH_IMAGE, 7)
PHOTOS = [{"photo": row["photo"]} for row in ROWS]
FILES = [base64.b64decode(row["photo"]) for row in ROWS]


@pytest.fixture(scope="module")
def server(servers: SharedServers) -> Server:
    return servers.get(Profile(WITH_IMAGE, tensor_models.write_images, VARIABLES, speaks_grpc=True))


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def one_image(servers: SharedServers) -> Iterator[httpx.Client]:
    """A server of a model whose only field is an image."""
    running = servers.get(Profile(ONE_IMAGE, tensor_models.write_images, VARIABLES))
    with httpx.Client(base_url=running.url, timeout=30) as client:
        yield client


def expected(server: Server, rows: Sequence[Mapping[str, Any]]) -> Any:
    return tensor_models.answers(server.model, tensor_models.image_arrays(WITH_IMAGE, rows))


def without_age(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{"photo": row["photo"], "age": None} for row in rows]


@pytest.mark.parametrize(("path", "body", "predictions"), JSON_REQUESTS)
def test_base64_in_json(server: Server, client: httpx.Client, path: str, body: Any, predictions: Any) -> None:
    answer = client.post(path, json=body(ROWS)).raise_for_status().json()
    assert_bits(of_predictions(predictions(answer)), expected(server, ROWS))


@pytest.mark.parametrize("path", ["/v1/models/served:predict", VERTEX])
def test_objects_with_b64(server: Server, client: httpx.Client, path: str) -> None:
    rows = [row | {"photo": {"b64": row["photo"]}} for row in ROWS]
    predictions = client.post(path, json={"instances": rows}).raise_for_status().json()["predictions"]
    is_tensor = isinstance(predictions[0]["probabilities"], list)
    actual = [each["probabilities"] for each in predictions] if is_tensor else of_predictions(predictions)
    assert_bits(actual, expected(server, ROWS))


@pytest.mark.parametrize("kind", ["stream", "parquet"])
def test_tables_have_bytes(server: Server, client: httpx.Client, kind: str) -> None:
    frame, file = pl.DataFrame({"photo": FILES, "age": columns(ROWS)["age"]}), io.BytesIO()
    _ = frame.write_parquet(file) if kind == "parquet" else frame.write_ipc_stream(file)
    media_type = "application/vnd.apache." + (kind if kind == "parquet" else f"arrow.{kind}")
    headers = {"content-type": media_type, "accept": "application/json"}
    answer = client.post("/predict", content=file.getvalue(), headers=headers).raise_for_status().json()["columns"]
    actual = np.array([answer[f"probabilities.{label}"] for label in tensor_models.LABELS]).T
    assert_bits(actual, expected(server, ROWS))


def test_open_inference_takes_base64_files_and_pixels(server: Server, client: httpx.Client) -> None:
    probabilities = expected(server, without_age(ROWS))
    pixels = tensor_models.image_arrays(WITH_IMAGE, ROWS)["photo"]
    text = {"name": "photo", "shape": [7, 1], "datatype": "BYTES", "data": columns(ROWS)["photo"]}
    numbers = {"name": "photo", "shape": [7, 8, 6, 3], "datatype": "UINT8", "data": pixels.tolist()}
    for tensor in (text, text | {"parameters": {"content_type": "base64"}}, numbers):
        answer = client.post(INFER, json={"inputs": [tensor]}).raise_for_status().json()
        assert_bits(np.reshape(answer["outputs"][0]["data"], (-1, 3)), probabilities)
    files = b"".join(len(content).to_bytes(4, "little") + content for content in FILES)
    for tensor, blob in ((text, files), (numbers, pixels.tobytes())):
        sent = {key: tensor[key] for key in ("name", "shape", "datatype")}
        head = json.dumps({"inputs": [sent | {"parameters": {"binary_data_size": len(blob)}}]}).encode()
        headers = {"Inference-Header-Content-Length": str(len(head))}
        answer = client.post(INFER, content=head + blob, headers=headers).raise_for_status().json()
        assert_bits(np.reshape(answer["outputs"][0]["data"], (-1, 3)), probabilities)


def test_grpc_takes_files_and_pixels(server: Server) -> None:
    assert server.grpc_port is not None
    probabilities = expected(server, without_age(ROWS))
    pixels = tensor_models.image_arrays(WITH_IMAGE, ROWS)["photo"]
    with closing((grpc := Client(server.grpc_port)).channel):
        for shape, datatype, is_raw in (
            ([7, 1], "BYTES", False),
            ([7, 1], "BYTES", True),
            ([7, 8, 6, 3], "UINT8", True),
        ):
            message = grpc.message("ModelInfer", model_name="served")
            tensor = message.inputs.add(name="photo", datatype=datatype, shape=shape)
            if not is_raw:
                tensor.contents.bytes_contents.extend(FILES)
            elif datatype == "BYTES":
                message.raw_input_contents.append(b"".join(len(each).to_bytes(4, "little") + each for each in FILES))
            else:
                message.raw_input_contents.append(pixels.tobytes())
            answer = grpc.start("ModelInfer", message).result()
            numbers = (
                np.frombuffer(answer.raw_output_contents[0], "<f4")
                if is_raw
                else answer.outputs[0].contents.fp32_contents
            )
            assert_bits(np.reshape(numbers, (-1, 3)), probabilities)
    with closing((grpc := Client(server.grpc_port, TORCHSERVE)).channel):
        message = grpc.message("Predictions", model_name="served", input={"data": FILES[0]})
        prediction = json.loads(grpc.start("Predictions", message).result().prediction)
        assert_bits(of_predictions([prediction]), probabilities[:1])
    with closing((grpc := Client(server.grpc_port, tensorflow.SERVICE)).channel):
        message = grpc.message("Predict", model_spec={"name": "served"})
        message.inputs["photo"].dtype = 7
        message.inputs["photo"].tensor_shape.dim.add(size=7)
        message.inputs["photo"].string_val.extend(FILES)
        answer = tensorflow.outputs_of(grpc.start("Predict", message).result())
        assert_bits(answer["probabilities"], probabilities)
        example = {"features": {"feature": {"photo": {"bytes_list": {"value": [FILES[0]]}}}}}
        message = grpc.message(
            "Classify", model_spec={"name": "served"}, input={"example_list": {"examples": [example]}}
        )
        (result,) = grpc.start("Classify", message).result().result.classifications
        assert_bits([[label.score for label in result.classes]], probabilities[:1])


def test_curl_sends_a_file_to_torchserve(server: Server, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path, content in zip(paths, FILES, strict=False):
        path.write_bytes(content)
    url = f"{server.url}/predictions/served"
    probabilities = expected(server, without_age(ROWS[:3]))

    def curl(*arguments: str) -> Any:
        return json.loads(subprocess.run(["curl", "--silent", url, *arguments], capture_output=True, check=True).stdout)

    assert_bits(of_predictions([curl("-T", str(paths[0]))]), probabilities[:1])
    assert_bits(of_predictions([curl("--data-binary", f"@{paths[1]}")]), probabilities[1:2])
    assert_bits(of_predictions([curl("-F", f"data=@{paths[2]}")]), probabilities[2:])
    assert_bits(of_predictions(curl(*(part for path in paths for part in ("-F", f"data=@{path}")))), probabilities)
    one = curl("-F", f"photo=@{paths[0]}", "-F", "age=2.5")
    assert_bits(of_predictions([one]), expected(server, [ROWS[0] | {"age": 2.5}]))
    paths[0].write_bytes(FILES[0][:-30])
    refusal = curl("-T", str(paths[0]))
    assert refusal["message"] == "row 0, photo: the file is damaged: its pixels cannot be read"


def test_a_large_file_is_not_counted_as_text(one_image: httpx.Client) -> None:
    content = tensor_models.image_content(0, height=400, width=400)
    assert content.count(b",") > 1_000
    for path, headers in (("/predictions/served", {}), ("/invocations", {"content-type": "image/png"})):
        one_image.post(path, content=content, headers=headers).raise_for_status()
    one_image.post("/predictions/served", files={"data": content}).raise_for_status()


@pytest.mark.parametrize("media_type", ["application/x-image", "image/png", "image/jpeg"])
def test_sagemaker_takes_a_file(server: Server, client: httpx.Client, media_type: str) -> None:
    answer = client.post("/invocations", content=FILES[0], headers={"content-type": media_type}).raise_for_status()
    assert_bits(of_predictions(answer.json()["predictions"]), expected(server, without_age(ROWS[:1])))


def test_formats_that_cannot_hold_an_image_are_refused(client: httpx.Client) -> None:
    answer = client.post("/invocations", content="a,b", headers={"content-type": "text/csv"})
    assert (answer.status_code, "CSV cannot hold the image `photo`" in answer.json()["message"]) == (415, True)


def test_a_model_of_one_image_takes_a_list_of_images(one_image: httpx.Client) -> None:
    texts = columns(ROWS)["photo"]
    native = one_image.post("/predict", json={"rows": PHOTOS}).raise_for_status().json()["predictions"]
    for path, body in (
        ("/predictions/served", texts),
        ("/predictions/served", {"instances": [{"b64": text} for text in texts]}),
        ("/v1/models/served:predict", {"instances": texts}),
        ("/invocations", {"inputs": texts}),
        ("/score", {"data": texts}),
    ):
        answer = one_image.post(path, json=body).raise_for_status().json()
        predictions = answer if isinstance(answer, list) else answer["predictions"]
        if path.startswith("/v1"):
            assert [each["probabilities"] for each in predictions] == of_predictions(native)
        else:
            assert predictions == native


def test_the_tensor_of_an_only_field_has_a_name(one_image: httpx.Client) -> None:
    tensor = {"shape": [1], "datatype": "BYTES", "data": [PHOTOS[0]["photo"]]}
    one_image.post(INFER, json={"inputs": [tensor | {"name": "photo"}]}).raise_for_status()
    for wrong in (tensor, tensor | {"name": "picture"}):
        assert one_image.post(INFER, json={"inputs": [wrong]}).is_client_error


def test_problems_name_the_field_and_the_row(client: httpx.Client) -> None:
    rows = [ROWS[0], ROWS[1] | {"photo": base64.b64encode(FILES[1][:40]).decode()}, ROWS[2] | {"photo": "AAAA"}]
    errors = client.post("/predict", json={"rows": rows}).json()["errors"]
    assert [(each["row"], each["field"], each["code"]) for each in errors] == [
        (1, "photo", "invalid_image"),
        (2, "photo", "invalid_image"),
    ]


def test_the_document_describes_images(client: httpx.Client) -> None:
    document = client.get("/docs.json").json()
    schema = document["components"]["schemas"]["FieldPhoto"]
    assert (schema["type"], schema["contentEncoding"]) == ("string", "base64")
    jsonschema.validate(ROWS[0], document["components"]["schemas"]["Row"] | {"components": document["components"]})
    (tensor, _) = client.get("/v2/models/served").json()["inputs"]
    assert tensor == {"name": "photo", "datatype": "BYTES", "shape": [-1, 1]}
