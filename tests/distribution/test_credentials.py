"""Where the credentials of registries are found."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from model_deployer.contract.errors import EnvironmentFault
from model_deployer.distribution.credentials import Credentials, credentials

HOST = "r.example.com:5000"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path


def write(folder: Path, content: Any) -> None:
    (folder / "config.json").write_text(content if isinstance(content, str) else json.dumps(content))


def encoded(text: str) -> dict[str, str]:
    return {"auth": base64.b64encode(text.encode()).decode()}


def test_without_a_login_there_are_none(folder: Path) -> None:
    assert credentials(HOST) is None
    write(folder, {"auths": {"other.example.com": encoded("a:b")}})
    assert credentials(HOST) is None


@pytest.mark.parametrize("key", [HOST, f"https://{HOST}", f"https://{HOST}/v1/"])
def test_a_login_is_found(folder: Path, key: str) -> None:
    write(folder, {"auths": {key: encoded("ann:p:w")}})
    assert credentials(HOST) == Credentials("ann", "p:w")


def test_the_file_of_podman_comes_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, {"auths": {HOST: encoded("docker:1")}})
    (folder / "auth.json").write_text(json.dumps({"auths": {HOST: encoded("podman:2")}}))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(folder / "auth.json"))
    assert credentials(HOST) == Credentials("podman", "2")


@pytest.mark.parametrize("content", ["{", "[]", {"auths": {HOST: {"auth": "!"}}}, {"auths": {HOST: encoded("x")}}])
def test_a_broken_file_is_named(folder: Path, content: Any) -> None:
    write(folder, content)
    with pytest.raises(EnvironmentFault, match=r"config\.json.*log in again"):
        credentials(HOST)


@pytest.mark.slow
@pytest.mark.parametrize("config", [{"credsStore": "test"}, {"credHelpers": {HOST: "test"}}])
def test_a_credential_helper_is_asked(folder: Path, monkeypatch: pytest.MonkeyPatch, config: Any) -> None:
    helper = folder / "docker-credential-test"
    helper.write_text(f'#!/bin/sh\n[ "$(cat)" = "{HOST}" ] && echo \'{{"Username": "ann", "Secret": "pw"}}\'\n')
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    write(folder, config)
    assert credentials(HOST) == Credentials("ann", "pw")
    assert credentials("other.example.com") is None


@pytest.mark.slow
def test_a_missing_helper_is_named(folder: Path) -> None:
    write(folder, {"credsStore": "missing"})
    with pytest.raises(EnvironmentFault, match="docker-credential-missing"):
        credentials(HOST)
