"""The path of a request from bytes to bytes: decode, validate, batch, run the model, encode.

Start with :meth:`Predictor.answer`. Everything else in this file is a step of that path, the same path for other
inputs, or the start and end of the predictor.
"""

import gc
import json
import logging
import sys
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.artifact import Artifact, Golden
from model_deployer.contract.errors import ArtifactError, DeadlineExceeded, InvalidRows, Overloaded
from model_deployer.contract.image_file import require_pillow
from model_deployer.serving.background import INLINE_BYTES, INLINE_ROWS, BackgroundThread
from model_deployer.serving.capture.traffic_listener import TrafficListener
from model_deployer.serving.config.settings import Settings
from model_deployer.serving.engines.batching import Arrays, Batcher, concatenate_columns
from model_deployer.serving.engines.engine import Engine
from model_deployer.serving.engines.refusal import require_numbers
from model_deployer.serving.http.deadlines import Deadlines
from model_deployer.serving.http.request_record import RequestRecord, current_request
from model_deployer.serving.memory import MemoryBudget
from model_deployer.serving.observability.metrics import Metrics
from model_deployer.serving.rows import formats, row_id
from model_deployer.serving.rows.arrow import Column, CompressedStream
from model_deployer.serving.rows.columns import ColumnBuilder, Columns, Table
from model_deployer.serving.rows.decoding import Decoder, Rows
from model_deployer.serving.rows.formats import JSON
from model_deployer.serving.rows.images import has_images
from model_deployer.serving.rows.row_id import RowId
from model_deployer.serving.rows.tables import TableReader
from model_deployer.serving.rows.unusual_values import WarningFinder
from model_deployer.serving.rows.value_count import ValueCounter

if TYPE_CHECKING:
    from model_deployer.serving.capture.capture import Capture
    from model_deployer.serving.shadow.shadow import Shadow

logger = logging.getLogger("model_deployer")

#: Arrow streams of up to this size are read in the event loop: their numbers are not parsed.
_INLINE_STREAM_BYTES = 131_072

_MEBIBYTE = 1024**2


class Predicted(NamedTuple):
    """Predictions of the rows of one request.

    Attributes:
        outputs: The graph's output tensors, [rows, n] each.
        ids: The callers' ids of the rows, in their order; None if no row has one.
    """

    outputs: Arrays
    ids: row_id.Ids | None


