"""A folder of one worker for what is not in the traffic store yet; another worker finishes that of a killed one."""

import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from arro3.core import RecordBatch, Table
from arro3.io import write_parquet

from model_deployer.serving.capture.publisher import PARTS, Publisher, parts
from model_deployer.serving.capture.tally import Counts, Tally

_LOCK, _MODEL, _TALLY, _LABELS = "lock", "model", "tally", "labels.jsonl"


class Spool:
    """The folder of this worker. A lock on it shows others that the worker lives; the system frees it at any end.

    Args:
        root: The folder of all spools.
        model: The tag of the model that the worker serves.

    Attributes:
        worker: The name of this worker, in the names of its files.
        tally: The rows of this worker.

    Raises:
        OSError: if the folder cannot be made.
    """

    def __init__(self, root: Path, model: str) -> None:
        self.worker = uuid.uuid4().hex[:12]
        self._folder = root / self.worker
        self._folder.mkdir(parents=True)
        (self._folder / _MODEL).write_text(model, encoding="utf-8")
        self._lock = _locked(self._folder / _LOCK)
        self.tally = Tally(self._folder / _TALLY)
        self._number = 0

    def write(self, partition: str, batches: Sequence[RecordBatch]) -> None:
        """Write record batches as a finished Parquet file for a partition of the traffic store.

        Raises:
            OSError: if the disk is full; nothing is left then.
        """
        rows = sum(batch.num_rows for batch in batches)
        write_part(self._folder, f"{partition}/{self.worker}-{self._number:06d}-{rows}.parquet", batches)
        self._number += 1

    def publish(self, publisher: Publisher) -> None:
        """Move the finished files to the traffic store, the oldest first.

        Raises:
            StoreFault: if one cannot be moved; it and those after it stay.
        """
        publisher.publish(self._folder)

    @property
    def waiting_bytes(self) -> int:
        """The size of the finished files that are not in the traffic store yet."""
        return sum(file.stat().st_size for file in parts(self._folder))

    def drop_oldest(self) -> int:
        """Delete the oldest finished file that has no labels; return the number of its rows, 0 if there is none."""
        for file in parts(self._folder):
            if file.relative_to(self._folder / PARTS).parts[0] != "labels":
                file.unlink(missing_ok=True)
                return int(file.stem.rpartition("-")[2])
        return 0

    def append_labels(self, labels: Sequence[Mapping[str, Any]]) -> None:
        """Append labels to a log; when this returns, they are on the disk.

        Raises:
            OSError: if they cannot be written; none of them counts then.
        """
        lines = "".join(json.dumps(label) + "\n" for label in labels).encode()
        with (self._folder / _LABELS).open("ab") as log:
            size = log.tell()
            try:
                log.write(lines)
                log.flush()
                os.fsync(log.fileno())
            except OSError:
                log.truncate(size)
                raise

    def read_labels(self) -> list[dict[str, Any]]:
        """Return the labels of the log; call :meth:`forget_labels` when they are in a finished file."""
        return read_labels(self._folder)

    def forget_labels(self) -> None:
        """Empty the log."""
        (self._folder / _LABELS).unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the folder if nothing is left in it; otherwise another worker finishes it."""
        self.tally.close()
        if not (self._folder / _LABELS).exists() and not any(parts(self._folder)):
            shutil.rmtree(self._folder, ignore_errors=True)
        self._lock.close()


class AbandonedSpool:
    """The folder of a worker that has ended. The lock of this object keeps other workers from it."""

    def __init__(self, folder: Path, lock: IO[bytes]) -> None:
        self.folder = folder
        self._lock = lock

    @property
    def worker(self) -> str:
        """The name of the worker."""
        return self.folder.name

    @property
    def model(self) -> str:
        """The tag of the model that the worker served."""
        return (self.folder / _MODEL).read_text(encoding="utf-8")

    @property
    def counts(self) -> Counts:
        """The rows of the worker."""
        return Tally.read(self.folder / _TALLY)

    def forget_counts(self) -> None:
        """Delete the numbers, when a finished file has what they say: the folder may be read again."""
        (self.folder / _TALLY).unlink(missing_ok=True)

    @property
    def labels(self) -> list[dict[str, Any]]:
        """The labels of its log; call :meth:`forget_labels` when they are in a finished file."""
        return read_labels(self.folder)

    def forget_labels(self) -> None:
        """Empty the log."""
        (self.folder / _LABELS).unlink(missing_ok=True)

    def publish(self, publisher: Publisher) -> None:
        """Move its finished files to the traffic store; see :meth:`Spool.publish`."""
        publisher.publish(self.folder)

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.close()

    def release(self) -> None:
        """Leave the folder to another worker."""
        self._lock.close()


def abandoned_spools(root: Path) -> Iterator[AbandonedSpool]:
    """Yield the spools of workers that have ended; each is locked until it is removed or released."""
    for folder in sorted(root.iterdir()):
        try:
            lock = _locked(folder / _LOCK, must_exist=True)
        except OSError:  # its worker lives, or another one finishes it
            continue
        yield AbandonedSpool(folder, lock)


def default_spool(location: str) -> Path:
    """Return the folder of the spools of a traffic store: in it if it is a folder, so that files are only renamed."""
    if "://" in location:
        return Path.home() / ".cache" / "model-deployer" / "capture"
    return Path(location) / ".spool"


def write_part(folder: Path, path: str, batches: Sequence[RecordBatch]) -> None:
    """Write a finished Parquet file into a spool.

    Args:
        folder: The spool.
        path: The path that the file gets in the traffic store.
        batches: Its record batches, with the same columns.

    Raises:
        OSError: if it cannot be written; nothing is left then.
    """
    target = folder / PARTS / path
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder / "unfinished.parquet"
    try:
        write_parquet(Table.from_batches(batches), unfinished, compression="zstd(1)")
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(target)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def read_labels(folder: Path) -> list[dict[str, Any]]:
    """Return the labels of the log in a spool. A last line that a killed worker began is left out."""
    log = folder / _LABELS
    if not log.exists():
        return []
    return [json.loads(line) for line in log.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def _locked(path: Path, *, must_exist: bool = False) -> IO[bytes]:
    """Return an open file with a lock that no other process has.

    Raises:
        OSError: if another process has the lock, or the file is not there.
    """
    file = path.open("r+b" if must_exist else "w+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise
    return file
