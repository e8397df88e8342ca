"""A model as an ASGI application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.applications import Starlette
from starlette.routing import Mount

import model_deployer as md
from tests.support import tiny


@pytest.fixture
def tag(home: Path, tmp_path: Path) -> str:
    return tiny.save(tmp_path / "files")


def client(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://tests")


async def test_it_starts_at_the_first_request(tag: str) -> None:
    application = md.application(tag)
    async with client(application) as asking:
        answer = await asking.post("/predict", json={"rows": [tiny.ROW]})
        assert answer.json()["model"] == {"name": "tiny", "version": "1.0.0"}
        assert (await asking.get("/readyz")).text == "ready\n"
        assert (await asking.get("/healthz")).text == "alive\n"
        assert (await asking.get("/schema.json")).status_code == 404
    await application.__aexit__()


async def test_two_models_are_mounted_next_to_each_other(tag: str, tmp_path: Path) -> None:
    other = tiny.save(tmp_path / "other", "other", opposite=True)
    applications = {"/a": md.application(tag), "/b/c": md.application(other)}

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with applications["/a"], applications["/b/c"]:
            yield

    app = Starlette(routes=[Mount(path, each) for path, each in applications.items()], lifespan=lifespan)
    async with lifespan(app), client(app) as asking:
        body = {"rows": [tiny.ROW]}
        answers = {path: (await asking.post(f"{path}/predict", json=body)).json() for path in applications}
        names = [answer["model"]["name"] for answer in answers.values()]
        decisions = [answer["predictions"][0]["decision"] for answer in answers.values()]
        metrics = (await asking.get("/b/c/metrics")).text
    assert names == ["tiny", "other"]
    assert decisions[0] != decisions[1]
    assert 'model_info{name="other",version="1.0.0"}' in metrics
    assert "tiny" not in metrics


async def test_what_is_captured_is_written_at_the_end(tag: str, tmp_path: Path) -> None:
    application = md.application(tag, capture=str(tmp_path / "traffic"), capture_share=1)
    async with application, client(application) as asking:
        await asking.post("/predict", json={"rows": [tiny.ROW]})
    assert list((tmp_path / "traffic" / "traffic").rglob("*.parquet"))


async def test_keys_are_wanted(tag: str, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("shop: a-key-of-some-length\n")
    async with md.application(tag, api_key_file=tmp_path / "keys") as application, client(application) as asking:
        body = {"rows": [tiny.ROW]}
        assert (await asking.post("/predict", json=body)).status_code == 401
        headers = {"X-API-Key": "a-key-of-some-length"}
        assert (await asking.post("/predict", json=body, headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"grpc_port": 3001}, "grpc_port: an application that is mounted has none"),
        ({"shadow": "tiny:1.0.0"}, "shadow: an application that is mounted has none"),
        ({"engine": "cuda"}, "engine: an application that is mounted has none"),
        ({"model_folder": "/mnt/models"}, "model_folder: an application that is mounted has none"),
        ({"captrue": "x"}, "captrue: extra inputs are not permitted"),
        ({"threads": -1}, "threads"),
    ],
)
def test_settings_that_it_cannot_follow_are_refused(tag: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(md.DeployerError, match=message):
        md.application(tag, **settings)


def test_a_model_without_the_wanted_signature_is_refused(tag: str, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    (tmp_path / "key.pub").write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(md.DeployerError, match="is not signed"):
        md.application(tag, public_key_file=tmp_path / "key.pub")


async def test_lifespan_of_a_server_starts_and_ends_it(tag: str) -> None:
    application = md.application(tag)
    sent: list[str] = []
    messages = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> dict[str, Any]:
        return {"type": next(messages)}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await application({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
