"""`deployer serve` and `deployer build` in a folder that is not a checkout."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from model_deployer.contract import promotion
from model_deployer.system.server_ready import wait_until_ready
from tests.support import tiny
from tests.support.in_process import deployer, model_store
from tests.support.processes import BIN, ROOT, free_port, run


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a BentoML home with two versions of the tiny model."""
    return tiny.home(tmp_path_factory.mktemp("home"), "1.0.0", "1.1.0")


@contextmanager
def served(folder: Path, store: Path, *arguments: str) -> Iterator[str]:
    """Run `deployer serve` with these arguments in ``folder``, and yield its URL; it exits with 0 after SIGTERM."""
    port = free_port()
    command = [str(BIN / "deployer"), "serve", *arguments, "--port", str(port)]
    with subprocess.Popen(command, cwd=folder, env=os.environ | {"BENTOML_HOME": str(store)}) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            assert wait_until_ready(url, lambda: process.poll() is not None) is None
            yield url
        finally:
            process.terminate()
    assert process.returncode == 0


def test_serve_takes_a_version_and_the_settings_of_the_folder(tmp_path: Path, store: Path) -> None:
    """`deployer serve` serves the version that is named, with the configuration.yaml of the current folder."""
    settings = yaml.safe_load((ROOT / "configuration.yaml").read_text())
    settings["serving"] |= {"protocols": ["vertex"], "api_key_file": "keys.txt"}
    (tmp_path / "configuration.yaml").write_text(yaml.safe_dump(settings))
    (tmp_path / "keys.txt").write_text("0123456789abcdef\n")
    with served(tmp_path, store, "served:1.0.0", "--host", "127.0.0.1", "--timeout-graceful-shutdown", "20") as url:
        assert httpx.get(f"{url}/model").status_code == 401
        key = {"X-API-Key": "0123456789abcdef"}
        assert httpx.get(f"{url}/model", headers=key).json()["version"] == "1.0.0"
        assert "/v2" not in httpx.get(f"{url}/docs.json", headers=key).json()["paths"]


def test_serve_passes_an_alias_on(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server follows the alias itself; one that does not exist is refused before."""
    commands: list[list[str]] = []
    monkeypatch.setattr(os, "execve", lambda program, command, environment: commands.append(command))
    with model_store(store):
        promotion.promote("served:1.0.0", "canary")
    assert deployer("serve", "served@canary", cwd=tmp_path, home=store).returncode == 0
    assert "model=served@canary" in commands[0]
    refused = deployer("serve", "served@champion", cwd=tmp_path, home=store)
    assert "'served' has no alias 'champion'; it has the aliases canary (1.0.0)" in refused.stderr
    assert len(commands) == 1


def test_serve_defaults_to_the_highest_version(tmp_path: Path, store: Path) -> None:
    """Without a name, `deployer serve` serves the highest version of the only model in the store."""
    with served(tmp_path, store) as url:
        assert httpx.get(f"{url}/model").json()["version"] == "1.1.0"
        assert "/v2" in httpx.get(f"{url}/docs.json").json()["paths"]


def test_serve_takes_a_folder_whose_files_are_links(tmp_path: Path) -> None:
    """A volume of Kubernetes has links to its files, and the store may be empty."""
    tiny.write(tmp_path / "..data", "mounted", "2.0.0")
    (tmp_path / "model").mkdir()
    for file in (tmp_path / "..data").iterdir():
        (tmp_path / "model" / file.name).symlink_to(file)
    with served(tmp_path, tmp_path / "home", "--folder", "model") as url:
        assert httpx.get(f"{url}/model").json()["version"] == "2.0.0"
        answer = httpx.post(f"{url}/predict", json={"rows": [tiny.ROW]}).json()
    assert answer["model"] == {"name": "mounted", "version": "2.0.0"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["served", "--folder", "model"], "error: name a model of the store, or --folder, and not both"),
        (["other"], "error: the store does not hold a model 'other'; it holds served"),
        (["--configuration", "absent.yaml"], "error: absent.yaml: no such file"),
    ],
)
def test_serve_says_what_is_wrong_before_a_server_starts(
    tmp_path: Path, store: Path, arguments: list[str], message: str
) -> None:
    completed = run("deployer", "serve", *arguments, cwd=tmp_path, BENTOML_HOME=str(store))
    assert completed.returncode == 2
    assert completed.stderr.startswith(message)


def test_a_variable_that_names_no_settings_ends_the_start(tmp_path: Path, store: Path) -> None:
    completed = run("bentoml", "serve", BENTOML_HOME=str(store), DEPLOYER_CONFIGURATION=str(tmp_path / "absent.yaml"))
    assert completed.returncode == 1
    assert "DEPLOYER_CONFIGURATION: there is no file" in completed.stderr


def test_build_makes_a_bento_that_pins_the_model(tmp_path: Path, store: Path) -> None:
    built = run("deployer", "build", "served:1.0.0", "--version", "7", cwd=tmp_path, BENTOML_HOME=str(store))
    assert built.stdout.startswith("model_service:7 is in the Bento store."), built.stderr
    description = yaml.safe_load((store / "bentos" / "model_service" / "7" / "bento.yaml").read_text())
    assert [model["tag"] for service in description["services"] for model in service["models"]] == ["served:1.0.0"]
    assert (store / "bentos" / "model_service" / "7" / "src" / "model_deployer" / "serving" / "predictor.py").is_file()
    assert not (store / "bentos" / "model_service" / "7" / "src" / "model_deployer" / "training").exists()
