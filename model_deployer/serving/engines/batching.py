"""Run requests that arrive together, or while the engine is busy, as one batch, without a timer.

Requests that arrive in the same iteration of the event loop form one batch. A small batch runs at once in the loop:
handing it to a thread and back would cost more than the model itself. A large batch runs in a thread, so that the loop
stays responsive; requests that arrive meanwhile form the next batch. Batches of small and of large requests alternate,
so that a small one waits for one batch of a large one, not for all of them. A lone request never waits for others: it
runs where it is.
"""

import asyncio
from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import accumulate
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from numpy.typing import NDArray

from model_deployer.contract.errors import InvalidRows, Overloaded, PredictionFailed, RequestError
from model_deployer.contract.tensor_batch import concatenated
from model_deployer.serving.engines.event_loop import running_loop

#: Arrays by name, all with the same number of rows in the first dimension.
Arrays = Mapping[str, NDArray[Any]]

_QUEUE_FULL = "too many rows are waiting; send the request again in a moment"

#: Decay per batch of the exponentially weighted average of the throughput.
_EWMA_DECAY = 0.9

#: The share of a batch up to which a request is small.
_SMALL_SHARE = 1 / 8

#: How many times longer than expected a batch may count: a single stall does not predict the next batch.
_OUTLIER_FACTOR = 4


class Payload(Protocol):
    """Rows in the form that the engine takes: they can be counted and sliced."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> Any: ...


P = TypeVar("P", bound=Payload)


class Batch(NamedTuple):
    """The size and the queueing times of a batch, known when it starts.

    Attributes:
        rows: The number of rows.
        wait_seconds: For each request (or part of a split request) in the batch, how long it was queued.
    """

    rows: int
    wait_seconds: list[float]


class _Chunk(NamedTuple):
    """At most one batch of a request's rows, and the future that receives their outputs."""

    payload: Any
    result: "asyncio.Future[Arrays]"
    arrived: float


class _ThroughputEstimate:
    """An exponentially weighted average of the time per row, overhead included, measured while work is queued."""

    def __init__(self) -> None:
        self._rows = 0.0
        self._seconds = 0.0
        self._last_end = 0.0

    def start(self, now: float) -> None:
        """Note that work starts after an idle period."""
        self._last_end = now

    def record(self, rows: int, now: float, has_backlog: bool) -> None:
        """Note that a batch has ended. It counts only if the next batch was already waiting for it."""
        if has_backlog:
            seconds = now - self._last_end
            if self._rows:
                seconds = min(seconds, _OUTLIER_FACTOR * self.seconds_for(rows))
            self._rows = _EWMA_DECAY * self._rows + rows
            self._seconds = _EWMA_DECAY * self._seconds + seconds
        self._last_end = now

    def seconds_for(self, rows: int) -> float:
        """Return the estimated seconds for ``rows`` rows; 0 before the first measurement."""
        return rows * self._seconds / self._rows if self._rows else 0.0


