"""The ledger of a model: which version each alias named, since when, on whose command and why.

Each model has one file with one line of JSON per change. Lines are only appended, and each has its own SHA-256 and that
of the line before it, so that no line can be altered, removed or inserted before the last one without a trace. The
aliases of the model are what these lines say last: no second file could disagree with them.

A line that was not written to its end, because the process was killed or the disk is full, does not count.
"""

import fcntl
import getpass
import hashlib
import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from model_deployer.contract.document import JsonObject
from model_deployer.contract.errors import ArtifactError, CheckFailed, EnvironmentFault

#: What changed an alias: it was set to a version, or back to the version that it named before.
Action = Literal["promote", "rollback"]

_ALTERED = "restore the file from a backup, or move it away and promote a version again"


class TrialFile(JsonObject):
    """The trial that a promotion relied on.

    Attributes:
        file: The name of its file in the folder of trials.
        sha256: The SHA-256 of this file.
    """

    file: str
    sha256: str


class Entry(JsonObject):
    """A line of a ledger.

    Attributes:
        time: The time of the change, in UTC.
        by: The user and the machine, ``user@host``.
        action: What changed the alias.
        alias: The alias.
        before: The version that it named before, in JSON ``from``; None for its first.
        to: The version that it names since.
        reason: Why, in the words of the user; None if the user gave no reason.
        forced: Whether the promotion was forced although something spoke against it.
        trial: The trial of the two versions; None if there was none.
        others: The version that other aliases name since this entry; None if it removed the alias.
        previous: The SHA-256 of the line before this one; empty in the first.
        sha256: The SHA-256 of this line without this field.
    """

    time: datetime
    by: str
    action: Action
    alias: str
    before: str | None = Field(alias="from")
    to: str
    reason: str | None
    forced: bool
    trial: TrialFile | None
    others: Mapping[str, str | None] = {}
    previous: str
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """Return the content of the line."""
        return self.model_dump(mode="json", by_alias=True)

    def others_text(self) -> str:
        """Return what the entry did to other aliases: ``challenger removed``, ``challenger is 1.2.0``."""
        changes = self.others.items()
        return ", ".join(f"{alias} is {to}" if to else f"{alias} removed" for alias, to in changes)


def read(file: Path) -> list[Entry]:
    """Return the entries of a ledger, the oldest first; empty without a file.

    Raises:
        ArtifactError: if a line was altered, removed or inserted; the message says which.
    """
    entries: list[Entry] = []
    for number, line in enumerate(_complete(file).split(b"\n")[:-1], start=1):
        entry = _parse(line)
        if entry is None or entry.previous != (entries[-1].sha256 if entries else ""):
            raise ArtifactError(
                f"{file}: line {number} was altered, or a line before it was removed or inserted; {_ALTERED}"
            )
        entries.append(entry)
    return entries


def aliases(entries: Sequence[Entry]) -> dict[str, str]:
    """Return the version that each alias names now."""
    named: dict[str, str | None] = {}
    for entry in entries:
        named |= {entry.alias: entry.to, **entry.others}
    return {alias: version for alias, version in named.items() if version is not None}


def history(entries: Sequence[Entry], alias: str) -> list[Entry]:
    """Return the promotions of the versions that an alias can go back to; the last is that of its present version."""
    promotions: list[Entry] = []
    for entry in entries:
        if entry.alias != alias:
            continue
        promotions = promotions[:-1] if entry.action == "rollback" else [*promotions, entry]
    return promotions


class Ledger:
    """A ledger that no other process writes to meanwhile; :func:`locked` opens it.

    Attributes:
        entries: Its entries, the oldest first.
    """

    def __init__(self, file: Path, descriptor: int) -> None:
        self._file, self._descriptor = file, descriptor
        self.entries = read(file)

    def append(self, action: Action, alias: str, to: str, **details: Any) -> Entry:
        """Write a change to the disk, and return its entry.

        Args:
            action: What changes the alias.
            alias: The alias.
            to: The version that it names from now on.
            details: ``reason``, ``forced``, ``trial`` and ``others`` of the entry, as JSON.

        Raises:
            EnvironmentFault: if the line cannot be written; the ledger is unchanged.
        """
        content = {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "by": _user(),
            "action": action,
            "alias": alias,
            "from": aliases(self.entries).get(alias),
            "to": to,
            "reason": None,
            "forced": False,
            "trial": None,
            "others": {},
            **details,
            "previous": self.entries[-1].sha256 if self.entries else "",
        }
        self._write(json.dumps(content | {"sha256": _digest(content)}) + "\n")
        self.entries = read(self._file)
        return self.entries[-1]

    def _write(self, line: str) -> None:
        size = len(_complete(self._file))
        os.ftruncate(self._descriptor, size)
        data = line.encode()
        try:
            written = os.write(self._descriptor, data)
            os.fsync(self._descriptor)
        except OSError as error:
            os.ftruncate(self._descriptor, size)
            raise EnvironmentFault(f"cannot write {self._file}: {error.strerror}; nothing was changed") from None
        if written < len(data):
            os.ftruncate(self._descriptor, size)
            raise EnvironmentFault(f"cannot write {self._file}: the disk is full; nothing was changed")


@contextmanager
def locked(file: Path) -> Iterator[Ledger]:
    """Open a ledger for changes, and keep other processes from changing it until the end of the context.

    Raises:
        CheckFailed: if another process changes it now.
        ArtifactError: as :func:`read`.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        _lock(file, descriptor)
        yield Ledger(file, descriptor)
    finally:
        os.close(descriptor)


def _lock(file: Path, descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CheckFailed(
            f"another promotion or rollback of {file.stem} is running; look at what it did with "
            f"`deployer ledger {file.stem}`, and run the command again"
        ) from None


def _complete(file: Path) -> bytes:
    """Return the complete lines of a file; empty without a file."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return b""
    return content[: content.rfind(b"\n") + 1]


def _parse(line: bytes) -> Entry | None:
    """Return the entry of a line; None if it is not what was written."""
    try:
        content = json.loads(line)
        digest = content.pop("sha256")
        return Entry.model_validate(content | {"sha256": digest}) if digest == _digest(content) else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _digest(content: Mapping[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _user() -> str:
    """Return the user and the machine, ``user@host``; the number of a user without a name, as in containers."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
