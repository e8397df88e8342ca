"""An image of the tiny model, built as users build theirs, on a base image that needs no registry."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.podman import MODEL, Container, Podman, install
from tests.support import tiny
from tests.support.processes import run

#: The image below the one that is built; BASE names another one, where there is a registry.
STAND_IN = f"localhost/debian-python:{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture(scope="session")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Podman:
    if os.geteuid() or not (shutil.which("podman") or shutil.which("apt-get")):
        pytest.skip("images are built and run by podman, as root: it is not here, and cannot be installed with apt-get")
    install()
    return Podman(tmp_path_factory.mktemp("podman"))


@pytest.fixture(scope="session")
def base(podman: Podman) -> str:
    if "BASE" in os.environ:
        return os.environ["BASE"]
    if subprocess.run(["podman", "image", "exists", STAND_IN], check=False).returncode:
        done = subprocess.run(["sh", Path(__file__).parent / "base.sh", STAND_IN], stderr=subprocess.PIPE, check=False)
        assert done.returncode == 0, done.stderr
    return STAND_IN


@pytest.fixture(scope="session")
def image(podman: Podman, base: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Built by the command."""
    name, version = MODEL.split(":")
    tiny.save(tmp_path_factory.mktemp("imaged"), name, version)
    command = ["deployer", "image", MODEL, "--backend", "podman", "--build-arg", f"BASE={base}"]
    done = run(*command, CONTAINERS_CONF=str(podman.build_settings))
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{MODEL}\n"
    yield f"localhost/{MODEL}"
    podman.run("rmi", "--force", f"localhost/{MODEL}")


@pytest.fixture(scope="session")
def server(podman: Podman, image: str) -> Iterator[Container]:
    """A container that answers on the usual port."""
    with podman.container(image) as container:
        container.wait_until_ready(3000)
        yield container