class Batcher(Generic[P]):
    """Runs ``engine`` on the rows of concurrent requests, one batch at a time.

    Args:
        engine: Turns payloads into output arrays, whose rows are those of the first payload, then of the second...
        observe: Called with each batch before it runs.
        batch_rows: The maximum number of rows in one batch; a larger request is split, and its outputs are joined.
        inline_rows: The maximum number of rows in a batch that runs in the event loop.
        queue_rows: The maximum number of rows that may wait; a request that exceeds it is refused at once.

    Attributes:
        is_alone: Returns whether no other request can join the one that calls, which then runs at once; never by
            default.
    """

    def __init__(
        self,
        engine: Callable[[Sequence[P]], Arrays],
        observe: Callable[[Batch], None],
        batch_rows: int = 512,
        inline_rows: int = 32,
        queue_rows: int = 50_000,
    ) -> None:
        self._engine = engine
        self._observe = observe
        self._batch_rows = batch_rows
        self._inline_rows = inline_rows
        self._queue_rows = queue_rows
        self.is_alone: Callable[[], bool] = lambda: False
        self._small: deque[_Chunk] = deque()
        self._large: deque[_Chunk] = deque()
        self._is_turn_of_large = False
        self._queued_rows = 0
        self._retries: deque[list[_Chunk]] = deque()
        self._busy = False
        self._throughput = _ThroughputEstimate()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine")

    @property
    def waiting_seconds(self) -> float:
        """The estimated seconds until all queued rows are processed; 0 before the first measurement."""
        return self._throughput.seconds_for(self._queued_rows)

    @property
    def queued_rows(self) -> int:
        """The number of rows that wait for the engine."""
        return self._queued_rows

    def refusal(self, seconds: float) -> Overloaded | None:
        """Return the error for a request that the queue leaves too little time for, or None if it may wait.

        Call it before decoding the body.

        Args:
            seconds: The time left for the request. If the queued work takes more than a quarter of it, the answer may
                come too late, and the other requests would have waited for useless work.
        """
        if self.waiting_seconds > seconds / 4:
            return Overloaded(
                "the waiting requests take longer than the time allowed for this one; "
                "send the request again in a moment"
            )
        if self._queued_rows >= self._queue_rows:
            return Overloaded(_QUEUE_FULL)
        return None

    async def __call__(self, payload: P) -> Arrays:
        """Return the outputs for the rows of ``payload`` (at least one), in their order.

        If the call is cancelled, its rows leave the queue.

        Raises:
            Overloaded: if too many rows are waiting already; no work was done.
            PredictionFailed: if the engine failed on these rows.
            Unavailable: if the process of the engine is not there.
        """
        rows = len(payload)
        if rows <= self._inline_rows and not self._busy and self.is_alone():
            return self._run_alone(payload, rows)
        # A request larger than the queue is still accepted when the queue is empty: it could never be served otherwise.
        if self._queued_rows and self._queued_rows + rows > self._queue_rows:
            raise Overloaded(_QUEUE_FULL)
        if rows <= self._batch_rows:
            return await self._enqueue(payload)
        starts = range(0, rows, self._batch_rows)
        results = [self._enqueue(payload[start : start + self._batch_rows]) for start in starts]
        try:
            return concatenate_columns(await asyncio.gather(*map(_of_part, results, starts)))
        finally:
            for result in results:
                result.cancel()

    def close(self) -> None:
        """Stop the engine's thread after the batch that it is running."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _run_alone(self, payload: P, rows: int) -> Arrays:
        """Run a request without the two iterations of the event loop that gather a batch and deliver its outputs."""
        self._observe(Batch(rows, [0.0]))
        outputs = self._run_engine([payload])
        if isinstance(outputs, Exception):
            raise _failure(outputs)
        return outputs

    def _enqueue(self, payload: P) -> "asyncio.Future[Arrays]":
        loop = running_loop()
        chunk = _Chunk(payload, loop.create_future(), loop.time())
        (self._small if len(payload) <= self._batch_rows * _SMALL_SHARE else self._large).append(chunk)
        self._queued_rows += len(payload)
        if not self._busy:
            self._busy = True
            self._throughput.start(chunk.arrived)
            loop.call_soon(self._run_next_batch, loop)
        return chunk.result

    def _run_next_batch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run the queued rows, or become idle if there are none."""
        batch = self._take_batch()
        if not batch:
            self._busy = False
            return
        payloads = [chunk.payload for chunk in batch]
        start = loop.time()
        rows = sum(map(len, payloads))
        self._observe(Batch(rows, [start - chunk.arrived for chunk in batch]))
        if rows <= self._inline_rows:
            self._complete(batch, self._run_engine(payloads), rows, loop)
        else:
            run = loop.run_in_executor(self._thread, self._run_engine, payloads)
            run.add_done_callback(lambda ended: self._complete(batch, ended.result(), rows, loop))

    def _take_batch(self) -> list[_Chunk]:
        """Take the next batch from the queue: as many chunks as fit, or chunks of a batch that failed."""
        while self._retries:
            if retried := [chunk for chunk in self._retries.popleft() if not chunk.result.done()]:
                return retried
        batch: list[_Chunk] = []
        while not batch and (queue := self._next_queue()):
            free_rows = self._batch_rows
            while queue and len(queue[0].payload) <= free_rows:
                chunk = queue.popleft()
                rows = len(chunk.payload)
                self._queued_rows -= rows
                if not chunk.result.done():  # done: its client disconnected, or its deadline has passed
                    batch.append(chunk)
                    free_rows -= rows
        return batch

    def _next_queue(self) -> deque[_Chunk]:
        """Return the queue whose turn it is; if it is empty, the other one."""
        queues = (self._large, self._small) if self._is_turn_of_large else (self._small, self._large)
        queue = queues[0] or queues[1]
        self._is_turn_of_large = queue is self._small
        return queue

    def _run_engine(self, payloads: Sequence[P]) -> Arrays | Exception:
        try:
            return self._engine(payloads)
        except Exception as error:
            return error

    def _complete(
        self, batch: list[_Chunk], outputs: Arrays | Exception, rows: int, loop: asyncio.AbstractEventLoop
    ) -> None:
        """Deliver the outputs; if the batch failed, schedule its chunks again, so that only the faulty ones fail."""
        if not isinstance(outputs, Exception):
            self._deliver(batch, outputs)
        elif len(batch) == 1:
            if not batch[0].result.done():
                batch[0].result.set_exception(_failure(outputs))
        elif refused := _refusals(batch, outputs):
            self._refuse(batch, refused)
        else:
            self._retries.extend([chunk] for chunk in batch)
        self._throughput.record(rows, loop.time(), has_backlog=bool(self._small or self._large))
        loop.call_soon(self._run_next_batch, loop)

    def _deliver(self, batch: list[_Chunk], outputs: Arrays) -> None:
        if len(batch) == 1:
            if not batch[0].result.done():
                batch[0].result.set_result(outputs)
            return
        start = 0
        for chunk in batch:
            end = start + len(chunk.payload)
            if not chunk.result.done():
                chunk.result.set_result({name: array[start:end] for name, array in outputs.items()})
            start = end

    def _refuse(self, batch: list[_Chunk], refused: Mapping[int, InvalidRows]) -> None:
        """Fail some chunks of a batch, by their index, and schedule the others again, together."""
        for index, error in refused.items():
            if not batch[index].result.done():
                batch[index].result.set_exception(error)
        if others := [chunk for index, chunk in enumerate(batch) if index not in refused]:
            self._retries.append(others)


