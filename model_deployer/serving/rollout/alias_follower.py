"""A server that follows an alias: when the alias names another version, workers with it replace the present ones.

The parent of the workers looks at the ledger of the model every second. If the new version cannot be served, the
present one goes on answering.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import TypeVar

from circus.watcher import Watcher

from model_deployer.contract import store
from model_deployer.contract.artifact import Artifact
from model_deployer.contract.errors import DeployerError, UsageError
from model_deployer.serving.config.model_selection import MODEL_VARIABLE
from model_deployer.serving.config.settings import Settings
from model_deployer.serving.engines.engine import choose_engine
from model_deployer.serving.engines.source import SOCKET_VARIABLE
from model_deployer.serving.observability.logs import logger
from model_deployer.serving.observability.workers import WorkerWatch
from model_deployer.serving.rollout.process_group import ProcessGroup
from model_deployer.serving.rollout.runner_processes import RunnerProcesses
from model_deployer.serving.rollout.source_processes import SourceProcesses
from model_deployer.serving.rollout.worker_rollout import WorkerRollout
from model_deployer.serving.shadow.shadow_process import SHADOW_VARIABLE
from model_deployer.serving.shadow.shadow_processes import ShadowProcesses

T = TypeVar("T")

#: The interval between two looks at the ledger.
_CHECK_SECONDS = 1.0

#: The variables of a worker that depend on its model. That of the runner is always replaced.
_OF_A_MODEL = (MODEL_VARIABLE, SOCKET_VARIABLE, SHADOW_VARIABLE)

#: When a version that could not be served is tried again.
_RETRY_SECONDS = 300.0


@dataclass
class AliasFollower:
    """Has the workers of a server serve the version that an alias names.

    Args:
        alias: The alias as ``name@alias``.
        settings: The settings of the server.
        watch: What logs and counts the workers.
        sources: The processes of models that their source serves.
        shadows: The processes of candidates in the shadow.
    """

    alias: str
    settings: Settings
    watch: WorkerWatch
    sources: SourceProcesses
    shadows: ShadowProcesses
    _stamp: tuple[int, ...] | None = None
    _retry_time: float = 0.0
    _task: "asyncio.Task[None] | None" = None
    _workers: ProcessGroup = field(init=False)
    _runner: RunnerProcesses | None = field(init=False)

    def start(self, watcher: Watcher) -> None:
        """Follow the alias in the running event loop, that of circus, until the server stops.

        Args:
            watcher: The watcher of circus for the workers.
        """
        self.watch.count_rollout("done", amount=0)
        self.watch.count_rollout("failed", amount=0)
        logger.info("the server follows an alias", extra={"alias": self.alias, "model": watcher.env[MODEL_VARIABLE]})
        self._workers = ProcessGroup(watcher, self.watch)
        self._runner = RunnerProcesses.of_server(watcher, self.watch)
        self._task = asyncio.get_running_loop().create_task(self._follow())

    async def _follow(self) -> None:
        while not self._workers.is_ending:
            if self._is_due():
                await self._look()
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

    async def _look(self) -> None:
        """Serve the version that the alias names now; if that is not possible, log why."""
        self._retry_time = inf
        try:
            model = store.resolve(self.alias)
            if self._workers.values(MODEL_VARIABLE) != {model}:
                await self._serve(model)
        except Exception as error:
            if not self._workers.is_ending:
                self._record_failure(error)
        finally:
            await self._stop_unused()

    def _record_failure(self, error: Exception) -> None:
        self._retry_time = time.monotonic() + _RETRY_SECONDS
        self.watch.count_rollout("failed")
        logger.error(
            "the version that the alias names cannot be served, so that the one before answers",
            extra={
                "alias": self.alias,
                "served": sorted(self._workers.values(MODEL_VARIABLE)),
                "reason": str(error),
            },
            exc_info=not isinstance(error, DeployerError),
        )

    async def _serve(self, model: str) -> None:
        start = time.monotonic()
        watcher = self._workers.watcher
        extra = {"alias": self.alias, "model": model, "before": watcher.env[MODEL_VARIABLE]}
        logger.info("the alias names another version; new workers are started", extra=extra)
        artifact = await _in_thread(lambda: store.load(model).require_servable())
        unchanged = {name: value for name, value in watcher.env.items() if name not in _OF_A_MODEL}
        await WorkerRollout(self._workers, unchanged | await self._start_processes(artifact)).run()
        if not self._workers.is_ending:
            self.watch.count_rollout("done")
            extra = {"model": model, "seconds": round(time.monotonic() - start, 1)}
            logger.info("all workers serve the version that the alias names", extra=extra)

    async def _start_processes(self, artifact: Artifact) -> dict[str, str]:
        """Start the processes that workers with a model need, and return the variables of these workers."""
        variables = {MODEL_VARIABLE: artifact.tag}
        engine = choose_engine(self.settings, is_graph=artifact.runner is None)
        if runner := artifact.runner:
            variables[SOCKET_VARIABLE] = await _in_thread(lambda: self.sources.start(artifact, runner))
        elif engine == "runner" and self._runner is None:
            raise UsageError(
                f"{artifact.tag} needs the runner, with which this server was not started; start the server again"
            )
        elif engine == "runner" and self._runner:
            variables |= await self._runner.start(artifact.tag)
        return variables | self.shadows.start_if_possible(artifact)

    async def _stop_unused(self) -> None:
        """Stop the processes that no worker needs."""
        if self._workers.is_ending:
            return
        models = self._workers.values(MODEL_VARIABLE)
        self.sources.stop_others(models)
        self.shadows.stop_others(self._workers.values(SHADOW_VARIABLE))
        if self._runner:
            await self._runner.stop_others(models)


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
