"""The path of one request: bytes, rows, columns, batch, engine, predictions, bytes. Read :meth:`Predictor.answer`."""

import asyncio
import gc
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.artifact import Artifact, Golden
from model_deployer.contract.errors import ArtifactError, DeadlineExceeded, InvalidRows, Overloaded
from model_deployer.serving.config.settings import Settings
from model_deployer.serving.engines.batching import Arrays, Batcher, concatenate_columns
from model_deployer.serving.engines.engine import Engine
from model_deployer.serving.http.deadlines import Deadlines
from model_deployer.serving.observability.metrics import Metrics
from model_deployer.serving.rows import formats
from model_deployer.serving.rows.arrow import Column, CompressedStream
from model_deployer.serving.rows.columns import ColumnBuilder, Columns, Table
from model_deployer.serving.rows.decoding import Decoder, Rows
from model_deployer.serving.rows.formats import JSON
from model_deployer.serving.rows.tables import TableReader

logger = logging.getLogger("model_deployer")

R = TypeVar("R")

#: Most rows that go through the engine at once.
_BATCH_ROWS = 512

#: Rows of a request that are turned into columns at once; those of smaller ones are turned into columns together.
_MANY = 64

#: Bytes of a body, and of an Arrow stream, that is read in about the time that the way to a thread and back takes.
_SHORT_BODY = 16_384
_SHORT_STREAM = 131_072


