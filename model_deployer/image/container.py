"""Build the image of a package's Dockerfile, and run it with the restrictions of the definitions in deploy/."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from model_deployer.contract.errors import CheckFailed, EnvironmentFault
from model_deployer.image.image import BACKENDS, first_working
from model_deployer.system.command import last_line, run
from model_deployer.system.server_ready import free_ports, wait_until_ready

#: Options of a container without privileges, with a read-only file system except /tmp, and with limits of memory and
#: processes.
_HARDENING_OPTIONS = (
    "--read-only",
    "--tmpfs=/tmp",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
    "--memory=1g",
    "--pids-limit=200",
)


@contextmanager
def container(package: Path, base: str) -> Iterator[str]:
    """Run the package's image and yield the URL of its server once it is ready; remove container and image at the end.

    Args:
        package: The folder of the package.
        base: The image to build on.

    Raises:
        EnvironmentFault: If neither docker nor podman works on this machine.
        CheckFailed: If the image cannot be built, or the server in its container does not become ready.
    """
    engine = first_working(("docker", "podman"))
    if engine is None:
        raise EnvironmentFault(
            "neither docker nor podman works on this machine: install one, and start its daemon if it has one"
        )
    build = [engine, "build", *BACKENDS[engine], "--quiet", "--build-arg", f"BASE={base}", str(package)]
    image = _output(build, "the image cannot be built").split()[-1]
    try:
        with _running(engine, image) as url:
            yield url
    finally:
        run([engine, "rmi", "--force", image])


@contextmanager
def _running(engine: str, image: str) -> Iterator[str]:
    (port,) = free_ports(1)
    options = [*_HARDENING_OPTIONS, f"--publish=127.0.0.1:{port}:{port}", f"--env=PORT={port}"]
    name = _output([engine, "run", "--detach", *options, image], "the image cannot be run").split()[-1]
    try:
        url = f"http://127.0.0.1:{port}"
        if fault := wait_until_ready(url):
            raise CheckFailed(fault)
        yield url
    finally:
        run([engine, "rm", "--force", name])


def _output(command: Sequence[str], problem: str) -> str:
    """Return the output of a command that must succeed."""
    completed = run(command)
    if completed.returncode:
        raise CheckFailed(f"{problem}: {last_line(completed)}")
    return completed.stdout
