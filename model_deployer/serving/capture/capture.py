"""Captures the traffic of one worker. Start with :meth:`Capture.add`, which requests call; a thread does the rest."""

import atexit
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from arro3.core import RecordBatch
from typing_extensions import override

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.deletion import FOLDER as DELETIONS
from model_deployer.contract.errors import InvalidRows, RequestError, Unavailable, UsageError
from model_deployer.contract.traffic import hashed_fields, partition
from model_deployer.serving.capture.publisher import Publisher
from model_deployer.serving.capture.record_tables import Loss, Refusal, label_batch, loss_batch, refusal_batch
from model_deployer.serving.capture.row_sampler import RowSampler, everything
from model_deployer.serving.capture.spool import AbandonedSpool, Spool, abandoned_spools, default_spool, write_part
from model_deployer.serving.capture.traffic_listener import AnsweredRequest, TakenRows, TrafficListener
from model_deployer.serving.capture.traffic_store import StoreFault, open_store
from model_deployer.serving.capture.traffic_table import TrafficTable
from model_deployer.serving.config.settings import Settings
from model_deployer.serving.engines.batching import Arrays
from model_deployer.serving.observability.line_limit import LineLimit
from model_deployer.serving.observability.metrics import OTHER_FIELD, Metrics
from model_deployer.serving.rows.decoding import Rows

logger = logging.getLogger("model_deployer")

#: How often the thread turns captured requests into record batches.
_INTERVAL_SECONDS = 1.0

#: The values in memory, of rows that are not in a file yet; further rows are dropped. A value takes up to 100 bytes.
_MAX_VALUES = 2_000_000

#: The refusals in memory; further ones are dropped.
_MAX_REFUSALS = 100_000

#: The rows of a record batch, and the pause after each: without pauses, requests would wait for several of them.
_BATCH_ROWS, _PAUSE_SECONDS = 256, 0.001

#: The rows of a file.
_FILE_ROWS = 100_000

#: The size of the files that wait because the traffic store cannot be reached; then the oldest are deleted.
_MAX_WAITING_BYTES = 256 * 1024**2

#: How often the folder of spools is searched for those of killed workers, and the store for days that are too old. A
#: search of an object store is some paid requests.
_ABANDONED_SECONDS, _RETENTION_SECONDS = 60.0, 3600.0

#: How long a server that stops waits for the last rows to be written.
_CLOSE_SECONDS = 10.0


