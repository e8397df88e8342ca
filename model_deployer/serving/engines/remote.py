"""The runner: another service of the deployment that runs the graph, one hop a batch."""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from numpy.typing import NDArray

from model_deployer.serving.engines.batching import Arrays, concatenate_columns
from model_deployer.serving.engines.engine import Engine
from model_deployer.serving.rows.columns import Columns

#: Seconds for the answer to a batch, after which the runner counts as gone.
RUNNER_TIMEOUT_SECONDS = 5.0

#: Seconds between two questions whether the runner is back.
_PROBE = 1.0

logger = logging.getLogger("model_deployer")


class RemoteEngine:
    """Asks the runner; while that does not answer, the engine in this process does.

    A batch that the runner leaves unanswered is answered here as well: no request fails because a runner died. Whether
    it is back is asked in the background, never with somebody's request.

    Args:
        ask: Sends batches to the runner; its answers hold None for a batch on which the graph failed.
        local: Answers meanwhile.
        loop: Where ``ask`` is to be awaited.
        notify: Told whether the runner is gone, whenever that changes.
    """

    name = "runner"
    inline_rows = 0

    def __init__(
        self,
        ask: Callable[[list[Columns]], Coroutine[Any, Any, list[Arrays | None]]],
        local: Engine,
        loop: asyncio.AbstractEventLoop,
        notify: Callable[[bool], None],
    ) -> None:
        self._ask = ask
        self._local = local
        self._loop = loop
        self._notify = notify
        self._is_gone = False
        self._closed = threading.Event()
        self._probe: Columns = {}

    @property
    def degraded(self) -> str | None:
        """Why this process answers itself; None while the runner does."""
        return "the runner does not answer; the CPU of the worker does" if self._is_gone else None

    def tune(self, columns: Columns) -> None:
        """Tune the engine that stands in, and keep a row to ask the runner with."""
        self._local.tune(columns)
        self._probe = {name: array[:1] for name, array in columns.items()}

    def run(self, columns: Columns) -> Arrays:
        """The output tensors, from the runner or from this process."""
        if self._is_gone:
            return self._local.run(columns)
        try:
            (answer,) = self._call([columns])
        except Exception as error:
            self._lose(error)
            return self._local.run(columns)
        if answer is None:
            raise ArithmeticError("the graph failed in the runner")
        return answer

    def check(self, columns: Columns) -> Arrays:
        """The output tensors, from this process; the runner checks itself."""
        return self._local.check(columns)

    def close(self) -> None:
        """Stop asking whether the runner is back."""
        self._closed.set()

    def _call(self, batches: list[Columns]) -> list[Arrays | None]:
        asked = asyncio.run_coroutine_threadsafe(self._ask(batches), self._loop)
        try:
            return asked.result(RUNNER_TIMEOUT_SECONDS)
        finally:
            asked.cancel()

    def _lose(self, error: Exception) -> None:
        self._change(is_gone=True)
        logger.error("the runner does not answer; this worker does", extra={"error": type(error).__name__})
        threading.Thread(target=self._look_for_it, name="runner-probe", daemon=True).start()

    def _change(self, is_gone: bool) -> None:
        self._is_gone = is_gone
        self._notify(is_gone)

    def _look_for_it(self) -> None:
        while not self._closed.wait(_PROBE):
            try:
                self._call([self._probe])
            except Exception:
                continue
            self._change(is_gone=False)
            logger.info("the runner answers again")
            return


def run_batches(engine: Engine, batches: Sequence[Columns]) -> list[dict[str, NDArray[Any]] | None]:
    """What the runner does with the batches of several workers: one run for all of them.

    Returns:
        The output tensors of each batch; None for one on which the graph fails, which spares the others.
    """
    try:
        outputs = engine.run(concatenate_columns(batches))
    except Exception:
        return [None] if len(batches) == 1 else [run_batches(engine, [batch])[0] for batch in batches]
    answers: list[dict[str, NDArray[Any]] | None] = []
    start = 0
    for batch in batches:
        end = start + len(next(iter(batch.values())))
        answers.append({name: array[start:end] for name, array in outputs.items()})
        start = end
    return answers
