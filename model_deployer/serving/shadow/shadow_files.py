"""The answers of a shadow as Parquet files of the traffic store."""

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from arro3.core import RecordBatch
from numpy.typing import NDArray

from model_deployer.contract.outputs import Arrays, Output
from model_deployer.contract.traffic import candidate_column, output_column, partition
from model_deployer.serving.capture.publisher import Publisher
from model_deployer.serving.capture.spool import Spool
from model_deployer.serving.capture.traffic_listener import AnsweredRequest
from model_deployer.serving.capture.traffic_store import StoreFault, TrafficStore
from model_deployer.serving.capture.traffic_table import output_array, request_arrays
from model_deployer.serving.engines.batching import concatenate_columns
from model_deployer.serving.observability.line_limit import LineLimit
from model_deployer.serving.rows.decoding import Rows
from model_deployer.serving.rows.row_id import Ids

logger = logging.getLogger("model_deployer")

#: The size of the files that wait because the traffic store cannot be reached; then the oldest are deleted.
_MAX_WAITING_BYTES = 64 * 1024**2

#: The rows of a file.
_FILE_ROWS = 100_000


class ShadowFiles:
    """Collects the answers of a shadow, and writes them to the traffic store; one thread calls it.

    Args:
        store: The traffic store.
        spool: The folder of the spools.
        models: The tags of the model that answers callers, and of the candidate.
        seconds: How long answers stay in memory.
        ids: Returns the callers' ids of rows; None if they have none.
    """

    def __init__(
        self,
        store: TrafficStore,
        spool: Path,
        models: tuple[str, str],
        seconds: float,
        ids: Callable[[Rows], Ids | None],
    ) -> None:
        self._publisher, self._spool_root = Publisher(store), spool
        self._model, self._candidate = models
        self._seconds, self._ids = seconds, ids
        self._spool: Spool | None = None
        self._batches: list[RecordBatch] = []
        self._hour = self._start = 0.0
        self._limit = LineLimit()

    def add(self, requests: Sequence[AnsweredRequest], output: Output, results: Sequence[str], answer: Arrays) -> None:
        """Add the answers to a batch.

        Args:
            requests: Its requests.
            output: The output of the model that answers callers.
            results: What became of each row.
            answer: The columns of the candidate's predictions, [rows] each: text with None, or numbers with NaN.
        """
        hour = requests[0].taken.time // 3600
        if self._batches and (hour != self._hour or sum(batch.num_rows for batch in self._batches) >= _FILE_ROWS):
            self.flush()
        if not self._batches:
            self._hour, self._start = hour, time.monotonic()
        outputs = concatenate_columns([request.taken.taken_outputs for request in requests])
        arrays: dict[str, Any] = request_arrays(requests, self._ids)
        arrays |= {"candidate": output_array([self._candidate] * len(results)), "result": output_array(results)}
        arrays |= {output_column(name): output_array(values) for name, values in output.columns(outputs).items()}
        arrays |= {candidate_column(name): output_array(_listed(values)) for name, values in answer.items()}
        self._batches.append(RecordBatch.from_pydict(arrays))

    def write_if_due(self) -> None:
        """Write the answers that are old enough."""
        if self._batches and time.monotonic() - self._start >= self._seconds:
            self.flush()

    def flush(self) -> None:
        """Write all answers, and move the files to the store. If that is not possible, they wait."""
        try:
            self._spool = self._spool or Spool(self._spool_root, self._model)
            if self._batches:
                path = partition("shadow", self._model, datetime.fromtimestamp(3600 * self._hour, UTC))
                batches, self._batches = self._batches, []
                self._spool.write(path, batches)
            while self._spool.waiting_bytes > _MAX_WAITING_BYTES and self._spool.drop_oldest():
                pass
            self._spool.publish(self._publisher)
        except (OSError, StoreFault) as error:
            if self._limit.admit((0, "shadow")) is not None:
                reason = error.strerror if isinstance(error, OSError) else str(error)
                logger.warning("the answers of the shadow cannot be stored", extra={"reason": reason})

    def close(self) -> None:
        """Write all answers, and remove the spool if it is empty."""
        self.flush()
        if self._spool:
            self._spool.close()


def _listed(values: NDArray[Any]) -> Sequence[str | None] | NDArray[Any]:
    return values.tolist() if values.dtype == object else np.ascontiguousarray(values)