class Capture(TrafficListener):
    """Captures requests, refusals and labels of one worker into a traffic store.

    The event loop only appends to queues of limited size. A thread builds record batches, writes them as Parquet files
    into a local spool, and moves these to the store. If the store cannot be reached, files wait in the spool.

    Args:
        settings: The settings of the server, with a traffic store.
        artifact: The model.
        metrics: The metrics of the worker.
        table: Makes the record batches of the model.

    Raises:
        UsageError: if the settings of the store cannot be used.
        EnvironmentFault: if a package for the store is not installed.
    """

    def __init__(
        self,
        settings: Settings,
        artifact: Artifact,
        metrics: Metrics,
        table: TrafficTable,
    ) -> None:
        location = str(settings.capture)
        self._model = artifact.tag
        self._metrics = metrics
        self._table = table
        self._row_values = artifact.contract.row_elements
        self._store = open_store(location)
        self._publisher = Publisher(self._store)
        self._spool_root = settings.capture_spool or default_spool(location)
        self._sampler = RowSampler(settings.capture_share, settings.capture_margin, artifact.contract.output)
        self._file_seconds = settings.capture_seconds
        self._days = settings.capture_days
        self._requests: deque[AnsweredRequest] = deque()
        self._refusals: deque[Refusal] = deque()
        self._added_values = self._freed_values = 0
        self._batches: list[RecordBatch] = []
        self._batch_time, self._batch_values, self._file_start = 0.0, 0, 0.0
        self._limit = LineLimit()
        self._stop = threading.Event()
        self._next_abandoned = self._next_retention = 0.0
        self._label_lock = threading.Lock()
        self._spool: Spool | None = None
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)

    def start(self) -> None:
        """Make the spool and start the thread.

        Raises:
            UsageError: if the spool cannot be made.
        """
        self._spool = self._make_spool()
        self._thread.start()
        atexit.register(self.close)  # a program that calls the service in its own process does not shut it down

    def check(self) -> None:
        """Check that a spool can be made, for the parent of the workers.

        Raises:
            UsageError: if it cannot.
        """
        self._make_spool().close()

    def _make_spool(self) -> Spool:
        try:
            return Spool(self._spool_root, self._model)
        except OSError as error:
            raise UsageError(
                f"serving.capture_spool: {self._spool_root} cannot be written: {error.strerror}; name a local folder"
            ) from None

    # What requests call

    @override
    def take(self, rows: Rows, outputs: Arrays, degraded: bool) -> TakenRows | None:
        sample = everything(len(rows)) if degraded else self._sampler.sample(len(rows), outputs)
        return TakenRows(self, rows, outputs, time.time(), degraded, sample) if sample else None

    @override
    def add(self, request: AnsweredRequest) -> None:
        if self._spool is None:
            return
        rows = request.taken.size
        values = len(request.taken.rows) * self._row_values  # a table stays in memory as a whole
        if self._added_values - self._freed_values + values > _MAX_VALUES:
            self._metrics.count_captured("dropped", rows)
            return
        self._added_values += values
        self._spool.tally.add_captured(rows)
        self._requests.append(request)

    @override
    def add_refusal(self, request_id: bytes, protocol: str, seconds: float, error: RequestError) -> None:
        if len(self._refusals) >= _MAX_REFUSALS:
            self._metrics.count_captured("dropped", 1)
            return
        problems = error.problems if isinstance(error, InvalidRows) else ()
        known = self._metrics.fields
        fields = {problem.field if problem.field in known else OTHER_FIELD for problem in problems}
        codes = {problem.code for problem in problems}
        joined_fields, joined_codes = ",".join(sorted(map(str, fields))), ",".join(sorted(codes))
        self._refusals.append(
            Refusal(
                request_id.decode("latin-1"),
                time.time(),
                protocol,
                error.status,
                error.code,
                1000 * seconds,
                joined_fields,
                joined_codes,
            )
        )

    def add_labels(self, labels: Sequence[Mapping[str, Any]]) -> None:
        """Store labels, with the columns of the table. When this returns, they are on the disk.

        Raises:
            Unavailable: if they cannot be written now.
        """
        if self._spool is None:
            raise Unavailable("the server is starting; send the labels again in a moment")
        try:
            with self._label_lock:
                self._spool.append_labels(labels)
        except OSError as error:
            logger.warning("labels cannot be stored", extra={"reason": error.strerror})
            raise Unavailable("labels cannot be stored at the moment; send them again later") from None

    def close(self) -> None:
        """Write what is in memory, and stop the thread."""
        if self._thread.is_alive():
            self._stop.set()
            self._thread.join(_CLOSE_SECONDS)

    # What the thread does

    def _run(self) -> None:
        assert self._spool is not None
        while not self._stop.wait(_INTERVAL_SECONDS):
            self._try(self._work, self._spool)
        self._try(self._finish, self._spool)
        with suppress(OSError):
            self._spool.close()

    def _try(self, step: Callable[[Spool], None], spool: Spool) -> None:
        """Do a step. An error of one must not end the capture; the next one tries again."""
        try:
            step(spool)
        except (OSError, StoreFault) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            self._warn("captured traffic cannot be stored; it waits", {"reason": reason})
        except Exception as error:
            self._warn("captured traffic cannot be written", {"error": type(error).__name__})

    def _warn(self, message: str, fields: dict[str, Any]) -> None:
        suppressed = self._limit.admit((0, message))
        if suppressed is not None:
            logger.warning(message, extra={**fields, "suppressed": suppressed or None})

    def _work(self, spool: Spool) -> None:
        self._build_batches(spool)
        if self._batches and time.monotonic() - self._file_start >= self._file_seconds:
            self._write_rows(spool)
        self._write_records(spool)
        spool.publish(self._publisher)
        now = time.monotonic()
        if now >= self._next_abandoned:
            self._next_abandoned = now + _ABANDONED_SECONDS
            self._finish_abandoned()
        if now >= self._next_retention:
            self._next_retention = now + _RETENTION_SECONDS
            self._remove_old()

    def _finish(self, spool: Spool) -> None:
        self._build_batches(spool)
        self._write_rows(spool)
        self._write_records(spool)
        spool.publish(self._publisher)

    def _build_batches(self, spool: Spool) -> None:
        """Turn the captured requests into record batches. A file has those of one hour."""
        while self._requests:
            requests = self._take_requests()
            if self._batches and (_hour(requests[0].taken.time) != _hour(self._batch_time) or self._rows >= _FILE_ROWS):
                self._write_rows(spool)
            if not self._batches:
                self._file_start, self._batch_time = time.monotonic(), requests[0].taken.time
            self._batches.append(self._build(requests, spool))
            self._batch_values += self._values(requests)
            self._stop.wait(_PAUSE_SECONDS)

    def _build(self, requests: Sequence[AnsweredRequest], spool: Spool) -> RecordBatch:
        try:
            return self._table.batch(requests)
        except Exception:
            rows = sum(request.taken.size for request in requests)
            spool.tally.add_dropped(rows)
            self._metrics.count_captured("dropped", rows)
            self._freed_values += self._values(requests)
            raise

    def _values(self, requests: Sequence[AnsweredRequest]) -> int:
        return sum(len(request.taken.rows) for request in requests) * self._row_values

    @property
    def _rows(self) -> int:
        return sum(batch.num_rows for batch in self._batches)

    def _take_requests(self) -> list[AnsweredRequest]:
        """Take requests of one hour from the queue, with about as many rows as a record batch has."""
        taken = [self._requests.popleft()]
        rows = taken[0].taken.size
        hour = _hour(taken[0].taken.time)
        while self._requests and rows < _BATCH_ROWS and _hour(self._requests[0].taken.time) == hour:
            taken.append(self._requests.popleft())
            rows += taken[-1].taken.size
        return taken

    def _write_rows(self, spool: Spool) -> None:
        if not self._batches:
            return
        rows = self._rows
        spool.write(partition("traffic", self._model, datetime.fromtimestamp(self._batch_time, UTC)), self._batches)
        spool.tally.add_written(rows)
        self._metrics.count_captured("written", rows)
        self._freed_values += self._batch_values
        self._batches, self._batch_values = [], 0
        self._limit_waiting(spool)

    def _write_records(self, spool: Spool) -> None:
        """Write the refusals and labels."""
        now = datetime.now(UTC)
        refusals = [self._refusals.popleft() for _ in range(len(self._refusals))]
        if refusals:
            try:
                spool.write(partition("refusals", self._model, now), [refusal_batch(refusals)])
            except OSError:
                self._refusals.extendleft(reversed(refusals))
                raise
        with self._label_lock:
            labels = spool.read_labels()
            if labels:
                spool.write(partition("labels", self._model, now), [label_batch(labels)])
                spool.forget_labels()

    def _limit_waiting(self, spool: Spool) -> None:
        while spool.waiting_bytes > _MAX_WAITING_BYTES and (rows := spool.drop_oldest()):
            self._metrics.count_captured("dropped", rows)
            self._warn("captured traffic was deleted: the store could not be reached for too long", {"rows": rows})

    # What it does from time to time

    def _finish_abandoned(self) -> None:
        for spool in abandoned_spools(self._spool_root):
            try:
                self._finish_spool(spool)
            except BaseException:
                spool.release()
                raise
            spool.remove()

    def _finish_spool(self, spool: AbandonedSpool) -> None:
        """Move the files of a killed worker to the store, and record how many rows it had only in memory."""
        now = datetime.now(UTC)
        if labels := spool.labels:
            path = partition("labels", spool.model, now)
            write_part(spool.folder, f"{path}/{spool.worker}-log.parquet", [label_batch(labels)])
            spool.forget_labels()
        if rows := spool.counts.unwritten:
            loss = Loss(now.timestamp(), spool.worker, rows)
            path = partition("losses", spool.model, now)
            write_part(spool.folder, f"{path}/{spool.worker}.parquet", [loss_batch([loss])])
            spool.forget_counts()
            self._metrics.count_captured("lost", rows)
            logger.warning("a killed worker had captured rows that are lost", extra={"rows": rows})
        spool.publish(self._publisher)

    def _remove_old(self) -> None:
        """Remove the partitions of days that are past the retention."""
        if self._days is None:
            return
        first_day = f"{datetime.now(UTC) - timedelta(days=self._days):date=%Y-%m-%d}"
        name, _, _version = self._model.partition(":")
        tables = [f"{table}/model={name}" for table in ("traffic", "refusals", "shadow", "losses")]
        folders = [folder for table in tables for folder in self._store.folders(table)]
        others = (f"labels/model={name}", DELETIONS)
        days = [day for folder in (*folders, *others) for day in self._store.folders(folder)]
        for day in days:
            if day.rpartition("/")[2] < first_day:
                self._store.remove(day)


def hash_key(settings: Settings, artifact: Artifact) -> bytes | None:
    """Return the key of hashed fields; None if the model has none.

    Raises:
        UsageError: if there is no key, or it is too short.
    """
    hashed = [feature.name for feature in hashed_fields(artifact.contract)]
    if not hashed:
        return None
    if settings.capture_key_file is None:
        raise UsageError(
            f"serving.capture_key_file: '{hashed[0]}' is captured as a hash, which needs a file with a key of at least "
            "16 characters; make one with `openssl rand -hex 32`"
        )
    try:
        secret = settings.capture_key_file.read_bytes().strip()
    except OSError as error:
        raise UsageError(f"serving.capture_key_file: it cannot be read: {error.strerror}") from None
    if len(secret) < 16:
        raise UsageError("serving.capture_key_file: expected a key of at least 16 characters")
    return secret


def _hour(time: float) -> int:
    return int(time // 3600)
