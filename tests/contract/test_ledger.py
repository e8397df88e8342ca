"""The ledger: what was written is read again, and what was altered afterwards is noticed."""

import json
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from model_deployer.contract import ledger
from model_deployer.contract.errors import ArtifactError, CheckFailed, EnvironmentFault


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A ledger with three entries."""
    path = tmp_path / "aliases" / "churn.jsonl"
    with ledger.locked(path) as book:
        book.append("promote", "champion", "1.0.0")
        book.append("promote", "champion", "1.1.0", reason="dearer, but safer: ü", forced=True)
        book.append("promote", "challenger", "1.2.0")
    return path


def test_entries_are_read_as_they_were_written(file: Path) -> None:
    first, second, third = ledger.read(file)
    assert (first.before, first.to, first.previous) == (None, "1.0.0", "")
    assert (second.before, second.to, second.reason, second.forced) == ("1.0.0", "1.1.0", "dearer, but safer: ü", True)
    assert (second.previous, third.previous) == (first.sha256, second.sha256)
    assert "@" in third.by and third.time.tzinfo
    assert [json.loads(line) for line in file.read_text().splitlines()][1]["from"] == "1.0.0"
    assert ledger.aliases([first, second, third]) == {"champion": "1.1.0", "challenger": "1.2.0"}


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize(("old", "new"), [('"to": "1.', '"to": "2.'), ("{", "")])
def test_an_altered_line_is_named(file: Path, number: int, old: str, new: str) -> None:
    lines = file.read_text().splitlines(keepends=True)
    lines[number - 1] = lines[number - 1].replace(old, new)
    file.write_text("".join(lines))
    with pytest.raises(ArtifactError, match=rf"churn\.jsonl: line {number} was altered"):
        ledger.read(file)


@pytest.mark.parametrize("order", ["13", "23", "213", "1123"])
def test_a_removed_moved_or_repeated_line_is_noticed(file: Path, order: str) -> None:
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[int(number) - 1] for number in order))
    with pytest.raises(ArtifactError, match="was altered, or a line before it was removed"):
        ledger.read(file)


def test_a_line_that_was_not_finished_does_not_count(file: Path) -> None:
    """A process that was killed while it wrote leaves a part of a line; the next entry replaces it."""
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"time": "2026-')
    assert len(ledger.read(file)) == 3
    with ledger.locked(file) as book:
        book.append("rollback", "champion", "1.0.0")
    assert file.read_bytes().startswith(whole)
    assert [entry.action for entry in ledger.read(file)] == ["promote", "promote", "promote", "rollback"]


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Limit the size of files (RLIMIT_FSIZE): writing more fails as on a full disk."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("room", [0, 20])
def test_a_full_disk_leaves_the_ledger_as_it_was(file: Path, room: int) -> None:
    whole = file.read_bytes()
    with (
        ledger.locked(file) as book,
        full_disk(len(whole) + room),
        pytest.raises(EnvironmentFault, match="nothing was changed"),
    ):
        book.append("promote", "champion", "1.2.0")
    assert file.read_bytes() == whole


def test_one_process_writes_at_a_time(file: Path) -> None:
    message = "another promotion or rollback of churn is running"
    with ledger.locked(file), pytest.raises(CheckFailed, match=message), ledger.locked(file):
        pass
    with ledger.locked(file) as book:
        assert len(book.entries) == 3


def test_each_rollback_goes_one_version_further_back(file: Path) -> None:
    def versions(alias: str) -> list[str]:
        return [entry.to for entry in ledger.history(book.entries, alias)]

    with ledger.locked(file) as book:
        book.append("promote", "champion", "1.2.0")
        assert versions("champion") == ["1.0.0", "1.1.0", "1.2.0"]
        book.append("rollback", "champion", "1.1.0")
        book.append("rollback", "champion", "1.0.0")
        assert versions("champion") == ["1.0.0"]
        book.append("promote", "champion", "1.3.0")
    assert versions("champion") == ["1.0.0", "1.3.0"]
    assert versions("challenger") == ["1.2.0"]
    assert versions("other") == []


def test_an_entry_changes_other_aliases_too(file: Path) -> None:
    with ledger.locked(file) as book:
        removal = book.append("promote", "champion", "1.2.0", others={"challenger": None})
        assert ledger.aliases(book.entries) == {"champion": "1.2.0"}
        return_ = book.append("rollback", "champion", "1.1.0", others={"challenger": "1.2.0"})
        assert ledger.aliases(book.entries) == {"champion": "1.1.0", "challenger": "1.2.0"}
    assert (removal.others_text(), return_.others_text()) == ("challenger removed", "challenger is 1.2.0")


def test_lines_of_earlier_releases_are_read(tmp_path: Path) -> None:
    """A line that was written before entries could change other aliases."""
    line = {
        "time": "2026-11-01T10:00:00+00:00",
        "by": "user@host",
        "action": "promote",
        "alias": "champion",
        "from": None,
        "to": "1.0.0",
        "reason": None,
        "forced": False,
        "trial": None,
        "previous": "",
        "sha256": "3368ca8b415a4cafdf6e7db816f2e47d182635d691a8c132ad5c48114e0896a9",
    }
    file = tmp_path / "churn.jsonl"
    file.write_text(json.dumps(line) + "\n")
    with ledger.locked(file) as book:
        book.append("promote", "champion", "1.1.0")
    assert [entry.to for entry in ledger.read(file)] == ["1.0.0", "1.1.0"]
