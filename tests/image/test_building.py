"""What stands in the way of an image, and what a linter says of the Dockerfile; no engine is needed."""

from pathlib import Path

import pytest

from model_deployer.contract import store
from model_deployer.image.bento import write_bento
from tests.support import tiny
from tests.support.processes import run


@pytest.fixture
def model(home: Path, tmp_path: Path) -> str:
    """The only model of the store."""
    return tiny.save(tmp_path / "files")


@pytest.mark.parametrize(
    ("asked_for", "code", "said"),
    [
        (("no_such_model",), 2, "no model 'no_such_model' in the store"),
        (("--backend", "kaniko"), 2, "known are docker, podman, buildah"),
        (("--build-arg", "USER"), 2, "KEY=VALUE"),
        (("--backend", "buildah"), 3, "install it"),
        ((), 3, "none of docker, podman, buildah works here"),
    ],
)
def test_what_cannot_be_done_is_said_at_once(model: str, asked_for: tuple[str, ...], code: int, said: str) -> None:
    """On a machine without an engine: no program is on the path."""
    done = run("deployer", "image", *asked_for, PATH="/nowhere")
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_hadolint_has_nothing_to_say(model: str, tmp_path: Path) -> None:
    write_bento(store.load(model), tmp_path / "bento")
    done = run("hadolint", str(tmp_path / "bento/env/docker/Dockerfile"))
    assert (done.returncode, done.stdout) == (0, "")
