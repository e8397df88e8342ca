"""An adopted classifier of images over HTTP, from its graph and from its source: the answers are those of torch."""

import base64
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest
from PIL import Image as Pillow

from model_deployer.adoption.cell.trust import digest_of
from model_deployer.contract import store
from model_deployer.serving.rows.formats import STREAM
from model_deployer.training.fit import fit
from tests.support import image_networks
from tests.support.image_networks import ADOPT, FEATURES, HEIGHT, LABELS, WIDTH
from tests.support.in_process import model_store
from tests.support.onnx_graphs import write_network_spec
from tests.support.processes import serve
from tests.support.sources import variables

pytestmark = pytest.mark.slow

IMAGES = image_networks.pixels(5, seed=7)
FILES = [image_networks.file(image) for image in IMAGES]
EXPECTED = image_networks.answers(IMAGES)


@pytest.fixture(scope="module", params=["graph", "runner"])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A server of the classifier; of TorchScript, its own process answers."""
    folder, is_graph = tmp_path_factory.mktemp("images"), request.param == "graph"
    source = image_networks.write("onnx" if is_graph else "torchscript", folder)
    adopt = ADOPT if is_graph else f"{ADOPT}  serve: runner\n  trust: {digest_of(folder / source)}\n"
    with model_store(folder / "home"):
        artifact = store.load(fit(write_network_spec(folder, source, adopt, features=FEATURES)).tag)
    changed = {} if is_graph else variables(artifact, folder / "environments")
    with (
        serve([], folder / "home", folder / "log", variables=changed) as server,
        httpx.Client(base_url=server.url, timeout=30) as client,
    ):
        yield client


def base64_in_json(client: httpx.Client) -> httpx.Response:
    return client.post("/predict", json={"rows": image_networks.rows(IMAGES)})


def multipart(client: httpx.Client) -> httpx.Response:
    return client.post("/predictions/net", files=[("data", content) for content in FILES])


def arrow(client: httpx.Client) -> httpx.Response:
    stream = io.BytesIO()
    pl.DataFrame({"photo": FILES}).write_ipc_stream(stream)
    headers = {"content-type": STREAM, "accept": "application/json"}
    return client.post("/predict", content=stream.getvalue(), headers=headers)


def _binary(client: httpx.Client, tensor: dict[str, Any], content: bytes) -> httpx.Response:
    head = json.dumps({"inputs": [tensor | {"parameters": {"binary_data_size": len(content)}}]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    return client.post("/v2/models/net/infer", content=head + content, headers=headers)


def binary_files(client: httpx.Client) -> httpx.Response:
    content = b"".join(len(each).to_bytes(4, "little") + each for each in FILES)
    return _binary(client, {"name": "photo", "shape": [len(FILES), 1], "datatype": "BYTES"}, content)


def binary_pixels(client: httpx.Client) -> httpx.Response:
    tensor = {"name": "photo", "shape": list(IMAGES.shape), "datatype": "UINT8"}
    return _binary(client, tensor, IMAGES.tobytes())


def _shares(answer: Any) -> Any:
    """Return the probabilities of an answer of any protocol, [rows, labels]."""
    if isinstance(answer, dict) and "columns" in answer:
        return np.array([answer["columns"][f"probabilities.{label}"] for label in LABELS]).T
    if isinstance(answer, dict) and "outputs" in answer:
        return np.reshape(answer["outputs"][0]["data"], (-1, len(LABELS)))
    predictions = answer["predictions"] if isinstance(answer, dict) else answer
    return [list(prediction["probabilities"].values()) for prediction in predictions]


@pytest.mark.parametrize("ask", [base64_in_json, multipart, arrow, binary_files, binary_pixels])
def test_every_form_of_a_request(ask: Callable[[httpx.Client], httpx.Response], client: httpx.Client) -> None:
    assert np.allclose(_shares(ask(client).raise_for_status().json()), EXPECTED, atol=1e-6)


def _saved(image: Pillow.Image, kind: str, **options: Any) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def _rotated() -> bytes:
    exif = Pillow.Exif()
    exif[0x0112] = 3  # upside down
    return _saved(Pillow.fromarray(IMAGES[0]), "JPEG", exif=exif)


PHOTO = Pillow.fromarray(IMAGES[0])

CONVERTED = {
    "CMYK": _saved(PHOTO.convert("CMYK"), "JPEG"),
    "grey": _saved(PHOTO.convert("L"), "PNG"),
    "transparent": _saved(PHOTO.convert("RGBA"), "PNG"),
    "upside down by EXIF": _rotated(),
}


@pytest.mark.parametrize("case", CONVERTED)
def test_other_colours_and_orientations(case: str, client: httpx.Client) -> None:
    """They are decoded as Pillow does; transparency is left out, and EXIF is not applied."""
    content = CONVERTED[case]
    answer = client.post("/predictions/net", content=content, headers={"content-type": "image/png"})
    pixels = np.asarray(Pillow.open(io.BytesIO(content)).convert("RGB"))[None]
    assert np.allclose(_shares([answer.raise_for_status().json()]), image_networks.answers(pixels), atol=1e-6)


WRONG = {
    "the file is damaged: its pixels cannot be read": FILES[0][:-60],
    "the value is not a PNG or JPEG file": b"GIF89a" + FILES[0],
    f"expected {WIDTH} x {HEIGHT} pixels; it has {HEIGHT} x {WIDTH}": image_networks.file(IMAGES[0].swapaxes(0, 1)),
}


@pytest.mark.parametrize("reason", WRONG)
def test_a_wrong_file_is_named(reason: str, client: httpx.Client) -> None:
    rows = [{"photo": base64.b64encode(content).decode()} for content in (FILES[0], WRONG[reason])]
    answer = client.post("/predict", json={"rows": rows})
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["row"], error["field"], error["code"]) == (422, 1, "photo", "invalid_image")
    assert reason in error["message"]