def _refusals(batch: list[_Chunk], error: Exception) -> dict[int, InvalidRows]:
    """Return the error of each chunk whose rows the model refuses, by its index.

    There is none if the model did not refuse rows, or if not all of them are listed.
    """
    if not isinstance(error, InvalidRows) or error.total > len(error.problems):
        return {}
    starts = [0, *accumulate(len(chunk.payload) for chunk in batch)]
    problems = defaultdict(list)
    for problem in error.problems:
        index = bisect_right(starts, problem.row) - 1
        problems[index].append(replace(problem, row=problem.row - starts[index]))
    return {index: InvalidRows(listed, len(listed)) for index, listed in problems.items() if 0 <= index < len(batch)}


async def _of_part(result: "asyncio.Future[Arrays]", start: int) -> Arrays:
    """Return the outputs of a part of a request; refused rows are numbered within the whole request."""
    try:
        return await result
    except InvalidRows as error:
        problems = [replace(problem, row=start + problem.row) for problem in error.problems]
        raise InvalidRows(problems, error.total) from None


def _failure(error: Exception) -> RequestError:
    """Return the error that a caller gets: that of the engine, if it is one for callers."""
    if isinstance(error, RequestError):
        return error
    failure = PredictionFailed("the model failed on these rows; report this with the request id")
    failure.__cause__ = error
    return failure


def concatenate_columns(parts: Sequence[Arrays]) -> Arrays:
    """Concatenate arrays of the same names along the rows (the first dimension).

    Smaller sequences and tensors get NaN after their ends.
    """
    if len(parts) == 1:
        return parts[0]
    return {name: concatenated([part[name] for part in parts]) for name in parts[0]}
