"""The three ways to the service: HTTP, another service of the deployment, and a call in the same process.

All of them give the same answers.
"""

import json
import math
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from tests.support import tiny
from tests.support.processes import ROOT, Server, serve

FRONT = """
import json
import bentoml
from bentoml.exceptions import BentoMLException
from service import ModelService

@bentoml.service
class Front:
    model = bentoml.depends(ModelService)

    @bentoml.api
    async def ask(self, rows: list) -> dict:
        try:
            return await self.model.to_async.predict(rows=rows)
        except BentoMLException as error:
            (entry,) = json.loads(str(error))
            return json.loads(entry["error"])
"""

IN_PROCESS = """
import asyncio, json, sys
from bentoml.exceptions import BentoMLException
from service import ModelService

async def ask(service, rows):
    try:
        return await service.predict(rows=rows)
    except BentoMLException as error:
        return json.loads(str(error)) | {"error_code": int(error.error_code)}

service = ModelService()
print(json.dumps([asyncio.run(ask(service, rows)) for rows in json.load(sys.stdin)]))
"""

PICKLED = """
import sys
from starlette.testclient import TestClient
from service import ModelService

with TestClient(ModelService.to_asgi()) as client:
    media_type = {"content-type": "application/vnd.bentoml+pickle"}
    print(client.post("/predict", content=sys.stdin.buffer.read(), headers=media_type).status_code)
"""

CASES: list[list[dict[str, Any]]] = [
    [tiny.ROW],
    [tiny.ROW | {"origin": "EWR"}, {key: tiny.ROW[key] for key in ("distance", "seats", "origin", "departure")}],
    [],
    [tiny.ROW | {"distance": "far", "stranger": 1}, {}],
    [tiny.ROW | {"temp": math.nan}],
    [tiny.ROW] * 101,
]


class Touch:
    """A pickle that creates a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


def run_python(script: str, home: Path, stdin: bytes) -> str:
    """Run a script at the root of the repository and return the last line that it prints."""
    environment = os.environ | {"BENTOML_HOME": str(home)}
    completed = subprocess.run(
        [sys.executable, "-c", script], input=stdin, env=environment, cwd=ROOT, capture_output=True, check=True
    )
    return completed.stdout.decode().splitlines()[-1]


def over_http(server: Server) -> Iterator[dict[str, Any]]:
    for rows in CASES:
        body = json.dumps({"rows": rows}).encode()
        answer = httpx.post(f"{server.url}/predict", content=body, headers={"content-type": "application/json"})
        yield without_id(answer.json())


def without_id(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer without its request id, which differs between requests."""
    return {key: value for key, value in answer.items() if key != "request_id"}


def check_captured(store: Path, answers: list[dict[str, Any]]) -> None:
    """Check that a traffic store has the rows of all answers, and all refusals."""
    rows = pl.read_parquet(store / "traffic")
    assert set(rows["protocol"]) == {"python"}
    assert len(rows) == sum(len(answer.get("predictions", ())) for answer in answers) == 3
    refusals = pl.read_parquet(store / "refusals")
    assert sorted(refusals["code"]) == sorted(answer["code"] for answer in answers if "code" in answer)


def test_a_call_in_the_same_process_answers_as_http_does(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPLOYER_CAPTURE", str(tmp_path / "store"))
    monkeypatch.setenv("DEPLOYER_CAPTURE_SHARE", "1")
    home = tiny.home(tmp_path / "home", "1.0.0")
    answers = json.loads(run_python(IN_PROCESS, home, json.dumps(CASES).encode()))
    check_captured(tmp_path / "store", answers)
    assert [answer.pop("error_code", None) for answer in answers] == [answer.get("status") for answer in answers]
    assert [without_id(answer) for answer in answers] == list(over_http(server))


def test_another_service_gets_the_answers_that_http_gets(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tiny.home(tmp_path / "home", "1.0.0")
    (tmp_path / "front.py").write_text(FRONT)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    variables = {"DEPLOYER_CAPTURE": str(tmp_path / "store"), "DEPLOYER_CAPTURE_SHARE": "1"}
    with serve(["front:Front"], home, tmp_path / "log", cwd=tmp_path, variables=variables) as front:
        answers = [httpx.post(f"{front.url}/ask", content=json.dumps({"rows": rows})).json() for rows in CASES]
    assert [without_id(answer) for answer in answers] == list(over_http(server))
    check_captured(tmp_path / "store", answers)


def test_no_pickle_is_loaded_whoever_sends_it(server: Server, tmp_path: Path) -> None:
    touched_file = tmp_path / "loaded"
    content = pickle.dumps(Touch(touched_file))
    media_type = "application/vnd.bentoml+pickle"
    answer = httpx.post(f"{server.url}/predict", content=content, headers={"content-type": media_type})
    assert (answer.status_code, answer.headers["content-type"]) == (415, "application/problem+json")
    assert run_python(PICKLED, tiny.home(tmp_path / "home", "1.0.0"), content) == "415"
    assert not touched_file.exists()
