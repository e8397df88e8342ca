"""The lists of packages of a package folder."""

from pathlib import Path

from packaging.requirements import Requirement

from model_deployer.handoff.requirements import RUNTIME, TESTS, read_pins, write_hashed_requirements
from model_deployer.package.package_data import HASHED_REQUIREMENTS


def write(folder: Path) -> None:
    (folder / "tests").mkdir()
    (folder / RUNTIME).write_text("# To serve.\nJinja2==3.1.6\nbackports.zstd==1.8.0\n")
    (folder / TESTS).write_text("# For the tests.\npytest==9.2.0\n")


def test_the_environment_has_the_packages_of_both_lists(tmp_path: Path) -> None:
    write(tmp_path)
    assert read_pins(tmp_path) == ["Jinja2==3.1.6", "backports.zstd==1.8.0", "pytest==9.2.0"]


def test_hashes_are_those_of_the_installed_files(tmp_path: Path) -> None:
    write(tmp_path)
    write_hashed_requirements(tmp_path, {"jinja2": "a" * 64, "backports-zstd": "b" * 64, "pytest": "c" * 64})
    title, *lines = (tmp_path / HASHED_REQUIREMENTS).read_text().splitlines()
    assert title.startswith("# The tested files, for ")
    assert lines == [
        f"Jinja2==3.1.6 --hash=sha256:{'a' * 64}",
        f"backports.zstd==1.8.0 --hash=sha256:{'b' * 64}",
    ]
    assert Requirement(lines[0].partition(" --hash")[0]).name == "Jinja2"


def test_nothing_is_written_without_all_hashes(tmp_path: Path) -> None:
    """Pip refuses a list in which only some lines have hashes."""
    write(tmp_path)
    write_hashed_requirements(tmp_path, {"jinja2": "a" * 64})
    assert not (tmp_path / HASHED_REQUIREMENTS).exists()
