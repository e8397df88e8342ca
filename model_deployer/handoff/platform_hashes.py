"""The hashes of the packages of a server on platforms other than this one, as pip finds them in its index."""

import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from model_deployer.handoff.requirements import RUNTIME, HashedPlatform
from model_deployer.handoff.sandbox.environment import CleanEnvironment, read_hashes

#: The tags of the wheels of each platform; pip takes a wheel that has one of them.
PLATFORMS: Mapping[str, Sequence[str]] = {
    "Linux x86_64": ["manylinux2014_x86_64", *(f"manylinux_2_{minor}_x86_64" for minor in range(17, 40))],
    "Linux aarch64": ["manylinux2014_aarch64", *(f"manylinux_2_{minor}_aarch64" for minor in range(17, 40))],
    "macOS arm64": ["macosx_14_0_arm64"],
}


def this_platform() -> str:
    """Return the name of this platform, as in ``PLATFORMS`` if it is one of them."""
    system = "macOS" if platform.system() == "Darwin" else platform.system()
    return f"{system} {platform.machine()}"


def python_version() -> str:
    """Return the implementation and the version of Python that the hashes are for: "cpython 3.11"."""
    return f"{sys.implementation.name} {sys.version_info.major}.{sys.version_info.minor}"


def tested_platform(environment: CleanEnvironment) -> HashedPlatform:
    """Return the files that are installed in an environment."""
    return HashedPlatform(this_platform(), python_version(), environment.wheel_hashes())


def other_platforms(environment: CleanEnvironment) -> list[HashedPlatform]:
    """Return the files that would be installed on each of the other ``PLATFORMS``.

    Nothing is installed or downloaded but the metadata. A platform that lacks a wheel of a package has no hashes.

    Args:
        environment: The installed environment, with the requirements of the package.
    """
    names = [name for name in PLATFORMS if name != this_platform()]
    with ThreadPoolExecutor() as pool:
        hashes = pool.map(lambda name: _hashes(environment, name), names)
        pairs = zip(names, hashes, strict=True)
        return [HashedPlatform(name, python_version(), digests) for name, digests in pairs]


def _hashes(environment: CleanEnvironment, name: str) -> dict[str, str]:
    report = Path(".venv") / f"{name.replace(' ', '-')}.json"
    options = [option for tag in PLATFORMS[name] for option in ("--platform", tag)]
    command = [
        *(".venv/bin/pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--no-deps"),
        *("--only-binary=:all:", "--target", f"{report}.target", "--report", str(report), "-r", RUNTIME),
        *options,
    ]
    completed = environment.run(shlex.join(command))
    return {} if completed.returncode else read_hashes(environment.folder / report)
