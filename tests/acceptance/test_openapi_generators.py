"""Generators read /docs.json: what they make of it asks a server, and linters find no error.

They take long to install: `make test-clients` runs these tests.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.test_clients_of_protocols import ROWS, installed, outputs
from tests.support import tiny
from tests.support.processes import ROOT, Server
from tests.support.servers import Profile, SharedServers

pytestmark = pytest.mark.clients

CLIENTS = ROOT / "tests" / "clients"
PACKAGES = ["openapi-typescript@7.13.0", "openapi-fetch@0.17.0", "typescript@5", "@types/node@20"]
LINTERS = ["@stoplight/spectral-cli@6", "@redocly/cli@2"]


@pytest.fixture(scope="module")
def server(servers: SharedServers) -> Server:
    return servers.get(Profile())


@pytest.fixture(scope="module", params=["CONTRACT", "WITH_SETS", "OF_A_NUMBER"])
def any_document(servers: SharedServers, request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Path]:
    """The document of each kind of output."""
    running = servers.get(Profile(contract=getattr(tiny, request.param)))
    yield save(running, tmp_path_factory.mktemp("document"))


def save(server: Server, folder: Path) -> Path:
    file = folder / "docs.json"
    file.write_bytes(httpx.get(f"{server.url}/docs.json").raise_for_status().content)
    return file


def call(*command: object, cwd: Path, text: str = "") -> str:
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, input=text, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-3_000:]
    return done.stdout + done.stderr


def assert_same(server: Server, output: str) -> None:
    answer = json.loads(output)
    expected = outputs(httpx.post(f"{server.url}/predict", json={"rows": ROWS}).json()["predictions"])
    assert answer["answers"] == [expected] * len(answer["answers"])
    assert answer["refusal"] == "departure"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    requirements = ["openapi-python-client==0.29.1", "datamodel-code-generator==0.89.0"]
    return installed(tmp_path_factory.mktemp("python"), requirements)


def generate(python: Path, document: Path, folder: Path) -> None:
    config = folder / "config.yaml"
    config.write_text("post_hooks: []\n")
    output = call(
        python.parent / "openapi-python-client", "generate", "--path", document, "--output-path", "generated",
        "--meta", "none", "--config", config, cwd=folder,
    )  # fmt: skip
    # It writes no code for other media types than JSON, and says so; it must leave out nothing else.
    warnings = [line for line in output.splitlines() if line.startswith(("Unable", "Attempted", "ERROR"))]
    assert not warnings, warnings


def test_a_generated_python_client_gets_the_predictions(server: Server, python: Path, tmp_path: Path) -> None:
    generate(python, save(server, tmp_path), tmp_path)
    script = CLIENTS / "generated_python.py"
    assert_same(server, call(python, "-I", script, server.url, tmp_path, cwd=tmp_path, text=json.dumps(ROWS)))


def test_every_document_can_be_generated_from(any_document: Path, python: Path, tmp_path: Path) -> None:
    generate(python, any_document, tmp_path)
    output = call(
        python.parent / "datamodel-codegen", "--input", any_document, "--input-file-type", "openapi", "--output",
        "models.py", "--output-model-type", "pydantic_v2.BaseModel", cwd=tmp_path,
    )  # fmt: skip
    assert "numbered collisions" not in output
    program = "import json, models, sys; print(models.Row.model_validate_json(sys.stdin.read()).model_dump_json())"
    assert json.loads(call(python, "-c", program, cwd=tmp_path, text=json.dumps(tiny.ROW))).keys() == tiny.ROW.keys()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packages of npm; the tests are skipped if they cannot be installed."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("node")
    (folder / "package.json").write_text("{}")
    done = subprocess.run(
        ["npm", "install", "--silent", "--no-audit", "--no-fund", *PACKAGES, *LINTERS],
        cwd=folder, capture_output=True, text=True, timeout=580, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"the packages cannot be installed: {done.stderr[-300:]}")
    return folder


def test_generated_types_of_typescript_are_those_of_the_model(server: Server, node: Path) -> None:
    programs = node / "node_modules" / ".bin"
    call(programs / "openapi-typescript", save(server, node), "-o", "schema.ts", cwd=node)
    shutil.copy(CLIENTS / "generated_types.ts", node / "client.ts")
    options = [
        "--strict",
        "--skipLibCheck",
        "--target",
        "es2022",
        "--module",
        "commonjs",
        "--moduleResolution",
        "node10",
    ]
    call(programs / "tsc", *options, "client.ts", cwd=node)
    assert_same(server, call("node", "client.js", server.url, cwd=node, text=json.dumps(ROWS)))


def test_linters_find_no_error(any_document: Path, node: Path) -> None:
    programs = node / "node_modules" / ".bin"
    (node / ".spectral.yaml").write_text('extends: ["spectral:oas"]\n')
    call(programs / "spectral", "lint", any_document, "--fail-severity", "error", "--quiet", cwd=node)
    call(programs / "redocly", "lint", any_document, cwd=node)
