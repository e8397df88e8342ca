"""A server that follows an alias: when the alias names another version, workers with it replace the present ones.

The parent of the workers looks at the ledger of the model every second. If the new version cannot be served, the
present one goes on answering.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import TypeVar

from circus.watcher import Watcher

from model_deployer.contract import store
from model_deployer.contract.errors import DeployerError
from model_deployer.serving.config.model_selection import MODEL_VARIABLE
from model_deployer.serving.engines.source import SOCKET_VARIABLE
from model_deployer.serving.observability.logs import logger
from model_deployer.serving.observability.workers import WorkerWatch
from model_deployer.serving.rollout.source_processes import SourceProcesses
from model_deployer.serving.rollout.worker_rollout import WorkerRollout, is_ending, served_models
from model_deployer.serving.shadow.shadow_process import SHADOW_VARIABLE, ShadowProcess

T = TypeVar("T")

#: The interval between two looks at the ledger.
_CHECK_SECONDS = 1.0

#: When a version that could not be served is tried again.
_RETRY_SECONDS = 300.0


@dataclass
class AliasFollower:
    """Has the workers of a server serve the version that an alias names.

    Args:
        alias: The alias as ``name@alias``.
        watch: What logs and counts the workers.
        sources: The processes of models that their source serves.
        shadow: The shadow of the server, which compares the candidate with the model that the server started with.
    """

    alias: str
    watch: WorkerWatch
    sources: SourceProcesses
    shadow: ShadowProcess | None = None
    _stamp: tuple[int, ...] | None = None
    _retry_time: float = 0.0
    _task: "asyncio.Task[None] | None" = None

    def start(self, watcher: Watcher) -> None:
        """Follow the alias in the running event loop, that of circus, until the server stops.

        Args:
            watcher: The watcher of circus for the workers.
        """
        self.watch.count_rollout("done", amount=0)
        self.watch.count_rollout("failed", amount=0)
        logger.info("the server follows an alias", extra={"alias": self.alias, "model": watcher.env[MODEL_VARIABLE]})
        self._task = asyncio.get_running_loop().create_task(self._follow(watcher))

    async def _follow(self, watcher: Watcher) -> None:
        while not is_ending(watcher):
            if self._is_due():
                await self._look(watcher)
            await asyncio.sleep(_CHECK_SECONDS)

    def _is_due(self) -> bool:
        """Return whether the ledger has changed, or a version is to be tried again."""
        try:
            status = store.ledger_file(self.alias.partition("@")[0]).stat()
            stamp = status.st_ino, status.st_size, status.st_mtime_ns
        except OSError:
            stamp = None
        is_due = stamp != self._stamp or time.monotonic() >= self._retry_time
        self._stamp = stamp
        return is_due

    async def _look(self, watcher: Watcher) -> None:
        """Serve the version that the alias names now; if that is not possible, log why."""
        self._retry_time = inf
        try:
            model = store.resolve(self.alias)
            if served_models(watcher) != {model}:
                await self._serve(watcher, model)
        except Exception as error:
            if not is_ending(watcher):
                self._record_failure(watcher, error)
        finally:
            self.sources.stop_others(served_models(watcher))

    def _record_failure(self, watcher: Watcher, error: Exception) -> None:
        self._retry_time = time.monotonic() + _RETRY_SECONDS
        self.watch.count_rollout("failed")
        logger.error(
            "the version that the alias names cannot be served, so that the one before answers",
            extra={"alias": self.alias, "served": sorted(served_models(watcher)), "reason": str(error)},
            exc_info=not isinstance(error, DeployerError),
        )

    async def _serve(self, watcher: Watcher, model: str) -> None:
        start = time.monotonic()
        extra = {"alias": self.alias, "model": model, "before": watcher.env[MODEL_VARIABLE]}
        logger.info("the alias names another version; new workers are started", extra=extra)
        artifact = await _in_thread(lambda: store.load(model).require_servable())
        environment = {**watcher.env, MODEL_VARIABLE: model}
        for variable in (SOCKET_VARIABLE, SHADOW_VARIABLE):
            environment.pop(variable, None)
        if runner := artifact.runner:
            environment[SOCKET_VARIABLE] = await _in_thread(lambda: self.sources.start(artifact, runner))
        await WorkerRollout(watcher, self.watch, environment).run()
        if not is_ending(watcher):
            self._stop_shadow()
            self.watch.count_rollout("done")
            extra = {"model": model, "seconds": round(time.monotonic() - start, 1)}
            logger.info("all workers serve the version that the alias names", extra=extra)

    def _stop_shadow(self) -> None:
        if self.shadow:
            self.shadow.stop()
            self.shadow = None
            logger.warning(
                "the shadow has ended with the version that it compared with; start the server again for another"
            )


async def _in_thread(function: Callable[[], T]) -> T:
    """Run a function in a thread that does not keep the process from ending, as one of the loop's executor would."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(set_outcome: Callable[..., None], outcome: object) -> None:
        if not future.done():
            set_outcome(outcome)

    def run() -> None:
        try:
            outcome = function()
        except Exception as error:  # passed on to the caller
            loop.call_soon_threadsafe(settle, future.set_exception, error)
        else:
            loop.call_soon_threadsafe(settle, future.set_result, outcome)

    threading.Thread(target=run, name="rollout", daemon=True).start()
    return await future
