"""`deployer image`: build the image of a model with the Dockerfile of its Bento."""

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

#: The programs that build images, each with the options for a reproducible image with a health check and cached layers.
BACKENDS = {
    "docker": [],
    "podman": ["--format", "docker", "--timestamp", "0"],
    "buildah": ["--format", "docker", "--timestamp", "0", "--layers"],
}


def build_image(artifact: Artifact, backend: str | None = None, build_args: Sequence[str] = ()) -> str:
    """Build the image of a model and return its name, which is the model's tag.

    An existing image with this name keeps it until the new one is complete.

    Args:
        artifact: A model of the store.
        backend: One of ``BACKENDS``; None for the first one that works on this machine.
        build_args: ``KEY=VALUE`` for the Dockerfile; the comment at its top lists the keys.

    Raises:
        UsageError: If there is no such backend, or a build argument has no value.
        EnvironmentFault: If no backend works, or if it cannot build the image; the reason is on standard error.
    """
    for argument in build_args:
        if "=" not in argument:
            raise UsageError("--build-arg: expected KEY=VALUE, as in --build-arg USER=0")
    program = _select_backend(backend)
    with tempfile.TemporaryDirectory(prefix="model-deployer-") as name:
        context = Path(name) / "bento"
        with spinner("bento"):
            write_bento(artifact, context)
        command = [program, "build", *BACKENDS[program], "--tag", artifact.tag, "--file", str(context / DOCKERFILE)]
        command += [word for argument in build_args for word in ("--build-arg", argument)]
        environment = os.environ | {"SOURCE_DATE_EPOCH": "0"}
        completed = subprocess.run([*command, str(context)], env=environment, stdout=sys.stderr, check=False)
    if completed.returncode:
        raise EnvironmentFault(
            f"{program} could not build the image; the reason is printed above, and nothing was tagged; "
            "if the base image is not available, choose another one: --build-arg BASE=IMAGE"
        )
    return artifact.tag


def _select_backend(backend: str | None) -> str:
    """Return the backend if it works, or the first working one if none is named."""
    if backend is not None and backend not in BACKENDS:
        raise UsageError(f"unknown backend '{backend}'; expected one of {', '.join(BACKENDS)}")
    if program := first_working([backend] if backend else BACKENDS):
        return program
    raise EnvironmentFault(
        f"{backend} does not work on this machine: install it, and start its daemon if it has one"
        if backend
        else f"none of {', '.join(BACKENDS)} works on this machine: install one, and start its daemon if it has one"
    )


def first_working(programs: Iterable[str]) -> str | None:
    """Return the first of the programs that is installed and works on this machine; None if none does."""
    return next((program for program in programs if shutil.which(program) and _works(program)), None)


def _works(program: str) -> bool:
    return run([program, "info"]).returncode == 0
