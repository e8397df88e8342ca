"""A table that is written part by part, in a folder next to its place, until it is complete."""

import fcntl
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from model_deployer.contract.errors import EnvironmentFault, UsageError

_RUN = "run.json"
_LOCK = "lock"
_TABLE = "table"

#: The format of a table by the suffix of its file.
FORMATS = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv"}


def is_csv(path: Path) -> bool:
    """Return whether a file is written as CSV."""
    return FORMATS.get(path.suffix.lower()) == "csv"


class UnfinishedTable:
    """The parts of a table that are complete, in the folder ``NAME.unfinished``.

    Each part is a file that is renamed when it is complete, so that a killed process loses only the part that it was
    writing. Only one process can use the folder: call :meth:`begin` first, and :meth:`close` in the end.

    Args:
        path: The file to write in the end; its suffix decides the format.

    Attributes:
        rows: The number of rows in the complete parts.

    Raises:
        UsageError: if the suffix is not known, or there is no such folder.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix.lower() not in FORMATS:
            raise UsageError(f"{path}: the output is a Parquet or CSV file; let its name end with .parquet or .csv")
        if path.is_dir() or not path.parent.is_dir():
            raise UsageError(f"{path} cannot be written: --output must name a file in an existing folder")
        self.rows = 0
        self._lock_file: int | None = None
        self._path = path
        self._folder = path.with_name(f"{path.name}.unfinished")

    def begin(self, identity: Mapping[str, Any], *, resume: bool) -> None:
        """Begin to write the table, or resume.

        Args:
            identity: What the rows depend on, as JSON values by a name for people; a resumed run has the same.
            resume: Whether to keep the parts of an interrupted run, if there are any.

        Raises:
            UsageError: if the table exists, or an interrupted run is not to be resumed or differs.
            EnvironmentFault: if another process writes the same table.
        """
        if self._path.exists():
            raise UsageError(f"{self._path} exists; remove it, or name another file with --output")
        is_left = self._folder.exists()
        self._folder.mkdir(exist_ok=True)
        self._lock()
        if is_left and not resume:
            raise UsageError(
                f"{self._folder} is left from an interrupted run; continue it with --resume, or remove the folder to "
                f"start from the beginning"
            )
        self._check(identity)
        (self._folder / _RUN).write_text(json.dumps(identity, indent=2), encoding="utf-8")
        self.rows = sum(int(part.stem.rpartition("-")[2]) for part in self._parts())

    def add(self, frame: pl.DataFrame) -> None:
        """Add rows as one part."""
        temporary = self._folder / "part"
        frame.write_parquet(temporary)
        temporary.replace(self._folder / f"{self.rows:015}-{frame.height}.parquet")
        self.rows += frame.height

    def count_nulls(self, column: str) -> int:
        """Return the number of rows in the complete parts that have no value in a column."""
        return int(pl.scan_parquet(self._parts(), glob=False).select(pl.col(column).null_count()).collect().item())

    def finish(self) -> None:
        """Write the table from its parts, put it in its place, and remove the parts."""
        frame = pl.scan_parquet(self._parts(), glob=False)
        temporary = self._folder / _TABLE
        if is_csv(self._path):
            frame.sink_csv(temporary)
        else:
            frame.sink_parquet(temporary)
        temporary.replace(self._path)
        shutil.rmtree(self._folder)

    def close(self) -> None:
        """Let other processes use the folder, and remove it if it has no complete part."""
        if self._lock_file is None:
            return
        if not self._parts():
            shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._lock_file)
        self._lock_file = None

    def _parts(self) -> list[Path]:
        return sorted(self._folder.glob("*-*.parquet"))

    def _check(self, identity: Mapping[str, Any]) -> None:
        """Raise a UsageError if the interrupted run is not the same one."""
        try:
            previous = json.loads((self._folder / _RUN).read_bytes())
        except (OSError, ValueError):
            previous = {}
        differing = [name for name in identity if identity[name] != previous.get(name)]
        if differing and self._parts():
            raise UsageError(
                f"{self._folder} cannot be resumed: {' and '.join(differing)} differ from those of the interrupted "
                f"run; remove the folder to start from the beginning"
            )

    def _lock(self) -> None:
        lock_file = os.open(self._folder / _LOCK, os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock_file)
            raise EnvironmentFault(f"another process is writing {self._path}; wait until it ends") from None
        self._lock_file = lock_file
