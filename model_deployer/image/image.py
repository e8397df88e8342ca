"""`deployer image`: the Bento of a model becomes an image, by the Dockerfile inside it."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.errors import EnvironmentFault, UsageError
from model_deployer.image.bento import DOCKERFILE, write_bento
from model_deployer.system.command import run
from model_deployer.system.progress import spinner

#: What builds images, and the options that have it write the same image every time, health check and layers included.
BACKENDS = {
    "docker": [],
    "podman": ["--format", "docker", "--timestamp", "0"],
    "buildah": ["--format", "docker", "--timestamp", "0", "--layers"],
}


def build_image(artifact: Artifact, backend: str | None = None, build_args: Sequence[str] = ()) -> str:
    """Build the image of a model of the store and return its name, which is the model's tag.

    An image that has this name already keeps it until the new one is complete.

    Args:
        artifact: The model.
        backend: One of ``BACKENDS``; None for the first one that works.
        build_args: ``KEY=VALUE`` for the Dockerfile, which says what there is.

    Raises:
        UsageError: There is no such backend, or a build argument has no value.
        EnvironmentFault: None works here, or it cannot build the image; the reason is on standard error.
    """
    for argument in build_args:
        if "=" not in argument:
            raise UsageError("a --build-arg has the form KEY=VALUE, as in --build-arg USER=0")
    program = _backend(backend)
    with tempfile.TemporaryDirectory(prefix="model-deployer-") as name:
        context = Path(name) / "bento"
        with spinner("bento"):
            write_bento(artifact, context)
        command = [program, "build", *BACKENDS[program], "--tag", artifact.tag, "--file", str(context / DOCKERFILE)]
        command += [word for argument in build_args for word in ("--build-arg", argument)]
        environment = os.environ | {"SOURCE_DATE_EPOCH": "0"}
        done = subprocess.run([*command, str(context)], env=environment, stdout=sys.stderr, check=False)
    if done.returncode:
        raise EnvironmentFault(
            f"{program} could not build the image, for the reason above, and no image was named; "
            "where it is the base image that cannot be had, name another one: --build-arg BASE=IMAGE"
        )
    return artifact.tag


def _backend(asked_for: str | None) -> str:
    """The one that was asked for, or the first one, that is installed and works."""
    if asked_for is not None and asked_for not in BACKENDS:
        raise UsageError(f"there is no backend '{asked_for}'; known are {', '.join(BACKENDS)}")
    if program := first_working([asked_for] if asked_for else BACKENDS):
        return program
    raise EnvironmentFault(
        f"{asked_for} does not work here: install it, and start its daemon where it has one"
        if asked_for
        else f"none of {', '.join(BACKENDS)} works here: install one, and start its daemon where it has one"
    )


def first_working(programs: Iterable[str]) -> str | None:
    """The first of some programs for images that is installed and can be used here; None where none is."""
    return next((each for each in programs if shutil.which(each) and _works(each)), None)


def _works(program: str) -> bool:
    return run([program, "info"]).returncode == 0
