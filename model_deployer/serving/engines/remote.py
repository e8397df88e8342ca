"""The engine that sends batches to the runner, another service of the deployment: one network hop per batch."""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from numpy.typing import NDArray

from model_deployer.serving.engines.batching import Arrays, concatenate_columns
from model_deployer.serving.engines.engine import Engine
from model_deployer.serving.rows.columns import Columns

#: The longest time for the answer to a batch; after it the runner counts as unavailable.
RUNNER_TIMEOUT_SECONDS = 5.0

#: The interval between two probes of an unavailable runner.
_PROBE_INTERVAL_SECONDS = 1.0

logger = logging.getLogger("model_deployer")


class RemoteEngine:
    """Sends batches to the runner, and runs them in this process while the runner does not answer.

    A batch that the runner leaves unanswered also runs in this process: no request fails because a runner died. A
    background thread probes whether the runner is back, never with the rows of a client.

    Args:
        send: Sends batches of columns to the runner and returns their output tensors; None for a batch on which the
            graph failed.
        local: The fallback engine in this process.
        loop: The event loop that awaits ``send``.
        on_change: Called with True when the runner becomes unavailable, and with False when it is back.
    """

    name = "runner"
    inline_rows = 0
    unavailable: str | None = None

    def __init__(
        self,
        send: Callable[[list[Columns]], Coroutine[Any, Any, list[Arrays | None]]],
        local: Engine,
        loop: asyncio.AbstractEventLoop,
        on_change: Callable[[bool], None],
    ) -> None:
        self._send = send
        self._local = local
        self._loop = loop
        self._on_change = on_change
        self._is_unavailable = False
        self._closed = threading.Event()
        self._probe_row: Columns = {}

    @property
    def degraded(self) -> str | None:
        """Why this process runs the batches itself; None while the runner does."""
        return "the runner does not answer; the CPU of the worker does" if self._is_unavailable else None

    def tune(self, columns: Columns) -> None:
        """Tune the fallback engine, and keep the first row of ``columns`` for probes."""
        self._local.tune(columns)
        self._probe_row = {name: array[:1] for name, array in columns.items()}

    def run(self, columns: Columns) -> Arrays:
        """Return the output tensors, computed by the runner or by this process.

        Raises:
            ArithmeticError: if the graph fails on these columns.
        """
        if self._is_unavailable:
            return self._local.run(columns)
        try:
            (outputs,) = self._call([columns])
        except Exception as error:
            self._fall_back(error)
            return self._local.run(columns)
        if outputs is None:
            raise ArithmeticError("the graph failed in the runner")
        return outputs

    def run_locally(self, columns: Columns) -> Arrays:
        """Return the output tensors, computed by this process; the runner replays the golden predictions itself."""
        return self._local.run_locally(columns)

    def close(self) -> None:
        """Stop probing."""
        self._closed.set()

    def _call(self, batches: list[Columns]) -> list[Arrays | None]:
        response = asyncio.run_coroutine_threadsafe(self._send(batches), self._loop)
        try:
            return response.result(RUNNER_TIMEOUT_SECONDS)
        finally:
            response.cancel()

    def _fall_back(self, error: Exception) -> None:
        self._set_unavailable(True)
        logger.error("the runner does not answer; this worker does", extra={"error": type(error).__name__})
        threading.Thread(target=self._probe_until_back, name="runner-probe", daemon=True).start()

    def _set_unavailable(self, is_unavailable: bool) -> None:
        self._is_unavailable = is_unavailable
        self._on_change(is_unavailable)

    def _probe_until_back(self) -> None:
        while not self._closed.wait(_PROBE_INTERVAL_SECONDS):
            try:
                self._call([self._probe_row])
            except Exception:
                continue
            self._set_unavailable(False)
            logger.info("the runner answers again")
            return


def run_batches(engine: Engine, batches: Sequence[Columns]) -> list[dict[str, NDArray[Any]] | None]:
    """Run the batches of several workers together, in the runner.

    Args:
        engine: The runner's engine.
        batches: The columns of each batch: one array per feature, [rows, *shape].

    Returns:
        The output tensors of each batch, [rows, n]; None for a batch on which the graph fails. It does not affect the
        other batches.
    """
    try:
        outputs = engine.run(concatenate_columns(batches))
    except Exception:
        return [None] if len(batches) == 1 else [run_batches(engine, [batch])[0] for batch in batches]
    results: list[dict[str, NDArray[Any]] | None] = []
    start = 0
    for batch in batches:
        end = start + len(next(iter(batch.values())))
        results.append({name: array[start:end] for name, array in outputs.items()})
        start = end
    return results
