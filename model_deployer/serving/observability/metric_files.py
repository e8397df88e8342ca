"""The files in which the processes of a server keep their metrics, so that each worker can report those of all.

prometheus_client writes to memory-mapped files. Two things are added here. The bytes of a file exist before they are
written to: on a full disk the system ends a process that writes to a page without room, and a metric must not be able
to end a prediction. And a worker that is started again continues the files of the one before it, so that their number
does not grow and no count is lost.
"""

import atexit
import fcntl
import itertools
import mmap
import os
import shutil
import struct
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar

from prometheus_client.mmap_dict import MmapedDict, mmap_key

from model_deployer.serving.observability.logs import logger
from model_deployer.serving.observability.metric_specs import MetricSpec

#: The variable with the folder that :func:`create_folder` makes.
_FOLDER_VARIABLE = "MODEL_DEPLOYER_METRICS"

#: The beginning of the names of such folders, and the file in them that their server has locked.
_PREFIX = "model-deployer-metrics-"
_OWNER = "owner"

#: The name of the parent's file, in place of a worker's number.
_PARENT = "parent"

#: Where temporary files go if no usual folder is writable: memory, which containers with a read-only root have.
_MEMORY_FOLDER = Path("/dev/shm")

#: The size of a new file, which prometheus_client uses, too, and what a value takes in addition to its name at most.
_INITIAL_BYTES = 1 << 16
_MAX_OVERHEAD_BYTES = 32

_IN_MEMORY = "the metrics of this process are kept in memory, and /metrics has those of one worker at a time"


def create_folder() -> None:
    """Create a folder for the files of the workers that this process is about to start.

    Folders of servers that were killed are removed: the next container of a Kubernetes pod has the same disk.

    BentoML's folder is shared by all servers of a BENTOML_HOME, and each empties it when it starts.
    """
    try:
        folder = tempfile.gettempdir()
    except OSError:
        if not os.access(_MEMORY_FOLDER, os.W_OK):
            raise
        folder = tempfile.tempdir = os.environ["TMPDIR"] = str(_MEMORY_FOLDER)
    _remove_abandoned(Path(folder))
    try:
        own = tempfile.mkdtemp(prefix=_PREFIX, dir=folder)
        atexit.register(shutil.rmtree, own, ignore_errors=True)
        _lock(os.open(Path(own, _OWNER), os.O_RDWR | os.O_CREAT, 0o600))  # it stays open until this process ends
    except OSError as error:
        warn_of_memory(error)
        return
    os.environ[_FOLDER_VARIABLE] = own


def warn_of_memory(error: OSError) -> None:
    """Log that the metrics of this process cannot be in files, and why."""
    logger.warning(_IN_MEMORY, extra={"reason": os.strerror(error.errno or 0)})


def shared_folder() -> Path | None:
    """Return the folder with the files of all workers; None if this process is alone."""
    folder = os.environ.get(_FOLDER_VARIABLE)
    return Path(folder) if folder else None


class Place:
    """A number that no other living process has, and with it the files of that number.

    The system releases it when the process ends, in whatever way.

    Attributes:
        number: The number, from 1.
    """

    def __init__(self, folder: Path) -> None:
        """Take the lowest free number.

        Raises:
            OSError: if the folder takes no further file.
        """
        for number in itertools.count(1):
            descriptor = os.open(_lock_file(folder, number), os.O_RDWR | os.O_CREAT, 0o600)
            if _lock(descriptor):
                break
            os.close(descriptor)
        self.number = number
        self._descriptor = descriptor
        _remove_gauges(folder, str(number))
        with suppress(OSError):
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        # The time of the file is that of the last sign of life; there is none yet.
        os.utime(descriptor, (0, 0))

    def show_life(self) -> None:
        """Set the time of the last sign of life to now."""
        with suppress(OSError):
            os.utime(self._descriptor)


class Occupant:
    """A living process that has a place.

    Attributes:
        number: The number of its place.
        pid: Its process id.
        last_sign: The time of its last sign of life in seconds since the epoch; 0 before the first.
    """

    def __init__(self, file: Path) -> None:
        self.number = int(file.stem)
        self.pid = int(file.read_text())
        self.last_sign = file.stat().st_mtime


