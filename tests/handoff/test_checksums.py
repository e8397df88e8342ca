from pathlib import Path

from model_deployer.handoff.checksums import CHECKSUMS, check_checksums, write_checksums


def package(folder: Path) -> Path:
    (folder / "docs").mkdir()
    (folder / "docs" / "a b.md").write_text("one")
    (folder / "model.bin").write_bytes(b"two")
    write_checksums(folder)
    return folder


def test_a_package_is_as_it_was_written(tmp_path: Path) -> None:
    assert check_checksums(package(tmp_path)) == []


def test_leftovers_and_the_verdict_do_not_count(tmp_path: Path) -> None:
    """The files that running a package leaves behind do not count, and neither does the verdict."""
    folder = package(tmp_path)
    (folder / "docs" / "__pycache__").mkdir()
    (folder / "docs" / "__pycache__" / "x.pyc").write_bytes(b"")
    (folder / "VERIFICATION.md").write_text("passed")
    assert check_checksums(folder) == []


def test_every_file_that_differs_is_named(tmp_path: Path) -> None:
    folder = package(tmp_path)
    (folder / "docs" / "a b.md").write_text("three")
    (folder / "model.bin").unlink()
    (folder / "new").write_text("")
    assert check_checksums(folder) == ["model.bin is missing", "new was added", "docs/a b.md was changed"]


def test_without_sums_nothing_is_believed(tmp_path: Path) -> None:
    folder = package(tmp_path)
    (folder / CHECKSUMS).write_text("no sums")
    assert check_checksums(folder) == ["SHA256SUMS is missing or damaged"]
