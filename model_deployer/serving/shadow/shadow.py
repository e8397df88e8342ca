"""The part of a shadow in a worker: it takes sampled rows, asks the candidate, and counts and stores what differs."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.errors import RequestError
from model_deployer.contract.outputs import Arrays, Classification
from model_deployer.serving.capture.row_sampler import RowSampler
from model_deployer.serving.capture.spool import default_spool
from model_deployer.serving.capture.traffic_listener import AnsweredRequest, TakenRows, TrafficListener
from model_deployer.serving.capture.traffic_store import open_store
from model_deployer.serving.config.settings import Settings
from model_deployer.serving.engines.batching import concatenate_columns
from model_deployer.serving.observability.line_limit import LineLimit
from model_deployer.serving.observability.metrics import Metrics, ShadowResult
from model_deployer.serving.rows.columns import Columns
from model_deployer.serving.rows.decoding import Rows
from model_deployer.serving.rows.row_id import Ids
from model_deployer.serving.shadow.shadow_client import ShadowClient, ShadowFailed, ShadowGone
from model_deployer.serving.shadow.shadow_columns import message_columns
from model_deployer.serving.shadow.shadow_files import ShadowFiles
from model_deployer.serving.shadow.shadow_model import ACCEPTED
from model_deployer.serving.shadow.shadow_process import ShadowAddress

logger = logging.getLogger("model_deployer")

#: The rows of a batch, and those that may wait: further ones are dropped.
_BATCH_ROWS, _MAX_ROWS = 64, 1024

#: How long the thread gathers rows: one by one, they would take more of the worker's time than their requests.
_INTERVAL_SECONDS = 0.25

#: How long a server that stops waits for the last answers to be written.
_CLOSE_SECONDS = 5.0

#: A quantity without an interval differs if it differs by more than this share.
_SAME_VALUE = 0.01


#: What becomes of a row.
RESULTS: tuple[ShadowResult, ...] = get_args(ShadowResult)


class ShadowedModel(NamedTuple):
    """The model that answers callers, as a worker has it.

    Attributes:
        artifact: Its files.
        build_columns: Turns the rows of several requests into the graph's inputs.
        ids: Returns the callers' ids of rows; None if they have none.
        is_busy: Returns whether rows wait for the engine, or a fallback answers: nothing is taken then.
    """

    artifact: Artifact
    build_columns: Callable[[Sequence[Rows]], Columns]
    ids: Callable[[Rows], Ids | None]
    is_busy: Callable[[], bool]


def create_shadow(settings: Settings, model: ShadowedModel, metrics: Metrics) -> "Shadow | None":
    """Return the shadow of a worker; None if its parent has started none.

    Args:
        settings: The settings of the server.
        model: The model that answers callers.
        metrics: The metrics of the worker.

    Raises:
        UsageError, EnvironmentFault: if the traffic store cannot be used.
    """
    address = ShadowAddress.of_parent()
    if address is None:
        return None
    files = None
    if settings.capture:
        store, spool = open_store(settings.capture), settings.capture_spool or default_spool(settings.capture)
        files = ShadowFiles(store, spool, (model.artifact.tag, address.candidate), settings.capture_seconds, model.ids)
    return Shadow(address, settings.shadow_share, model, metrics, files)


class Shadow(TrafficListener):
    """Asks a candidate about sampled rows, off the path of a request.

    The event loop only appends to a queue of limited size, and only while no rows wait for the engine. A thread does
    the rest. Whatever happens to the process of the candidate, callers do not notice.

    Args:
        address: Where the candidate answers.
        share: The share of the answered rows that it is asked about.
        model: The model that answers callers.
        metrics: The metrics of the worker.
        files: Stores the answers; None if there is no traffic store.
    """

    def __init__(
        self,
        address: ShadowAddress,
        share: float,
        model: ShadowedModel,
        metrics: Metrics,
        files: ShadowFiles | None,
    ) -> None:
        self._candidate = address.candidate
        self._client = ShadowClient(address.socket, model.artifact.path)
        self._output = model.artifact.contract.output
        self._sampler = RowSampler(share, 0.0, self._output)
        self._model, self._metrics, self._files = model, metrics, files
        self._requests: deque[AnsweredRequest] = deque()
        self._added_rows = self._taken_rows = 0
        self._limit = LineLimit()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
        for result in RESULTS:
            metrics.count_shadow(result, 0)

    def start(self) -> None:
        """Start the thread."""
        self._metrics.show_shadow(self._candidate)
        self._thread.start()

    @override
    def take(self, rows: Rows, outputs: Arrays, degraded: bool) -> TakenRows | None:
        sample = self._sampler.sample(len(rows), outputs)
        return TakenRows(self, rows, outputs, time.time(), degraded, sample) if sample else None

    @override
    def add(self, request: AnsweredRequest) -> None:
        rows = request.taken.size
        if self._model.is_busy() or not self._client.is_there or self._added_rows - self._taken_rows + rows > _MAX_ROWS:
            self._metrics.count_shadow("dropped", rows)
            return
        self._added_rows += rows
        self._requests.append(request)

    @override
    def add_refusal(self, request_id: bytes, protocol: str, seconds: float, error: RequestError) -> None:
        """Do nothing: the candidate is asked only about rows that callers got an answer to."""

    def close(self) -> None:
        """Stop the thread, and write what it has."""
        if self._thread.is_alive():
            self._stopped.set()
            self._thread.join(_CLOSE_SECONDS)

    # What the thread does

    def _run(self) -> None:
        while not self._stopped.wait(_INTERVAL_SECONDS):
            while self._requests and not self._stopped.is_set():
                self._answer(self._take())
            if self._files:
                self._files.write_if_due()
        self._client.close()
        if self._files:
            self._files.close()

    def _take(self) -> list[AnsweredRequest]:
        """Take requests of one hour from the queue, with about as many rows as a batch has; at least one."""
        taken = [self._requests.popleft()]
        rows = taken[0].taken.size
        while self._requests and rows + self._requests[0].taken.size <= _BATCH_ROWS:
            if self._requests[0].taken.time // 3600 != taken[0].taken.time // 3600:
                break
            taken.append(self._requests.popleft())
            rows += taken[-1].taken.size
        self._taken_rows += rows
        return taken

    def _answer(self, requests: Sequence[AnsweredRequest]) -> None:
        """Ask the candidate about requests; count and store its answers."""
        rows = sum(request.taken.size for request in requests)
        try:
            columns = self._model.build_columns([request.taken.taken_rows for request in requests])
            answer = self._client.ask(message_columns(columns))
            columns_of_candidate, results = self._compare(requests, answer)
            for result in RESULTS:
                if count := results.count(result):
                    self._metrics.count_shadow(result, count)
            if self._files:
                self._files.add(requests, self._output, results, columns_of_candidate)
        except ShadowGone:
            self._metrics.count_shadow("failed", rows)
        except Exception as error:  # an error about some rows must not end the thread
            self._metrics.count_shadow("failed", rows)
            reason = str(error) if isinstance(error, ShadowFailed) else type(error).__name__
            if self._limit.admit((0, "shadow")) is not None:
                logger.warning("the shadow failed on some rows", extra={"error": reason})

    def _compare(
        self, requests: Sequence[AnsweredRequest], answer: Mapping[str, NDArray[Any]]
    ) -> tuple[dict[str, NDArray[Any]], list[ShadowResult]]:
        """Return the columns of the candidate's predictions, and what became of each row."""
        accepted = answer[ACCEPTED]
        ours = concatenate_columns([request.taken.taken_outputs for request in requests])
        theirs = {name: _spread(array, accepted) for name, array in answer.items() if name != ACCEPTED}
        if isinstance(self._output, Classification):
            is_same = np.array(self._output.decisions(ours), dtype=object) == theirs["decision"]
        else:
            is_same = _is_same_value(ours, theirs["value"])
        results: list[ShadowResult] = ["same" if each else "flip" for each in is_same.tolist()]
        for row in np.flatnonzero(~accepted).tolist():
            results[row] = "refused"
        return theirs, results


def _spread(array: NDArray[Any], accepted: NDArray[np.bool_]) -> NDArray[Any]:
    """Return the values of accepted rows at their places among all rows: None or NaN in the others."""
    if array.dtype == object:
        spread = np.full(len(accepted), None, dtype=object)
    else:
        spread = np.full(len(accepted), np.nan, np.float64)
    spread[accepted] = array
    return spread


def _is_same_value(ours: Arrays, value: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which values are inside the model's interval, or without one about equal to its value, bool [rows]."""
    if "lower" in ours:
        return np.asarray((value >= ours["lower"][:, 0]) & (value <= ours["upper"][:, 0]))
    return np.asarray(np.isclose(value, ours["value"][:, 0], rtol=_SAME_VALUE))
