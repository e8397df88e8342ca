"""The lists of packages of a package folder."""

import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from model_deployer.handoff.platform_hashes import PLATFORMS, other_platforms, this_platform
from model_deployer.handoff.requirements import RUNTIME, TESTS, HashedPlatform, read_pins, write_hashed_requirements
from model_deployer.handoff.sandbox.environment import CleanEnvironment
from model_deployer.package.package_data import HASHED_REQUIREMENTS


def write(folder: Path) -> None:
    (folder / "tests").mkdir()
    (folder / RUNTIME).write_text("# To serve.\nJinja2==3.1.6\nbackports.zstd==1.8.0\n")
    (folder / TESTS).write_text("# For the tests.\npytest==9.2.0\n")


def test_the_environment_has_the_packages_of_both_lists(tmp_path: Path) -> None:
    write(tmp_path)
    assert read_pins(tmp_path) == ["Jinja2==3.1.6", "backports.zstd==1.8.0", "pytest==9.2.0"]


def platform(name: str, *digits: str) -> HashedPlatform:
    """A platform whose hashes of the packages are these digits, repeated."""
    names = ("jinja2", "backports-zstd", "pytest")
    hashes = {name: 64 * digit for name, digit in zip(names, digits, strict=False)}
    return HashedPlatform(name, "cpython 3.11", hashes)


def test_hashes_are_those_of_each_platform(tmp_path: Path) -> None:
    """A wheel of several platforms has one hash, and the packages of the tests have none."""
    write(tmp_path)
    linux, arm, mac = platform("Linux x86_64", "a", "b", "c"), platform("Linux aarch64", "a", "d"), platform("macOS")
    write_hashed_requirements(tmp_path, linux, [arm, mac])
    title, *lines = (tmp_path / HASHED_REQUIREMENTS).read_text().splitlines()
    assert title == "# For cpython 3.11: the tested files of Linux x86_64, and those of Linux aarch64."
    assert lines == [
        f"Jinja2==3.1.6 --hash=sha256:{'a' * 64}",
        f"backports.zstd==1.8.0 --hash=sha256:{'b' * 64} --hash=sha256:{'d' * 64}",
    ]
    assert Requirement(lines[0].partition(" --hash")[0]).name == "Jinja2"


def test_nothing_is_written_without_all_hashes(tmp_path: Path) -> None:
    """Pip refuses a list in which only some lines have hashes."""
    write(tmp_path)
    write_hashed_requirements(tmp_path, platform("Linux x86_64", "a"), [platform("macOS arm64", "a", "b")])
    assert not (tmp_path / HASHED_REQUIREMENTS).exists()


def test_pip_finds_the_files_of_other_platforms(tmp_path: Path) -> None:
    """MarkupSafe has a wheel for each platform; nothing of it is installed."""
    environment = CleanEnvironment(tmp_path)
    (tmp_path / RUNTIME).write_text("MarkupSafe==3.0.2\n")
    environment.programs.mkdir(parents=True)
    (environment.programs / "pip").symlink_to(Path(sys.executable).with_name("pip"))
    by_platform = {each.name: each.hashes for each in other_platforms(environment)}
    assert this_platform() not in by_platform
    if not any(by_platform.values()):
        pytest.skip("no index of packages is reachable")
    digests = [hashes["markupsafe"] for hashes in by_platform.values()]
    assert len({*digests}) == len(digests) == len(PLATFORMS.keys() - {this_platform()})
    assert not list(tmp_path.rglob("markupsafe*"))
