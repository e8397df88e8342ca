"""The credentials of registries, as `docker login` and `podman login` store them."""

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from model_deployer.contract.errors import EnvironmentFault

#: How long a credential helper may take.
_HELPER_SECONDS = 30

#: The user name of credential helpers whose secret is a token for the token server of the registry.
_IDENTITY_TOKEN = "<token>"


class Credentials(NamedTuple):
    """A user and a password for a registry."""

    user: str
    password: str


def credentials(registry: str) -> Credentials | None:
    """Return the credentials of a registry; None if there are none.

    They come from the files of podman and docker: ``REGISTRY_AUTH_FILE``, ``$XDG_RUNTIME_DIR/containers/auth.json``,
    ``$DOCKER_CONFIG/config.json`` and ``~/.docker/config.json``, or from a credential helper that such a file names.

    Args:
        registry: The host of the registry, with a port if it has one.

    Raises:
        EnvironmentFault: if such a file cannot be read, or a credential helper fails.
    """
    for file in filter(Path.is_file, _files()):
        config = _read(file)
        helper = config.get("credHelpers", {}).get(registry) or config.get("credsStore")
        if helper and (answer := _ask(helper, registry)):
            return answer
        for key in (registry, f"https://{registry}", f"https://{registry}/v1/"):
            if encoded := config.get("auths", {}).get(key, {}).get("auth"):
                return _decode(encoded, file)
    return None


def _files() -> Iterator[Path]:
    if file := os.environ.get("REGISTRY_AUTH_FILE"):
        yield Path(file)
    if folder := os.environ.get("XDG_RUNTIME_DIR"):
        yield Path(folder) / "containers" / "auth.json"
    yield Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict):
        raise EnvironmentFault(f"{file}: expected the JSON of `docker login`; log in again")
    return content


def _decode(encoded: str, file: Path) -> Credentials:
    try:
        user, colon, password = base64.b64decode(encoded).decode().partition(":")
    except ValueError:
        colon = ""
    if not colon:
        raise EnvironmentFault(f"{file}: the credentials of the registry cannot be read; log in again")
    return Credentials(user, password)


def _ask(helper: str, registry: str) -> Credentials | None:
    """Return the credentials that a program has: https://github.com/docker/docker-credential-helpers."""
    program = f"docker-credential-{helper}"
    try:
        completed = subprocess.run(
            [program, "get"], input=registry.encode(), capture_output=True, timeout=_HELPER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        raise EnvironmentFault(f"the program {program} cannot be run; install it, or log in without it") from None
    if completed.returncode:
        return None
    try:
        answer = json.loads(completed.stdout)
        user, secret = answer["Username"], answer["Secret"]
    except (ValueError, KeyError, TypeError):
        raise EnvironmentFault(f"the program {program} answered no credentials; log in again") from None
    if user == _IDENTITY_TOKEN:
        raise EnvironmentFault(f"{program} has an identity token for {registry}; log in with a user and a password")
    return Credentials(user, secret)
