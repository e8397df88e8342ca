"""The programs of docs/how-to/in-your-own-application.md run, and answer as the service does."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import tiny
from tests.support.processes import ROOT, Server, free_port, until

DOCUMENT = ROOT / "docs/how-to/in-your-own-application.md"

#: Rows that are answered, and rows that are refused.
GOOD = [tiny.ROW, {name: value for name, value in tiny.ROW.items() if name != "temp"}]
BAD = [tiny.ROW | {"distance": "far", "stranger": 1}]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the programs, for the model of the tests."""
    folder = tmp_path_factory.mktemp("programs")
    blocks = re.findall(r'```python title="(\w+\.py)"\n(.*?)```', DOCUMENT.read_text(), re.DOTALL)
    assert len(blocks) == 4
    for name, code in blocks:
        (folder / name).write_text(code.replace('"churn"', '"served"'))
    return folder


@pytest.fixture(scope="module")
def environment(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tiny.home(tmp_path_factory.mktemp("home"), "1.0.0")
    return os.environ | {"BENTOML_HOME": str(home), "PYTHONPATH": f"{ROOT}:{programs}"}


@contextmanager
def running(command: Sequence[str], environment: dict[str, str], url: str, log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", *command], env=environment, stdout=output, stderr=output)
    try:
        until(lambda: _answers(url) or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield
    finally:
        process.terminate()
        process.wait(30)


def _answers(url: str) -> bool:
    try:
        httpx.get(url)
    except httpx.TransportError:
        return False
    return True


def asked(url: str, rows: Sequence[Any]) -> dict[str, Any]:
    answer: dict[str, Any] = httpx.post(f"{url}/predict", json={"rows": rows}).json()
    answer.pop("request_id", None)
    return answer


def test_the_model_is_mounted_in_fastapi(
    programs: Path, environment: dict[str, str], server: Server, tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    command = ["uvicorn", "fastapi_shop:app", "--port", url.rpartition(":")[2]]
    with running(command, environment, f"{url}/hello", tmp_path / "log"):
        mounted = f"{url}/churn"
        for rows in (GOOD, BAD):
            assert asked(mounted, rows) == asked(server.url, rows)
        assert httpx.get(f"{mounted}/readyz").text == "ready\n"
        assert httpx.get(f"{mounted}/docs.json").json()["paths"] == httpx.get(f"{server.url}/docs.json").json()["paths"]
        assert 'model_info{name="served",version="1.0.0"}' in httpx.get(f"{mounted}/metrics").text
        assert "<title>" in httpx.get(f"{mounted}/").text
        assert httpx.get(f"{mounted}/v2").json()["version"] == "1.0.0"
        assert httpx.get(f"{mounted}/missing").json()["code"] == "not_found"
        assert httpx.get(f"{url}/hello").json() == {"hello": "shop"}


def test_the_model_is_called_in_flask(
    programs: Path, environment: dict[str, str], server: Server, tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    command = ["flask", "--app", "flask_shop", "run", "--port", url.rpartition(":")[2]]
    with running(command, environment, url, tmp_path / "log"):
        good, (bad,) = (httpx.post(f"{url}/score", json={"rows": rows}).json() for rows in (GOOD, BAD))
    assert good == asked(server.url, GOOD)["predictions"]
    expected = asked(server.url, BAD)["errors"]
    assert [problem["code"] for problem in bad["error"]] == [problem["code"] for problem in expected]


def test_plain_python_asks_a_server(programs: Path, server: Server) -> None:
    code = f"import json, plain_client; print(json.dumps(plain_client.score({GOOD!r}, {server.url!r})))"
    completed = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=programs, capture_output=True, text=True, check=True
    )
    assert json.loads(completed.stdout) == asked(server.url, GOOD)["predictions"]


def test_a_service_of_bentoml_asks_a_server(
    programs: Path, environment: dict[str, str], server: Server, tmp_path: Path
) -> None:
    (programs / "bento_front.py").write_text(
        (programs / "bento_front.py").read_text().replace("http://localhost:3000", server.url)
    )
    url = f"http://127.0.0.1:{free_port()}"
    command = [
        "bentoml",
        "serve",
        "bento_front:Front",
        "--port",
        url.rpartition(":")[2],
        "--working-dir",
        str(programs),
    ]
    with running(command, environment, f"{url}/readyz", tmp_path / "log"):
        until(lambda: httpx.get(f"{url}/readyz").status_code == 200)
        answer = httpx.post(f"{url}/decide", json={"row": tiny.ROW})
    assert answer.status_code == 200, (tmp_path / "log").read_text()
    assert answer.text == asked(server.url, GOOD)["predictions"][0]["decision"]
