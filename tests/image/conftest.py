"""An image of the tiny model, built with the command that users run, on a base image that needs no registry."""

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

#: The default base image; the variable BASE names another one, for example of a registry.
DEFAULT_BASE = f"localhost/debian-python:{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture(scope="session")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Podman:
    if os.geteuid() or not (shutil.which("podman") or shutil.which("apt-get")):
        pytest.skip("these tests need root and podman, and podman can be installed with apt-get only")
    install()
    return Podman(tmp_path_factory.mktemp("podman"))


@pytest.fixture(scope="session")
def base(podman: Podman) -> str:
    if "BASE" in os.environ:
        return os.environ["BASE"]
    if subprocess.run(["podman", "image", "exists", DEFAULT_BASE], check=False).returncode:
        command = ["sh", str(Path(__file__).parent / "base.sh"), DEFAULT_BASE]
        completed = subprocess.run(command, stderr=subprocess.PIPE, check=False)
        assert completed.returncode == 0, completed.stderr
    return DEFAULT_BASE


@pytest.fixture(scope="session")
def image(podman: Podman, base: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The image that `deployer image` builds."""
    name, version = MODEL.split(":")
    tiny.save(tmp_path_factory.mktemp("imaged"), name, version)
    command = ["deployer", "image", MODEL, "--backend", "podman", "--build-arg", f"BASE={base}"]
    completed = run(*command, CONTAINERS_CONF=str(podman.build_settings))
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout == f"{MODEL}\n"
    yield f"localhost/{MODEL}"
    podman.run("rmi", "--force", f"localhost/{MODEL}")


@pytest.fixture(scope="session")
def server(podman: Podman, image: str) -> Iterator[Container]:
    """A container whose server answers on the default port."""
    with podman.container(image) as container:
        container.wait_until_ready(3000)
        yield container