class Predictor:
    """Answers requests with the predictions of one model.

    It is ready after :meth:`start`, which checks that the engine reproduces the model's golden predictions.

    Attributes:
        artifact: The model.
        metrics: The metrics of this worker.
        deadlines: The deadlines of the requests in progress.
        memory: The memory of the requests in progress.
        background: The thread for what takes long.
        value_counter: Limits the values of a body before it is parsed.
        ready: Whether requests are answered.
        ignores_unknown_fields: Whether fields that the model does not have are left out; otherwise they are refused.
        row_id: The field with a caller's id of a row; None if rows have no id.
        capture: Captures the traffic; None if the settings name no traffic store.
        shadow: Asks a candidate about sampled rows; None if the parent of this worker has started none.
        listeners: The ones of both that there are.

    Raises:
        UsageError: if the setting of that field names another field of rows or predictions, or the traffic store
            cannot be used.
    """

    def __init__(self, artifact: Artifact, settings: Settings) -> None:
        contract = artifact.contract
        self.artifact = artifact
        self._settings = settings
        self.metrics = Metrics(artifact.tag, contract.names, artifact.reference)
        self.deadlines = Deadlines()
        self.memory = MemoryBudget(settings.request_memory_mb * _MEBIBYTE)
        self.background = BackgroundThread()
        self.value_counter = ValueCounter(contract)
        self.ready = False
        #: How many rows of single values take as long to read as one row; 1 without vectors.
        self._row_weight = max(1, contract.row_elements // len(contract.features))
        #: Images are decoded in the background: a small file can have many pixels.
        self._always_in_background = has_images(contract.features)
        require_pillow(contract.features)
        ignores_unknown = settings.unknown_fields == "ignore"
        self.ignores_unknown_fields = ignores_unknown
        self.row_id = RowId.of_setting(settings.row_id, contract) if settings.row_id else None
        self._decoder = Decoder(contract, ignores_unknown, self.row_id)
        self._table_reader = TableReader(contract, ignores_unknown, self.row_id)
        self._build_columns = ColumnBuilder(contract.features)
        self._find_warnings = WarningFinder(contract, artifact.reference)
        self.capture = self._create_capture() if settings.capture else None
        self.shadow = self._create_shadow() if settings.shadow else None
        self.listeners: Sequence[TrafficListener] = [each for each in (self.shadow, self.capture) if each]
        self._prediction_rows = contract.output.predictions
        self._prediction_columns = contract.output.columns
        self._encode = msgspec.json.Encoder().encode
        model = {"name": artifact.manifest.name, "version": artifact.manifest.version}
        self._answer_end = b',"model":' + self._encode(model) + b"}"

    def _create_capture(self) -> "Capture":
        # Servers without capture do not load Arrow.
        from model_deployer.serving.capture.capture import Capture, hash_key  # noqa: PLC0415
        from model_deployer.serving.capture.traffic_table import TrafficTable  # noqa: PLC0415

        artifact, settings = self.artifact, self._settings
        key = hash_key(settings, artifact)
        table = TrafficTable(artifact.contract, artifact.reference, key, self._batch_columns, self._ids)
        return Capture(settings, artifact, self.metrics, table)

    def _create_shadow(self) -> "Shadow | None":
        from model_deployer.serving.shadow.shadow import ShadowedModel, create_shadow  # noqa: PLC0415 (as above)

        model = ShadowedModel(self.artifact, self._batch_columns, self._ids, self._is_busy)
        return create_shadow(self._settings, model, self.metrics)

    def _is_busy(self) -> bool:
        """Return whether rows wait for the engine, or a fallback answers."""
        return self._batcher.queued_rows > 0 or self.degraded is not None

    def start(self, engine: Engine) -> None:
        """Warm the engine up, check that it reproduces the golden predictions, and accept requests.

        Raises:
            ArtifactError: if the model does not reproduce its golden predictions on this machine.
        """
        self._engine = engine
        golden_columns = self.replay(engine)
        batch_rows = self.artifact.contract.batch_rows
        engine.tune(_repeat_rows(golden_columns, batch_rows))
        self._batcher: Batcher[Rows] = Batcher(
            self._run_batch, self.metrics.count_batch, batch_rows, engine.inline_rows, self._settings.queue_rows
        )
        self._batcher.is_alone = lambda: self.deadlines.is_alone
        self._unpack = formats.Unpacker(self.artifact.contract.limits)
        self.background.start()
        if self.capture:
            self.capture.start()
        if self.shadow:
            self.shadow.start()
        # The objects that exist now are permanent. Without freeze(), each full collection would traverse them again and
        # delay requests by tens of milliseconds.
        gc.collect()
        gc.freeze()
        self.ready = True

    def show_life(self) -> None:
        """Show in the metrics that this worker is alive, and how much it has to do."""
        self.metrics.show_life(self.deadlines.count, self._batcher.queued_rows)

    # The path of a request

    async def answer(
        self, body: bytes, media_type: str = JSON, response_media_type: str = JSON, *, with_warnings: bool = False
    ) -> bytes:
        """Return the response body for a request body. Rows are answered with rows, and a table with a table.

        Args:
            body: Rows or columns as JSON, or a table in an Arrow format or Parquet.
            media_type: The media type of the body.
            response_media_type: The media type of the response body.
            with_warnings: Whether a response body in JSON has warnings about values that the training data does not
                have.

        Raises:
            RequestError: if the request gets no prediction; its subclass and message say why. The caller turns it into
                the error response of the client's protocol.
        """
        try:
            rows = await self._read(body, media_type)
        except InvalidRows as error:
            self.metrics.count_problems(error)
            raise
        is_table = media_type != JSON or self._decoder.is_columnar(body)
        predicted = Predicted(await self.predict_checked(self._compact(rows)), self._ids(rows))
        warned_rows = rows if with_warnings else None
        encode = partial(self._encode_answer, predicted, response_media_type, is_table, warned_rows)
        return await self.background.run_if_many(len(rows), encode)

    async def _read(self, body: bytes, media_type: str) -> Rows:
        """Read a small body at once, and a large one in the background."""
        if media_type != JSON:
            return await self._read_table(body, media_type)
        size = sys.maxsize if self._always_in_background else len(body)
        return await self.background.run_if_large(size, lambda: self._compact(self._decoder(body)))

    def _encode_answer(self, predicted: Predicted, media_type: str, is_table: bool, warned_rows: Rows | None) -> bytes:
        if media_type != JSON:
            return formats.write(self._columns(predicted), media_type)
        end = self._answer_end if warned_rows is None else self._encode_warnings(warned_rows) + self._answer_end
        if is_table:
            return b'{"columns":' + self._encode(_to_lists(self._columns(predicted))) + end
        return b'{"predictions":' + self._encode(self.predictions(predicted)) + end

    def predictions(self, predicted: Predicted) -> list[dict[str, Any]]:
        """Return the service's own prediction of each row, with the caller's id of the row if it has one."""
        predictions = self._prediction_rows(predicted.outputs)
        if self.row_id and predicted.ids:
            row_id.add_to_predictions(predictions, self.row_id.name, predicted.ids)
        return predictions

    def _columns(self, predicted: Predicted) -> Mapping[str, Any]:
        columns: dict[str, Any] = self._prediction_columns(predicted.outputs)
        if self.row_id and predicted.ids:
            columns[self.row_id.name] = row_id.with_one_type(predicted.ids)
        return columns

    def _ids(self, rows: Rows) -> row_id.Ids | None:
        """Return the callers' ids of rows; None if they have none."""
        if self.row_id is None:
            return None
        return rows.ids if isinstance(rows, Table) else row_id.present([row[-1] for row in rows])

    def _encode_warnings(self, rows: Rows) -> bytes:
        listed, count = self._find_warnings(self._batch_columns([rows]))
        return b',"warnings":' + self._encode(listed) + b',"warning_count":' + self._encode(count)

    async def _read_table(self, body: bytes, media_type: str) -> Table:
        """Read an Arrow stream directly, and any other table after a separate process has converted it to one."""
        if media_type == formats.STREAM:
            with suppress(CompressedStream):
                return await self._read_stream(body)
        return await self._read_stream(await self._unpack(body, media_type))

    async def _read_stream(self, stream: bytes) -> Table:
        is_small = len(stream) <= _INLINE_STREAM_BYTES and not self._always_in_background
        return self._table_reader(stream) if is_small else await self.background.run(self._table_reader, stream)

    def _compact(self, rows: Rows) -> Rows:
        """Turn many rows into columns: queued, they take a quarter of the memory and are sliced without copying.

        Few rows become columns together with those of other requests.
        """
        if isinstance(rows, Table) or len(rows) * self._row_weight <= INLINE_ROWS:
            return rows
        return self._decoder.table(rows)

    def _run_batch(self, payloads: Sequence[Rows]) -> Arrays:
        """Run the engine on the rows of several requests and return its output tensors, [rows, n] each.

        Raises:
            InvalidRows: if the model refuses rows, numbered within all of them.
        """
        columns = self._batch_columns(payloads)
        outputs = require_numbers(self._engine.run(columns))
        self.metrics.sample(columns, outputs, sum(map(len, payloads)))
        return outputs

    def _batch_columns(self, payloads: Sequence[Rows]) -> Columns:
        """Return the columns of a batch; the rows of different requests become columns together."""
        lists = [payload for payload in payloads if not isinstance(payload, Table)]
        if len(lists) == len(payloads):
            return self._build_columns(list(chain.from_iterable(lists)))
        return concatenate_columns(
            [payload.columns if isinstance(payload, Table) else self._build_columns(payload) for payload in payloads]
        )

    # The same path for translators of other protocols, which read the body and write the response themselves

    async def predict(self, rows: Sequence[Any]) -> Arrays:
        """Return the output tensors for rows that are not validated yet.

        Args:
            rows: JSON objects, one per row, with a value for each field.

        Returns:
            The graph's output tensors by name: float32 arrays, [rows, n].

        Raises:
            RequestError: as for :meth:`answer`.
        """
        return (await self.predict_with_ids(rows)).outputs

    async def predict_with_ids(self, rows: Sequence[Any]) -> Predicted:
        """Return the output tensors and the callers' ids of the rows; otherwise as :meth:`predict`."""
        return await self._predict(self._validate_rows(rows))

    async def predict_checked(self, rows: Rows) -> Arrays:
        """Return the output tensors for rows that were validated when they were decoded; otherwise as :meth:`predict`.

        Args:
            rows: Rows in the form that :class:`serving.rows.decoding.Decoder` returns; more than 64 of them as a table.
        """
        record = current_request.get()
        if record:
            record.rows = len(rows)
        try:
            outputs = await self._batcher(rows)
        except InvalidRows as error:  # the model itself refuses what the contract accepts
            self.metrics.count_problems(error)
            raise
        if record and self.listeners:
            self._offer(record, rows, outputs)
        return outputs

    def _offer(self, record: RequestRecord, rows: Rows, outputs: Arrays) -> None:
        """Let the listeners take answered rows; they keep them when the answer is sent."""
        degraded = self._engine.degraded is not None
        record.taken = ()
        for listener in self.listeners:
            if taken := listener.take(rows, outputs, degraded):
                record.taken += (taken,)

    async def predict_table(self, columns: Mapping[str, Column]) -> Arrays:
        """Return the output tensors for columns that are not validated yet; otherwise as :meth:`predict`.

        Args:
            columns: The columns by field, all of the same length.
        """
        return (await self._predict(self._validate_columns(columns))).outputs

    async def predict_file(self, body: bytes, media_type: str) -> Predicted:
        """Predict a table in an Arrow format or Parquet; otherwise as :meth:`predict_with_ids`."""
        return await self._predict(self._read_table(body, media_type))

    async def _predict(self, reading: Awaitable[Rows]) -> Predicted:
        try:
            rows = await reading
        except InvalidRows as error:
            self.metrics.count_problems(error)
            raise
        return Predicted(await self.predict_checked(self._compact(rows)), self._ids(rows))

    async def _validate_rows(self, rows: Sequence[Any]) -> Rows:
        size = len(rows) * self._row_weight
        return await self.background.run_if_many(size, lambda: self._compact(self._decoder.objects(rows)))

    async def _validate_columns(self, columns: Mapping[str, Column]) -> Rows:
        size = max((column.values.size for column in columns.values()), default=0) * self._row_weight
        return await self.background.run_if_many(size, self._table_reader.table, columns)

    # The same path for callers in this process

    async def answer_in_time(self, body: bytes) -> bytes:
        """Do the same as :meth:`answer` for JSON, within the model's time limit. The gateway has its own deadlines.

        Raises:
            DeadlineExceeded: if the time is up.
        """
        seconds = self.artifact.contract.limits.timeout_seconds
        try:
            with self.deadlines.within(seconds):
                return await self.answer(body)
        except TimeoutError:
            raise DeadlineExceeded(seconds) from None

    # Load and state

    @property
    def degraded(self) -> str | None:
        """Why a fallback answers instead of the configured engine; None while the engine answers."""
        return self._engine.degraded

    @property
    def unavailable(self) -> str | None:
        """Why no request is answered now; None while the engine or a fallback answers."""
        return self._engine.unavailable

    @property
    def waiting_seconds(self) -> float:
        """The estimated seconds until all queued rows are processed, and all bodies read; 0 before the start."""
        return self._batcher.waiting_seconds + self.background.waiting_seconds if self.ready else 0.0

    def refusal(self, seconds: float, body_bytes: int) -> Overloaded | None:
        """Return the error for a request that would wait too long, or None.

        Args:
            seconds: The time left for the request. A large body is refused if those before it take more than a quarter
                of it to be read; see also :meth:`Batcher.refusal`.
            body_bytes: The size of its body.
        """
        if body_bytes > INLINE_BYTES and self.background.waiting_seconds > seconds / 4:
            return Overloaded(
                "the waiting requests take longer to read than the time allowed for this one; "
                "send the request again in a moment"
            )
        return self._batcher.refusal(seconds)

    def close(self) -> None:
        """Accept no more requests and stop the threads."""
        self.ready = False
        self._batcher.close()
        self._engine.close()
        self.background.close()
        if self.capture:
            self.capture.close()
        if self.shadow:
            self.shadow.close()

    # The check before the first request

    def replay(self, engine: Engine) -> Columns:
        """Check that an engine reproduces every golden prediction: each row alone, and all rows as one batch.

        Returns:
            The columns of the golden rows: one array per feature, [rows, *shape].

        Raises:
            ArtifactError: if it does not reproduce the golden predictions on this machine.
        """
        cases = list(self.artifact.golden())
        requests = [self._decoder(json.dumps({"rows": [case.row]}).encode()) for case in cases]
        columns = self._batch_columns(requests)
        batch_predictions = self._prediction_rows(engine.run_locally(columns))
        for case, request, batch_prediction in zip(cases, requests, batch_predictions, strict=True):
            (single_prediction,) = self._prediction_rows(engine.run_locally(self._batch_columns([request])))
            self._compare(case, single_prediction)
            self._compare(case, batch_prediction)
        logger.info("golden predictions reproduced", extra={"model": self.artifact.tag, "cases": len(cases)})
        return columns

    def _compare(self, case: Golden, prediction: dict[str, Any]) -> None:
        if not self.artifact.contract.output.agree(case.prediction, prediction, self.artifact.manifest.tolerance):
            raise ArtifactError(
                f"{self.artifact.tag} answers the golden case '{case.case}' differently from when it was saved; "
                "do not serve it: compare the onnxruntime versions, or make the model again on this platform"
            )


def _to_lists(columns: Mapping[str, list[str] | NDArray[Any]]) -> dict[str, list[Any]]:
    return {name: column.tolist() if isinstance(column, np.ndarray) else column for name, column in columns.items()}


def _repeat_rows(columns: Columns, rows: int) -> Columns:
    """Repeat the rows of columns until there are ``rows`` of them: arrays of [rows, *shape]."""
    return {name: np.resize(array, (rows, *array.shape[1:])) for name, array in columns.items()}
