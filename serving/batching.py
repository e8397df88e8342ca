"""Requests that arrive together, or while the engine is busy, go to it together: batches without a timer.

What arrives in one turn of the event loop is one batch. A small one runs at once, in the loop: the way to a thread and
back would cost more than the model does. A large one runs in a thread, so that the loop goes on answering; what arrives
meanwhile is gathered, and goes next. A lone request waits for nothing.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.errors import DeadlineExceeded, Overloaded, PredictionFailed
from serving.columns import Columns

Arrays = dict[str, NDArray[Any]]
Engine = Callable[[Columns], Arrays]


class _Request:
    """What one caller waits for: the answers to all parts of its rows."""

    __slots__ = ("answer", "missing", "parts")

    def __init__(self, parts: int, loop: asyncio.AbstractEventLoop) -> None:
        self.answer: asyncio.Future[Arrays] = loop.create_future()
        self.parts: list[Arrays] = [{}] * parts
        self.missing = parts

    def settle(self, place: int, part: Arrays) -> None:
        """Take the answer to one part; the last one completes the request."""
        self.parts[place] = part
        self.missing -= 1
        if not self.missing and not self.answer.done():
            self.answer.set_result(_join(self.parts))

    def fail(self, error: Exception) -> None:
        """End the request, whatever is still to come."""
        if not self.answer.done():
            self.answer.set_exception(error)


class _Part:
    """At most a batch of a request's rows."""

    __slots__ = ("columns", "place", "request", "rows")

    def __init__(self, request: _Request, place: int, columns: Columns, rows: int) -> None:
        self.request = request
        self.place = place
        self.columns = columns
        self.rows = rows


class Batcher:
    """Runs ``engine`` on gathered rows, one batch at a time.

    Args:
        engine: Columns of any number of rows to output arrays with as many.
        batch_rows: Most rows of one batch; a larger request is split and put together again.
        inline_rows: Most rows of a batch that runs in the event loop.
        queue_rows: Most rows that may wait; beyond it a request is refused at once.
    """

    def __init__(self, engine: Engine, batch_rows: int = 512, inline_rows: int = 32, queue_rows: int = 50_000) -> None:
        self._engine = engine
        self._batch_rows = batch_rows
        self._inline_rows = inline_rows
        self._queue_rows = queue_rows
        self._waiting: deque[_Part] = deque()
        self._waiting_rows = 0
        self._suspects: deque[_Part] = deque()
        self._busy = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine")

    async def __call__(self, columns: Columns, rows: int, seconds: float) -> Arrays:
        """The outputs for ``rows`` rows, in their order.

        Args:
            columns: One array a feature, of ``rows`` rows.
            rows: At least 1.
            seconds: After which nobody waits for the answer any more.

        Raises:
            Overloaded: Too many rows wait already; nothing was done.
            DeadlineExceeded: The seconds have passed; what had not begun was left undone.
            PredictionFailed: The engine failed on these very rows.
        """
        # A request larger than the queue is still served when nothing waits: it could never be served otherwise.
        if self._waiting_rows and self._waiting_rows + rows > self._queue_rows:
            raise Overloaded("too many rows are waiting; send the request again in a moment")
        loop = asyncio.get_running_loop()
        parts = _split(columns, rows, self._batch_rows)
        request = _Request(len(parts), loop)
        self._waiting.extend(_Part(request, place, *part) for place, part in enumerate(parts))
        self._waiting_rows += rows
        if not self._busy:
            self._busy = True
            loop.call_soon(self._next, loop)
        timer = loop.call_later(seconds, _expire, request, seconds)
        try:
            return await request.answer
        finally:
            timer.cancel()

    def close(self) -> None:
        """End the engine's thread after the batch that it is running."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run what waits, or rest until something does."""
        batch = self._gather()
        if not batch:
            self._busy = False
            return
        columns = _join([part.columns for part in batch])
        if sum(part.rows for part in batch) > self._inline_rows:
            running = loop.run_in_executor(self._thread, self._attempt, columns)
            running.add_done_callback(lambda done: self._settle(batch, done.result(), loop))
        else:
            self._settle(batch, self._attempt(columns), loop)

    def _gather(self) -> list[_Part]:
        """The next batch: as many parts as fit, or a part of a failed batch by itself."""
        while self._suspects:
            if not (suspect := self._suspects.popleft()).request.answer.done():
                return [suspect]
        batch: list[_Part] = []
        rows = 0
        while self._waiting and rows + self._waiting[0].rows <= self._batch_rows:
            part = self._waiting.popleft()
            self._waiting_rows -= part.rows
            if not part.request.answer.done():  # else its client went away, or its time is up
                batch.append(part)
                rows += part.rows
        return batch

    def _attempt(self, columns: Columns) -> Arrays | Exception:
        try:
            return self._engine(columns)
        except Exception as error:
            return error

    def _settle(self, batch: list[_Part], outputs: Arrays | Exception, loop: asyncio.AbstractEventLoop) -> None:
        """Hand out the answers; of a batch that failed, try each part alone, so that only the one at fault fails."""
        if not isinstance(outputs, Exception):
            start = 0
            for part in batch:
                part.request.settle(part.place, outputs if len(batch) == 1 else _slice(outputs, start, part.rows))
                start += part.rows
        elif len(batch) > 1:
            self._suspects.extend(batch)
        else:
            failure = PredictionFailed("the model could not answer these rows; report it with the request id")
            failure.__cause__ = outputs
            batch[0].request.fail(failure)
        loop.call_soon(self._next, loop)


def _expire(request: _Request, seconds: float) -> None:
    request.fail(DeadlineExceeded(f"no answer within {seconds:g} seconds; try again with fewer rows"))


def _split(columns: Columns, rows: int, size: int) -> list[tuple[Columns, int]]:
    if rows <= size:
        return [(columns, rows)]
    return [(_slice(columns, start, size), min(size, rows - start)) for start in range(0, rows, size)]


def _slice(columns: Columns, start: int, rows: int) -> Arrays:
    return {name: array[start : start + rows] for name, array in columns.items()}


def _join(parts: Sequence[Columns]) -> Arrays:
    if len(parts) == 1:
        return dict(parts[0])
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
