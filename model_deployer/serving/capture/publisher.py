"""Moves the finished files of spools to the traffic store, without the rows of subjects that were deleted meanwhile."""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import compress, groupby
from pathlib import Path
from typing import Any

from arro3.core import Table
from arro3.io import read_parquet, write_parquet

from model_deployer.contract.deletion import FOLDER, Deletion
from model_deployer.contract.errors import ArtifactError
from model_deployer.serving.capture.traffic_store import TrafficStore

logger = logging.getLogger("model_deployer")

#: The folder of a spool with its finished files, by their paths in the traffic store.
PARTS = "parts"

_DAY = re.compile(r"/date=(\d{4}-\d{2}-\d{2})/")


class Publisher:
    """Moves files to a traffic store.

    Args:
        store: The store.
    """

    def __init__(self, store: TrafficStore) -> None:
        self._store = store
        #: The deletions by the paths of their files; None for a file that cannot be read.
        self._deletions: dict[str, Deletion | None] = {}

    def publish(self, spool: Path) -> None:
        """Move the finished files of a spool to the store, the oldest first.

        A deletion that is stored while a file is moved is applied to it afterwards: either this sees the deletion, or
        the deletion sees the file.

        Raises:
            StoreFault: if one cannot be moved; it and those after it stay.
        """
        for file in parts(spool):
            path = file.relative_to(spool / PARTS).as_posix()
            deletions = self._applicable(path)
            self._remove_subjects(file, path, deletions)
            if file.exists():
                self._store.put(path, file)
                if later := [each for each in self._applicable(path) if each not in deletions]:
                    self._remove_subjects(file, path, later)
                    if file.exists():
                        self._store.put(path, file)
                    else:
                        self._store.remove_file(path)
                file.unlink(missing_ok=True)
            _remove_empty(file.parent, spool)

    def _applicable(self, path: str) -> list[Deletion]:
        """Return the deletions of the day of a file or later; the file has no row that older ones mean."""
        paths = set(self._store.files(FOLDER))
        for known in self._deletions.keys() - paths:
            del self._deletions[known]
        for new in paths - self._deletions.keys():
            self._deletions[new] = self._read(new)
        day = _DAY.search(f"/{path}")
        first = datetime.fromisoformat(day[1]).replace(tzinfo=UTC) if day else datetime.min.replace(tzinfo=UTC)
        return [each for each in self._deletions.values() if each and each.time >= first - timedelta(days=1)]

    def _read(self, path: str) -> Deletion | None:
        try:
            return Deletion.from_bytes(self._store.read(path), path)
        except ArtifactError as error:
            logger.error("a deletion of the traffic store cannot be applied", extra={"reason": str(error)})
            return None

    def _remove_subjects(self, file: Path, path: str, deletions: Sequence[Deletion]) -> None:
        """Remove the rows of subjects from a file; the file is removed if nothing is left."""
        if not deletions:
            return
        table = read_parquet(file).read_all()
        columns: dict[str, Any] = {name: table.column(name).to_pylist() for name in table.column_names}
        times = columns["received"] if "received" in columns else columns["time"]
        removed = [any(row) for row in zip(*(each.matches(columns, times) for each in deletions), strict=True)]
        if not any(removed):
            return
        logger.info("rows of a deleted subject were not stored", extra={"rows": sum(removed)})
        if path.startswith("traffic/"):  # what belongs to them may be stored already
            keys = ([*compress(columns[name], removed)] for name in ("request_id", "row", "row_id"))
            self._announce(file.with_suffix(".deletion"), Deletion.of_rows(*keys))
        if all(removed):
            file.unlink()
            return
        kept = [table.slice(start, length) for start, length in _runs(removed)]
        unfinished = file.with_suffix(".unfinished")
        batches = [batch for piece in kept for batch in piece.to_batches()]
        write_parquet(Table.from_batches(batches), unfinished, compression="zstd(1)")
        unfinished.replace(file)

    def _announce(self, file: Path, deletion: Deletion) -> None:
        file.write_bytes(deletion.to_bytes())
        self._store.put(deletion.path, file)
        file.unlink()


def _runs(removed: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """Yield the first index and the length of each run of rows that are not removed."""
    start = 0
    for is_removed, run in groupby(removed):
        length = len(list(run))
        if not is_removed:
            yield start, length
        start += length


def parts(spool: Path) -> list[Path]:
    """Return the finished files of a spool, the oldest first."""
    return sorted((spool / PARTS).rglob("*.parquet"), key=lambda file: (file.stat().st_mtime_ns, file.name))


def _remove_empty(partition: Path, spool: Path) -> None:
    """Remove the folders of a partition that are empty now: a spool that lives for months is searched each second."""
    with suppress(OSError):  # one is not empty
        while partition != spool:
            partition.rmdir()
            partition = partition.parent
