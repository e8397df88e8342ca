"""Requests that arrive while the engine is busy go to it together: batches without a timer.

A lone request waits for nothing. While one batch runs in the engine's thread, what arrives is gathered, and goes next.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.errors import Overloaded, PredictionFailed
from serving.columns import Columns

Arrays = dict[str, NDArray[Any]]


@dataclass(eq=False, slots=True)
class _Job:
    """Part of one request: at most a batch of its rows."""

    columns: Columns
    rows: int
    answer: "asyncio.Future[Arrays]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Batcher:
    """Runs ``engine`` on gathered rows, one batch at a time, in a thread of its own.

    Args:
        engine: Columns of any number of rows to output arrays with as many.
        batch_rows: Most rows of one batch; a larger request is split and put together again.
        queue_rows: Most rows that may wait; beyond it a request is refused at once.
    """

    def __init__(self, engine: Callable[[Columns], Arrays], batch_rows: int = 512, queue_rows: int = 50_000) -> None:
        self._engine = engine
        self._batch_rows = batch_rows
        self._queue_rows = queue_rows
        self._waiting: deque[_Job] = deque()
        self._waiting_rows = 0
        self._runner: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine")

    async def __call__(self, columns: Columns, rows: int) -> Arrays:
        """The outputs for ``rows`` rows, in their order.

        Raises:
            Overloaded: Too many rows wait already; nothing was done.
            PredictionFailed: The engine failed on these very rows.
        """
        # A request larger than the queue is still served when nothing waits: it could never be served otherwise.
        if self._waiting_rows and self._waiting_rows + rows > self._queue_rows:
            raise Overloaded("too many rows are waiting; send the request again in a moment")
        jobs = [_Job(part, size) for part, size in _split(columns, rows, self._batch_rows)]
        self._waiting.extend(jobs)
        self._waiting_rows += rows
        if self._runner is None:
            self._runner = asyncio.create_task(self._run_all())
        try:
            answers = await asyncio.gather(*(job.answer for job in jobs))
        finally:
            for job in jobs:  # after a failure or a client that went away, nobody waits for the rest
                job.answer.cancel()
        return _join(answers)

    def close(self) -> None:
        """End the engine's thread after the batch that it is running."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run_all(self) -> None:
        try:
            while batch := self._next_batch():
                await self._run(batch)
        finally:
            self._runner = None

    def _next_batch(self) -> list[_Job]:
        batch: list[_Job] = []
        rows = 0
        while self._waiting and rows + self._waiting[0].rows <= self._batch_rows:
            job = self._waiting.popleft()
            self._waiting_rows -= job.rows
            if not job.answer.done():
                batch.append(job)
                rows += job.rows
        return batch

    async def _run(self, batch: list[_Job]) -> None:
        try:
            outputs = await self._execute(_join([job.columns for job in batch]))
        except Exception as error:
            await self._run_apart(batch, error)
            return
        start = 0
        for job in batch:
            if not job.answer.done():
                job.answer.set_result({name: array[start : start + job.rows] for name, array in outputs.items()})
            start += job.rows

    async def _run_apart(self, batch: list[_Job], error: Exception) -> None:
        """Of a batch that failed, find the request at fault; its neighbours get their answers."""
        if len(batch) > 1:
            for job in batch:
                await self._run([job])
        elif not batch[0].answer.done():
            failure = PredictionFailed("the model could not answer these rows; report it with the request id")
            failure.__cause__ = error
            batch[0].answer.set_exception(failure)

    async def _execute(self, columns: Columns) -> Arrays:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._engine, columns)


def _split(columns: Columns, rows: int, size: int) -> list[tuple[Columns, int]]:
    if rows <= size:
        return [(columns, rows)]
    starts = range(0, rows, size)
    return [
        ({name: array[start : start + size] for name, array in columns.items()}, min(size, rows - start))
        for start in starts
    ]


def _join(parts: Sequence[Columns]) -> Arrays:
    if len(parts) == 1:
        return dict(parts[0])
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