def occupants(folder: Path) -> Iterator[Occupant]:
    """Yield the living processes with a place, and delete the gauges of the others: their state is out of date."""
    for file in sorted(folder.glob("*.lock")):
        with suppress(OSError, ValueError):
            descriptor = os.open(file, os.O_RDWR)
            try:
                if not _lock(descriptor):
                    yield Occupant(file)
                else:
                    _remove_gauges(folder, file.stem)
            finally:
                os.close(descriptor)


class MetricFile(MmapedDict):
    """A file of values, which moves to memory when the disk is full.

    Attributes:
        is_any_in_memory: Whether a file of this process has become one in memory.
    """

    is_any_in_memory: ClassVar[bool] = False

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        try:
            self._open(Path(filename), read_mode)
        except OSError as error:
            self._positions: dict[str, int] = {}
            self._used = 8
            self._move_to_memory(struct.pack("i", self._used), _INITIAL_BYTES, error)

    def _open(self, file: Path, read_mode: bool) -> None:
        if not file.exists():
            _create(file)
        try:
            super().__init__(str(file), read_mode)  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError, struct.error):  # a worker ended in the middle of writing it
            file.unlink()
            _create(file)
            super().__init__(str(file), read_mode)  # type: ignore[no-untyped-call]

    def _init_value(self, key: str) -> None:
        """Add a value. prometheus_client would let the file grow without reserving its bytes."""
        needed = self._used + len(key.encode()) + _MAX_OVERHEAD_BYTES
        if needed > self._capacity:
            self._grow(max(2 * self._capacity, needed))
        super()._init_value(key)  # type: ignore[no-untyped-call]

    def _grow(self, size: int) -> None:
        try:
            if self._f is not None:
                _allocate(self._f.fileno(), size)
                self._m = mmap.mmap(self._f.fileno(), size)
                self._capacity = size
                return
            reason = None
        except OSError as error:
            reason = error
        self._move_to_memory(self._m[: self._used], size, reason)

    def _move_to_memory(self, content: bytes, size: int, reason: OSError | None) -> None:
        """Go on in memory of ``size`` bytes that begins with ``content``; ``reason`` is logged once."""
        self._f: Any = None
        self._m = mmap.mmap(-1, size)
        self._m[: len(content)] = content
        self._capacity = size
        if reason and not MetricFile.is_any_in_memory:
            MetricFile.is_any_in_memory = True
            warn_of_memory(reason)


class ParentCounters:
    """Counters of the parent, which has no page of metrics: the workers report them."""

    def __init__(self, folder: Path) -> None:
        self._file = MetricFile(str(folder / f"counter_{_PARENT}.db"))
        self._lock = Lock()

    def add(self, spec: MetricSpec, *labels: str, amount: int = 1) -> None:
        """Add to a counter, from any thread. Add 0 to have the counter exist before it counts."""
        key = mmap_key(spec.name.removesuffix("_total"), spec.name, list(spec.labels), list(labels), spec.about)
        with self._lock:
            value, _ = self._file.read_value(key)  # type: ignore[no-untyped-call]
            self._file.write_value(key, value + amount, 0.0)  # type: ignore[no-untyped-call]


def _remove_abandoned(folder: Path) -> None:
    for old in folder.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            descriptor = os.open(old / _OWNER, os.O_RDWR)
            try:
                if _lock(descriptor) and not any(occupants(old)):
                    shutil.rmtree(old, ignore_errors=True)
            finally:
                os.close(descriptor)


def _remove_gauges(folder: Path, number: str) -> None:
    """Remove the gauges of the process that had a place before."""
    for gauges in folder.glob(f"gauge_live*_{number}.db"):
        with suppress(OSError):
            gauges.unlink()


def _lock_file(folder: Path, number: int) -> Path:
    return folder / f"{number}.lock"


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _create(file: Path) -> None:
    """Create a file of zeros. It has its name only when it is complete, as other workers read it at any time."""
    temporary = file.with_suffix(".new")
    try:
        with temporary.open("wb") as new:
            _allocate(new.fileno(), _INITIAL_BYTES)
        temporary.rename(file)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise


def _allocate(descriptor: int, size: int) -> None:
    """Make the file ``size`` bytes long, and have the system reserve all of them."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        old_size = os.fstat(descriptor).st_size
        os.pwrite(descriptor, bytes(size - old_size), old_size)
