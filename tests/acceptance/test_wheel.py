"""The wheel in an empty environment and an empty folder: every command runs, and no checkout is needed."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from model_deployer.system.server_ready import free_ports, wait_until_ready
from tests.acceptance.customers import SMALL
from tests.support.processes import ROOT

pytestmark = [pytest.mark.wheel, pytest.mark.timeout(1200)]

#: What would lead a program to this checkout, to its environment or to its model store.
OURS = ("PYTHON", "VIRTUAL_ENV", "BENTOML", "DEPLOYER", "PYTEST")

#: `deployer` with a short measurement, few requests of schemathesis, and the clients that need no compiler.
QUICK = """
from model_deployer.cli.main import main
from model_deployer.handoff import specification
from model_deployer.handoff.clients import clients
from model_deployer.handoff.clients.languages import CURL, PYTHON
from model_deployer.handoff.measurement import server_measurement
server_measurement.SECONDS, specification.EXAMPLES, clients.LANGUAGES = 0.3, 5, (PYTHON, CURL)
main()
"""


class Installed:
    """The wheel, installed alone in an environment; its programs run in a folder that holds a table."""

    def __init__(self, folder: Path, table: Path) -> None:
        self.bin = folder / "environment" / "bin"
        self.folder = folder / "work"
        self.folder.mkdir()
        (self.folder / "customers.csv").write_bytes(table.read_bytes())
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        self.environment = kept | {"BENTOML_HOME": str(folder / "home"), "BENTOML_DO_NOT_TRACK": "1"}

    def deployer(self, *arguments: str) -> str:
        return self._run(str(self.bin / "deployer"), *arguments)

    def quick_deployer(self, *arguments: str) -> str:
        """Run `deployer` with fewer requests of the verification, which another test makes in full."""
        return self._run(str(self.bin / "python"), "-c", QUICK, *arguments)

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=900, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def serve(self, *arguments: str) -> Iterator[str]:
        (port,) = free_ports(1)
        command = [str(self.bin / "deployer"), "serve", *arguments, "--port", str(port)]
        with subprocess.Popen(command, cwd=self.folder, env=self.environment) as process:
            try:
                url = f"http://127.0.0.1:{port}"
                assert wait_until_ready(url, lambda: process.poll() is not None) is None
                yield url
            finally:
                process.terminate()
        assert process.returncode == 0


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, table: Path) -> Installed:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT], check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", folder / "environment"], check=True)
    pinned = [word for name in ("lock", "torch-cpu") for word in ("-c", ROOT / "requirements" / f"{name}.txt")]
    pip = [folder / "environment/bin/pip", "install", "--quiet", "--no-compile", *pinned, f"{wheel}[all]"]
    subprocess.run(pip, check=True)
    wheel_environment = Installed(folder, table)
    wheel_environment.deployer("init", "customers.csv", "--target", "churn")
    with (wheel_environment.folder / "model.yaml").open("a") as spec:
        spec.write(SMALL)
    wheel_environment.deployer("train")
    return wheel_environment


def test_the_environment_holds_one_package_of_ours(installed: Installed) -> None:
    (packages,) = installed.bin.parent.glob("lib/python*/site-packages")
    assert (packages / "model_deployer" / "training" / "run.py").is_file()
    assert not any((packages / name).exists() for name in ("training", "tests", "service.py", "serving", "contract"))
    assert (packages / "model_deployer" / "py.typed").is_file()


def test_a_model_is_trained_and_shown(installed: Installed) -> None:
    assert json.loads(installed.deployer("list", "--json"))[0]["version"] == "1.0.0"
    assert "customers:1.0.0" in installed.deployer("show")


def test_a_file_is_predicted(installed: Installed) -> None:
    printed = installed.deployer("predict", "customers", "customers.csv", "-o", "answers.csv", "--keep", "age")
    assert printed.startswith("answers.csv: 400 rows answered by customers:1.0.0, 0 refused")
    script = "import model_deployer as md; m = md.load(); print(m.predict(md.read('customers.csv').frame).height)"
    command = [str(installed.bin / "python"), "-c", script]
    done = subprocess.run(
        command, cwd=installed.folder, env=installed.environment, stdout=subprocess.PIPE, text=True, check=True
    )
    assert done.stdout.split()[-1] == "400"


def test_it_is_served(installed: Installed) -> None:
    row = json.loads(installed.deployer("show", "--json"))["contract"]["features"]
    example = {feature["name"]: feature["example"] for feature in row}
    with installed.serve("customers") as url:
        answer = httpx.post(f"{url}/predict", json={"rows": [example]}).raise_for_status().json()
    assert answer["model"] == {"name": "customers", "version": "1.0.0"}


def test_settings_of_the_folder_hold(installed: Installed) -> None:
    settings = installed.folder / "configuration.yaml"
    (packaged,) = installed.bin.parent.glob("lib/python*/site-packages/model_deployer/bundle/configuration.yaml")
    values = yaml.safe_load(packaged.read_text())
    settings.write_text(yaml.safe_dump(values | {"serving": {"protocols": ["vertex"]}}))
    try:
        assert "every key is known" in installed.deployer("check")
        with installed.serve() as url:
            paths = httpx.get(f"{url}/docs.json").json()["paths"]
        assert not [path for path in paths if path.startswith(("/v1", "/v2"))]
    finally:
        settings.unlink()


def test_a_bento_is_built_and_served_by_bentoml(installed: Installed) -> None:
    bento = installed.deployer("build", "customers").split()[0]
    (port,) = free_ports(1)
    command = [str(installed.bin / "bentoml"), "serve", bento, "--port", str(port)]
    with subprocess.Popen(command, cwd=installed.folder, env=installed.environment) as process:
        try:
            assert wait_until_ready(f"http://127.0.0.1:{port}", lambda: process.poll() is not None) is None
        finally:
            process.terminate()


def test_a_package_is_written_verified_and_deployed(installed: Installed) -> None:
    installed.quick_deployer("handoff", "--no-verify", "-o", "package")
    installed.quick_deployer("verify", "package")
    installed.deployer("deploy", "compose", "package", "-o", "deploy")
    assert (installed.folder / "deploy" / "compose.yaml").is_file()
    assert json.loads((installed.folder / "package" / "VERIFICATION.json").read_text())["passed"]