class Predictor:
    """One model. It answers once :meth:`start` has held it to its golden predictions."""

    def __init__(self, artifact: Artifact, settings: Settings) -> None:
        contract = artifact.contract
        self.artifact = artifact
        self._settings = settings
        self.metrics = Metrics(artifact.tag, contract.names, artifact.reference)
        self.deadlines = Deadlines()
        self.ready = False
        self._decode = Decoder(contract)
        self._stack = ColumnBuilder(contract.features)
        self._read_stream = TableReader(contract)
        self._predictions = contract.output.predictions
        self._table = contract.output.columns
        self._agree = contract.output.agree
        self._encode = msgspec.json.Encoder().encode
        model = {"name": artifact.manifest.name, "version": artifact.manifest.version}
        self._end = b',"model":' + self._encode(model) + b"}"

    @property
    def degraded(self) -> str | None:
        """Why another engine answers than the one that was asked for; None while none does."""
        return self._engine.degraded

    @property
    def waiting_seconds(self) -> float:
        """How long what waits will take; 0 before the start."""
        return self._batch.waiting_seconds if self.ready else 0.0

    def start(self, engine: Engine) -> None:
        """Warm the engine up on the golden rows, compare its predictions, and take requests.

        Raises:
            ArtifactError: The model does not reproduce its golden predictions on this machine.
        """
        self._engine = engine
        golden = self.replay(engine)
        engine.tune(_repeated(golden, _BATCH_ROWS))
        self._batch: Batcher[Rows] = Batcher(
            self._run, self.metrics.count_batch, _BATCH_ROWS, engine.inline_rows, self._settings.queue_rows
        )
        self._unpack = formats.Unpacker(self.artifact.contract.limits)
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reader")
        # What is there now stays: to look through it again and again would hold up requests for tens of milliseconds.
        gc.collect()
        gc.freeze()
        self.ready = True

    def refusal(self, seconds: float) -> Overloaded | None:
        """Why a request is better refused before any work is done on it; see :meth:`Batcher.refusal`."""
        return self._batch.refusal(seconds)

    async def answer(self, body: bytes, media_type: str = JSON, wanted: str = JSON) -> bytes:
        """The answer to a request; rows are answered with rows, and a table with a table.

        Args:
            body: JSON, Arrow or Parquet.
            media_type: Which of them it is.
            wanted: Which of them the answer is to be.

        Raises:
            RequestError: One of its kinds, for whoever speaks to the client to put into that client's form.
        """
        try:
            if media_type == JSON:
                rows = self._decode.fast(body) or await self._slowly(self._decode.slow, body)
            else:
                rows = await self._read(body, media_type)
        except InvalidRows as error:
            self.metrics.count_problems(error)
            raise
        outputs = await self._batch(self._compact(rows))
        if wanted != JSON:
            return formats.write(self._table(outputs), wanted)
        if isinstance(rows, Table):
            return b'{"columns":' + self._encode(_plain(self._table(outputs))) + self._end
        return b'{"predictions":' + self._encode(self._predictions(outputs)) + self._end

    async def predict(self, rows: Sequence[Any]) -> Arrays:
        """The output tensors for rows that a translator read: a JSON object a row; raises as :meth:`answer`."""
        return await self._outputs(self._checked(rows))

    async def predict_checked(self, rows: Rows) -> Arrays:
        """The same for rows that were checked when they were decoded, as :mod:`serving.rows.decoding` does it."""
        return await self._batch(self._compact(rows))

    async def predict_table(self, columns: Mapping[str, Column]) -> Arrays:
        """The same for columns, all of the same length."""
        return await self._outputs(self._tabled(columns))

    async def predict_file(self, body: bytes, media_type: str) -> Arrays:
        """The same for a table in one of Arrow's formats or Parquet."""
        return await self._outputs(self._read(body, media_type))

    async def _outputs(self, reading: Awaitable[Rows]) -> Arrays:
        try:
            rows = await reading
        except InvalidRows as error:
            self.metrics.count_problems(error)
            raise
        return await self._batch(self._compact(rows))

    async def _checked(self, rows: Sequence[Any]) -> Rows:
        if len(rows) <= _MANY:
            return self._decode.objects(rows)
        return await asyncio.get_running_loop().run_in_executor(self._reader, self._decode.objects, rows)

    async def _tabled(self, columns: Mapping[str, Column]) -> Rows:
        return self._read_stream.table(columns)

    async def ask(self, body: bytes) -> bytes:
        """:meth:`answer`, within the time that the model allows; for callers that come by no socket.

        Raises:
            DeadlineExceeded: The time is up.
        """
        seconds = self.artifact.contract.limits.timeout_seconds
        try:
            with self.deadlines.within(seconds):
                return await self.answer(body)
        except TimeoutError:
            raise DeadlineExceeded(seconds) from None

    def close(self) -> None:
        """Take no more requests and let go of the engine's thread."""
        self.ready = False
        self._batch.close()
        self._engine.close()
        self._reader.shutdown(wait=False, cancel_futures=True)

    async def _slowly(self, read: Callable[[bytes], R], body: bytes, short: int = _SHORT_BODY) -> R:
        """A body that is not short is read in a thread, one at a time, so that everybody else gets answers."""
        if len(body) <= short:
            return read(body)
        return await asyncio.get_running_loop().run_in_executor(self._reader, read, body)

    async def _read(self, body: bytes, media_type: str) -> Table:
        if media_type == formats.STREAM:
            with suppress(CompressedStream):
                return await self._slowly(self._read_stream, body, _SHORT_STREAM)
        stream = await self._unpack(body, media_type)
        return await self._slowly(self._read_stream, stream, _SHORT_STREAM)

    def _compact(self, rows: Rows) -> Rows:
        """Many rows as columns: while they wait, they take a quarter of the memory, and are cut without copying."""
        return rows if isinstance(rows, Table) or len(rows) < _MANY else Table(self._stack(rows))

    def _run(self, payloads: Sequence[Rows]) -> Arrays:
        columns = self._columns(payloads)
        outputs = _finite(self._engine.run(columns))
        self.metrics.sample(columns, outputs, sum(map(len, payloads)))
        return outputs

    def _columns(self, payloads: Sequence[Rows]) -> Columns:
        """What a batch holds; rows that came in different requests are turned into columns together."""
        lists = [payload for payload in payloads if not isinstance(payload, Table)]
        if len(lists) == len(payloads):
            return self._stack(list(chain.from_iterable(lists)))
        return concatenate_columns(
            [each.columns if isinstance(each, Table) else self._stack(each) for each in payloads]
        )

    def replay(self, engine: Engine) -> Columns:
        """Hold an engine to every golden row alone, as a lone request sends it, and to all of them as a batch.

        Returns:
            The golden rows.

        Raises:
            ArtifactError: It does not reproduce the golden predictions on this machine.
        """
        golden = list(self.artifact.golden())
        requests = [self._decode(json.dumps({"rows": [case.row]}).encode()) for case in golden]
        columns = self._columns(requests)
        together = self._predictions(engine.run_locally(columns))
        for case, request, prediction in zip(golden, requests, together, strict=True):
            (alone,) = self._predictions(engine.run_locally(self._columns([request])))
            self._compare(case, alone)
            self._compare(case, prediction)
        logger.info("golden predictions reproduced", extra={"model": self.artifact.tag, "cases": len(golden)})
        return columns

    def _compare(self, case: Golden, prediction: dict[str, Any]) -> None:
        if not self._agree(case.prediction, prediction, self.artifact.manifest.tolerance):
            raise ArtifactError(
                f"{self.artifact.tag} answers the golden case '{case.case}' differently than when it was trained; "
                "do not serve it: compare the onnxruntime versions, or train again on this platform"
            )


def _plain(columns: Mapping[str, list[str] | NDArray[Any]]) -> dict[str, list[Any]]:
    return {name: column.tolist() if isinstance(column, np.ndarray) else column for name, column in columns.items()}


def _repeated(columns: Columns, rows: int) -> Columns:
    """As many rows as asked for, over and over the same."""
    return {name: np.resize(array, (rows, 1)) for name, array in columns.items()}


def _finite(outputs: Arrays) -> Arrays:
    """The outputs, where all are numbers: JSON has neither NaN nor infinity, and msgspec would write null."""
    if all(np.isfinite(array).all() for array in outputs.values()):
        return outputs
    raise ArithmeticError("the model answers with NaN or infinity")
