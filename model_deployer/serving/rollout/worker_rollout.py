"""The replacement of the workers of a server, one by one, by workers with another environment."""

from collections.abc import Mapping
from contextlib import ExitStack, closing

from model_deployer.serving.config.model_selection import MODEL_VARIABLE
from model_deployer.serving.rollout.process_group import ProcessGroup


class WorkerRollout:
    """One replacement of all workers that serve another model.

    Args:
        workers: The workers.
        environment: The variables of the new workers. Their model is that of ``MODEL_VARIABLE``.
    """

    def __init__(self, workers: ProcessGroup, environment: Mapping[str, str]) -> None:
        self._workers, self._environment = workers, dict(environment)

    async def run(self) -> None:
        """Replace the workers.

        Until the first new worker is ready, a worker that ends is started again with the old environment; later with
        the new one.

        Raises:
            RolloutFailed: if a new worker does not become ready. If it is the first one, nothing has changed.
        """
        try:
            while self._workers.serving_others([self._environment[MODEL_VARIABLE]]) and not self._workers.is_ending:
                await self._replace_one()
        finally:
            self._workers.settle()

    async def _replace_one(self) -> None:
        workers = self._workers
        with ExitStack() as stack:
            # Where a worker was killed meanwhile, circus may have started one more.
            if len(workers.processes()) <= workers.size:
                connection = await workers.start(self._environment, workers.watcher.sockets)
                stack.enter_context(closing(connection))  # closing gives the new worker its turn
                workers.watcher.env = self._environment
            old = next(iter(workers.serving_others([self._environment[MODEL_VARIABLE]])), None)
            if old:
                await workers.stop_accepting(old)
        if old:
            await workers.retire(old)
