"""The image of a package's Dockerfile, built and run as the definitions in deploy/ have it run."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from model_deployer.contract.errors import CheckFailed, EnvironmentFault
from model_deployer.image.image import BACKENDS, first_working
from model_deployer.system.command import last_line, run
from model_deployer.system.server_ready import free_ports, wait_until_ready

#: No privileges, no files that it can change but those of /tmp, and no more memory and processes than a server needs.
HARDENED = (
    "--read-only",
    "--tmpfs=/tmp",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
    "--memory=1g",
    "--pids-limit=200",
)


@contextmanager
def container(package: Path, base: str) -> Iterator[str]:
    """The URL of a container of the package's image that is ready; container and image are removed in the end.

    Args:
        package: Its folder.
        base: The image that it is built on.

    Raises:
        EnvironmentFault: Neither docker nor podman works here.
        CheckFailed: The image cannot be built, or its container does not get ready.
    """
    engine = first_working(("docker", "podman"))
    if engine is None:
        raise EnvironmentFault("neither docker nor podman works here: install one, and start its daemon if it has one")
    build = [engine, "build", *BACKENDS[engine], "--quiet", "--build-arg", f"BASE={base}", str(package)]
    image = _done(build, "the image cannot be built").split()[-1]
    try:
        with _running(engine, image) as url:
            yield url
    finally:
        run([engine, "rmi", "--force", image])


@contextmanager
def _running(engine: str, image: str) -> Iterator[str]:
    (port,) = free_ports(1)
    command = [engine, "run", "--detach", *HARDENED, f"--publish=127.0.0.1:{port}:{port}", f"--env=PORT={port}", image]
    name = _done(command, "the image cannot be run").split()[-1]
    try:
        url = f"http://127.0.0.1:{port}"
        if fault := wait_until_ready(url):
            raise CheckFailed(fault)
        yield url
    finally:
        run([engine, "rm", "--force", name])


def _done(command: Sequence[str], fault: str) -> str:
    """What a command prints that has to succeed."""
    completed = run(command)
    if completed.returncode:
        raise CheckFailed(f"{fault}: {last_line(completed)}")
    return completed.stdout
