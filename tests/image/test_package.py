"""The image of a package, as `deployer verify --container` builds and runs it."""

from pathlib import Path

import httpx
import pytest

from model_deployer.contract import store
from model_deployer.contract.errors import CheckFailed
from model_deployer.handoff.requirements import write_dockerfile
from model_deployer.image.bento import write_bento
from model_deployer.image.container import container
from tests.image.podman import Podman
from tests.support import tiny

pytestmark = pytest.mark.image


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    write_bento(store.load(tiny.save(tmp_path_factory.mktemp("files") / "files", "packaged")), folder / "bento")
    write_dockerfile(folder)
    return folder


@pytest.fixture(autouse=True)
def settings(podman: Podman, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTAINERS_CONF", str(podman.build_settings))


def test_the_container_answers_and_is_gone_in_the_end(package: Path, base: str, podman: Podman) -> None:
    before = podman.run("ps", "--all", "--quiet")
    with container(package, base) as url:
        assert httpx.post(f"{url}/predict", json=tiny.ROW).status_code == 200
    assert podman.run("ps", "--all", "--quiet") == before


def test_an_image_that_cannot_be_built_is_said(package: Path) -> None:
    with pytest.raises(CheckFailed, match="the image cannot be built"), container(package, "scratch"):
        pass
