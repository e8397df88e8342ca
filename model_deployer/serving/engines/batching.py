"""Requests that arrive together, or while the engine is busy, go to it together: batches without a timer.

What arrives in one turn of the event loop is one batch. A small one runs at once, in the loop: the way to a thread and
back would cost more than the model does. A large one runs in a thread, so that the loop goes on answering; what arrives
meanwhile is gathered, and goes next. A lone request waits for nothing.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.errors import Overloaded, PredictionFailed
from model_deployer.serving.engines.event_loop import running_loop

Arrays = Mapping[str, NDArray[Any]]

_FULL = "too many rows are waiting; send the request again in a moment"

#: What the batches of before still count, when a new one tells the pace of work.
_MEMORY = 0.9

#: How many times longer than expected a batch may count: a lone stall says nothing about the next batch.
_SURPRISE = 4


class Payload(Protocol):
    """Rows in whatever form the engine takes: they can be counted and cut."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> Any: ...


P = TypeVar("P", bound=Payload)


class Batch(NamedTuple):
    """What is known of a batch when it begins.

    ``rows`` counts them; ``waits`` holds the seconds that each of its parts has waited.
    """

    rows: int
    waits: list[float]


class _Part(NamedTuple):
    """At most a batch of a request's rows, and who waits for their answer."""

    payload: Any
    answer: "asyncio.Future[Arrays]"
    arrived: float


class _Pace:
    """How long a row takes from batch to batch, with all that happens in between, learnt while work waits."""

    def __init__(self) -> None:
        self._rows = 0.0
        self._seconds = 0.0
        self._last = 0.0

    def begin(self, now: float) -> None:
        """Work begins after a rest."""
        self._last = now

    def ended(self, rows: int, now: float, more_waits: bool) -> None:
        """A batch has ended. Only where the next one waits for it does its time say what the next will take."""
        if more_waits:
            seconds = now - self._last
            if self._rows:
                seconds = min(seconds, _SURPRISE * self.seconds(rows))
            self._rows = _MEMORY * self._rows + rows
            self._seconds = _MEMORY * self._seconds + seconds
        self._last = now

    def seconds(self, rows: int) -> float:
        """What ``rows`` rows will take; 0 where nothing is known yet."""
        return rows * self._seconds / self._rows if self._rows else 0.0


class Batcher(Generic[P]):
    """Runs ``engine`` on gathered rows, one batch at a time.

    Args:
        engine: Payloads to output arrays, whose rows are those of the first payload, then of the second...
        observe: Told of every batch before it runs.
        batch_rows: Most rows of one batch; a larger request is split and put together again.
        inline_rows: Most rows of a batch that runs in the event loop.
        queue_rows: Most rows that may wait; beyond it a request is refused at once.
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
        self._waiting: deque[_Part] = deque()
        self._waiting_rows = 0
        self._suspects: deque[_Part] = deque()
        self._busy = False
        self._pace = _Pace()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine")

    @property
    def waiting_seconds(self) -> float:
        """How long what waits will take, as far as the pace of work is known."""
        return self._pace.seconds(self._waiting_rows)

    def refusal(self, seconds: float) -> Overloaded | None:
        """Whether a request would wait in vain; to be asked before its body is decoded.

        Args:
            seconds: Left to the request. Where those before it take more than a quarter of that, its answer may come
                too late, and the work on it would be lost to the others.
        """
        if self.waiting_seconds > seconds / 4:
            return Overloaded("more work waits than fits into the time allowed; send the request again in a moment")
        if self._waiting_rows >= self._queue_rows:
            return Overloaded(_FULL)
        return None

    async def __call__(self, payload: P) -> Arrays:
        """The outputs for the rows of ``payload``, at least one, in their order. Cancelled, it leaves the queue.

        Raises:
            Overloaded: Too many rows wait already; nothing was done.
            PredictionFailed: The engine failed on these very rows.
        """
        rows = len(payload)
        # A request larger than the queue is still served when nothing waits: it could never be served otherwise.
        if self._waiting_rows and self._waiting_rows + rows > self._queue_rows:
            raise Overloaded(_FULL)
        if rows <= self._batch_rows:
            return await self._put(payload, rows)
        starts = range(0, rows, self._batch_rows)
        parts = [self._put(payload[start : start + self._batch_rows], self._batch_rows) for start in starts]
        try:
            return concatenate_columns(await asyncio.gather(*parts))
        finally:
            for part in parts:
                part.cancel()

    def close(self) -> None:
        """End the engine's thread after the batch that it is running."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _put(self, payload: P, rows: int) -> "asyncio.Future[Arrays]":
        loop = running_loop()
        part = _Part(payload, loop.create_future(), loop.time())
        self._waiting.append(part)
        self._waiting_rows += len(payload)
        if not self._busy:
            self._busy = True
            self._pace.begin(part.arrived)
            loop.call_soon(self._next, loop)
        return part.answer

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run what waits, or rest until something does."""
        batch = self._gather()
        if not batch:
            self._busy = False
            return
        payloads = [part.payload for part in batch]
        began = loop.time()
        rows = sum(map(len, payloads))
        self._observe(Batch(rows, [began - part.arrived for part in batch]))
        if rows <= self._inline_rows:
            self._settle(batch, self._attempt(payloads), rows, loop)
        else:
            attempt = loop.run_in_executor(self._thread, self._attempt, payloads)
            attempt.add_done_callback(lambda done: self._settle(batch, done.result(), rows, loop))

    def _gather(self) -> list[_Part]:
        """The next batch: as many parts as fit, or a part of a failed batch by itself."""
        while self._suspects:
            if not (suspect := self._suspects.popleft()).answer.done():
                return [suspect]
        batch: list[_Part] = []
        room = self._batch_rows
        while self._waiting and len(self._waiting[0].payload) <= room:
            part = self._waiting.popleft()
            rows = len(part.payload)
            self._waiting_rows -= rows
            if not part.answer.done():  # else its client went away, or its time is up
                batch.append(part)
                room -= rows
        return batch

    def _attempt(self, payloads: Sequence[P]) -> Arrays | Exception:
        try:
            return self._engine(payloads)
        except Exception as error:
            return error

    def _settle(
        self, batch: list[_Part], outputs: Arrays | Exception, rows: int, loop: asyncio.AbstractEventLoop
    ) -> None:
        """Hand out the answers; of a batch that failed, try each part alone, so that only the one at fault fails."""
        if not isinstance(outputs, Exception):
            self._hand_out(batch, outputs)
        elif len(batch) > 1:
            self._suspects.extend(batch)
        elif not batch[0].answer.done():
            failure = PredictionFailed("the model could not answer these rows; report it with the request id")
            failure.__cause__ = outputs
            batch[0].answer.set_exception(failure)
        self._pace.ended(rows, loop.time(), more_waits=bool(self._waiting))
        loop.call_soon(self._next, loop)

    def _hand_out(self, batch: list[_Part], outputs: Arrays) -> None:
        if len(batch) == 1:
            if not batch[0].answer.done():
                batch[0].answer.set_result(outputs)
            return
        start = 0
        for part in batch:
            end = start + len(part.payload)
            if not part.answer.done():
                part.answer.set_result({name: array[start:end] for name, array in outputs.items()})
            start = end


def concatenate_columns(parts: Sequence[Arrays]) -> Arrays:
    """Arrays of the same names, one below the other."""
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
