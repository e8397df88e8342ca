"""Real clients of other servers, each in an environment of its own, all asking one running server.

Each is a script in tests/clients/, which reads rows and prints what its client got, and how it shows a refusal. Those
that take long to install are left to `make test-clients`.
"""

import json
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serving.protocols.served import HEALTH, PREDICT
from tests.serving.protocols.speakers import of_predictions
from tests.support import tiny
from tests.support.processes import ROOT, Server
from tests.support.servers import Profile, SharedServers

ROWS = [tiny.ROW, tiny.ROW | {"origin": "EWR", "distance": 12.25, "remark": 'a "quoted", long\nremark'}]

#: What stubs need, for environments without the dependencies of their packages.
GRPC = ("grpcio", "protobuf>=6.31.1", "typing-extensions")

CLIENTS = [
    pytest.param("torchserve_rest", ["torchserve-client==0.0.2"], id="torchserve-client"),
    pytest.param("tritonclient_http", ["tritonclient[http]==2.73.0"], id="tritonclient"),
    pytest.param(
        "mlflow_scoring", ["mlflow-skinny==3.17.2", "pandas", "scipy"], id="mlflow", marks=pytest.mark.clients
    ),
    pytest.param("sagemaker_local", ["sagemaker-core==2.27.0"], id="sagemaker-core", marks=pytest.mark.clients),
    pytest.param("kserve_rest", ["kserve==0.21.0"], id="kserve", marks=pytest.mark.clients),
    pytest.param(
        "vertex_endpoint", ["google-cloud-aiplatform[prediction]==2.7.0"], id="vertex", marks=pytest.mark.clients
    ),
    pytest.param(
        "torchserve_grpc",
        ["torchserve-client==0.0.2", "requests", *GRPC],
        id="torchserve-client-grpc",
        marks=pytest.mark.clients,
    ),
    pytest.param(
        "tensorflow_serving_grpc",
        # tensorflow-serving-api requires all of TensorFlow, for its messages; tensorflow-protobuf has them alone.
        ["tensorflow-serving-api==2.21.0", "tensorflow-protobuf==2.11.0", *GRPC, "numpy", "--no-deps"],
        id="tensorflow-serving",
        marks=pytest.mark.clients,
    ),
]


@pytest.fixture(scope="module")
def server(servers: SharedServers) -> Iterator[Server]:
    """It and its clients know the paths that Vertex AI would name."""
    named = {"AIP_HEALTH_ROUTE": HEALTH, "AIP_PREDICT_ROUTE": PREDICT}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in named.items():
            patch.setenv(name, value)
        yield servers.get(Profile(variables=tuple(named.items()), speaks_grpc=True))


@pytest.mark.parametrize(("script", "requirements"), CLIENTS)
def test_a_client_gets_the_predictions_and_shows_what_is_wrong(
    server: Server, tmp_path: Path, script: str, requirements: list[str]
) -> None:
    command = [
        str(installed(tmp_path, requirements)),
        "-I",
        str(ROOT / "tests" / "clients" / f"{script}.py"),
        server.url,
        str(server.grpc_port),
    ]
    done = subprocess.run(command, input=json.dumps(ROWS), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    output = json.loads(done.stdout)
    expected = outputs(httpx.post(f"{server.url}/predict", json={"rows": ROWS}).json()["predictions"])
    assert [outputs(answer) for answer in output["answers"]] == [expected] * len(output["answers"])
    assert "departure" in output["refusal"]


def installed(folder: Path, requirements: list[str]) -> Path:
    """The interpreter of a new environment with these packages; the test is skipped where they cannot be had."""
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--quiet",
        "--no-compile",
        *requirements,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    if done.returncode:
        pytest.skip(f"{requirements[0]} cannot be installed: {done.stderr.strip().splitlines()[-1]}")
    return python


def outputs(answer: Any) -> Any:
    """By name, be they tensors already or the service's own predictions."""
    return of_predictions(answer, tiny.CONTRACT) if isinstance(answer, list) else answer
