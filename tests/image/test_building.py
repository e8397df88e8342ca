"""Errors before an image is built, and a linter on the Dockerfile; no container engine is needed."""

import hashlib
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest

from model_deployer.contract import store
from model_deployer.image.bento import REQUIREMENTS, write_bento
from tests.support import tensor_models, tiny
from tests.support.processes import run


@pytest.fixture
def model(home: Path, tmp_path: Path) -> str:
    """The only model of the store."""
    return tiny.save(tmp_path / "files")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("no_such_model",), 2, "the store does not hold a model 'no_such_model'"),
        (("--backend", "kaniko"), 2, "expected one of docker, podman, buildah"),
        (("--build-arg", "USER"), 2, "KEY=VALUE"),
        (("--backend", "buildah"), 3, "install it"),
        ((), 3, "none of docker, podman, buildah works on this machine"),
    ],
)
def test_what_cannot_be_done_is_said_at_once(model: str, arguments: tuple[str, ...], code: int, message: str) -> None:
    """On a machine without an engine: no program is on the path."""
    completed = run("deployer", "image", *arguments, PATH="/nowhere")
    assert completed.returncode == code
    assert message in completed.stderr
    assert "Traceback" not in completed.stderr


def test_bentoml_builds_the_same_files(home: Path, model: str, tmp_path: Path) -> None:
    """`bentoml build` in the checkout includes the files that `deployer build` includes, and no others."""
    write_bento(store.load(model), tmp_path / "bento")
    completed = run("bentoml", "build", "--output", "tag", "--arg", f"model={model}")
    name, version = completed.stdout.strip().splitlines()[-1].removeprefix("__tag__:").split(":")
    built = home / "bentos" / name / version
    assert (built / "src/model_deployer/serving/page/index.html").is_file()
    for part in ("src", "env"):
        assert _checksums(built / part) == _checksums(tmp_path / "bento" / part)


def _checksums(folder: Path) -> dict[Path, str]:
    """The checksum of each file below the folder, without bytecode."""
    files = (file for file in folder.rglob("*") if file.is_file() and file.suffix != ".pyc")
    return {file.relative_to(folder): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_hadolint_has_nothing_to_say(model: str, tmp_path: Path) -> None:
    write_bento(store.load(model), tmp_path / "bento")
    completed = run("hadolint", str(tmp_path / "bento/env/docker/Dockerfile"))
    assert (completed.returncode, completed.stdout) == (0, "")


def test_a_bento_of_a_model_with_images_contains_pillow(home: Path, model: str, tmp_path: Path) -> None:
    store.save(tmp_path / "images", tensor_models.write_images(tmp_path / "images"))
    try:
        for tag, has_pillow in (("served:1.0.0", True), (model, False)):
            write_bento(store.load(tag), tmp_path / f"bento-{has_pillow}")
            packages = (tmp_path / f"bento-{has_pillow}" / REQUIREMENTS).read_text()
            assert (f"pillow=={version('pillow')}" in packages) == has_pillow
    finally:  # the shared servers store a model of the same name
        shutil.rmtree(home / "models" / "served")
