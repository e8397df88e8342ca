"""Start the source of a model in a process of its own, and start it again when it ends."""

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from model_deployer.adoption.cell.cell_error import CellError
from model_deployer.adoption.cell.environment import CellEnvironment, prepare_environment
from model_deployer.adoption.cell.listener import LISTENING, start_listener
from model_deployer.adoption.cell.process import CellProcess, Limits
from model_deployer.contract.artifact import Artifact
from model_deployer.contract.errors import ArtifactError, EnvironmentFault
from model_deployer.contract.source_runner import SOURCE, SourceRunner
from model_deployer.serving.engines.source import SourceEngine
from model_deployer.system.cpus import cpu_count
from model_deployer.system.janitor import temporary_folder

logger = logging.getLogger("model_deployer")

#: The time before the process is started again: at first, and at most, after it has ended several times.
MIN_BACK_OFF_SECONDS, MAX_BACK_OFF_SECONDS = 0.5, 30.0

#: The socket of a process that has loaded its model.
ANSWERING = "answering"

#: The variable with the folder of the environments, which an image has.
ENVIRONMENTS_VARIABLE = "MODEL_DEPLOYER_ENVIRONMENTS"

#: Without the variable, they are in this folder of the server's own virtual environment, if it is there.
ENVIRONMENTS_FOLDER = Path(sys.prefix) / "environments"


@dataclass
class SourceProcess:
    """The process of the source of one model. The server's parent owns it; it ends with the parent.

    Args:
        artifact: A model with a runner.
        runner: The content of its runner.json.

    Attributes:
        on_end: Is called with the exit code of each process that ends without being asked to.
        gpus: The GPUs that it may use, as ``CUDA_VISIBLE_DEVICES`` names them.
    """

    artifact: Artifact
    runner: SourceRunner
    on_end: Callable[[int | None], None] = lambda _: None
    gpus: Sequence[str] = ()
    _started: threading.Event = field(default_factory=threading.Event)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _fault: Exception | None = None
    _path: str = ""

    def start(self) -> str:
        """Start the process, watch it from a thread, and return the path of the socket that it answers at.

        Raises:
            EnvironmentFault: if the environment of the source cannot be made on this machine.
            ArtifactError: if the source cannot be loaded.
        """
        environment = source_environment(self.runner)
        threading.Thread(target=self._keep_running, args=(environment,), name="source", daemon=True).start()
        self._started.wait()
        if self._fault:
            raise ArtifactError(f"{self.artifact.tag} cannot be served: {self._fault}")
        return self._path

    def stop(self) -> None:
        """End the process, and do not start it again."""
        self._stopped.set()

    def _keep_running(self, environment: CellEnvironment) -> None:
        back_off = MIN_BACK_OFF_SECONDS
        with temporary_folder("model-deployer-source-") as folder:
            self._path = str(folder / ANSWERING)
            while not self._stopped.is_set():
                try:
                    with running_source(self.artifact, self.runner, environment, folder, self.gpus) as process:
                        self._started.set()
                        logger.info("the process of the model is ready", extra={"pid": process.pid})
                        reason = process.wait(self._stopped)
                        if not self._stopped.is_set():
                            self.on_end(process.exit_code)
                    back_off = MIN_BACK_OFF_SECONDS if process.seconds > MAX_BACK_OFF_SECONDS else back_off
                except (CellError, OSError) as error:
                    reason = str(error)
                    if not self._started.is_set():
                        self._fault = error
                        self._started.set()
                        return
                if self._stopped.is_set():
                    return
                logger.error(
                    "the process of the model has ended; it is started again",
                    extra={"reason": reason, "after_seconds": back_off},
                )
                self._stopped.wait(back_off)
                back_off = min(2 * back_off, MAX_BACK_OFF_SECONDS)


class OwnSourceEngine(SourceEngine):
    """The engine of a program that has the process of a source for itself.

    Args:
        artifact: A model with a runner.
        runner: The content of its runner.json.

    Raises:
        EnvironmentFault: if the environment of the source cannot be made on this machine.
        ArtifactError: if the source cannot be loaded.
    """

    def __init__(self, artifact: Artifact, runner: SourceRunner) -> None:
        self._process = SourceProcess(artifact, runner)
        super().__init__(artifact, runner, self._process.start())

    def close(self) -> None:
        """Close the connection, and end the process."""
        super().close()
        self._process.stop()


def source_environment(runner: SourceRunner) -> CellEnvironment:
    """Return the environment of a source; it is made if this machine does not have it.

    It is in the folder that the variable names, else in that of the server's own environment, else in the user's cache.

    Raises:
        EnvironmentFault: if it cannot be made.
    """
    named = os.environ.get(ENVIRONMENTS_VARIABLE)
    own = ENVIRONMENTS_FOLDER if ENVIRONMENTS_FOLDER.is_dir() else None
    try:
        return prepare_environment(runner.requirements, python_version(runner), Path(named) if named else own)
    except CellError as error:
        raise EnvironmentFault(f"the environment of the model cannot be made: {error}") from None


@contextmanager
def running_source(
    artifact: Artifact, runner: SourceRunner, environment: CellEnvironment, folder: Path, gpus: Sequence[str] = ()
) -> Iterator[CellProcess]:
    """Start the source of a model, load it, and stop it at the end of the context.

    Args:
        artifact: The model.
        runner: The content of its runner.json.
        environment: The environment of the source.
        folder: A folder of this process alone, in which the source listens at :data:`ANSWERING`.
        gpus: The GPUs that it may use.

    Raises:
        CellError: if it does not start, or cannot be loaded.
    """
    batch_seconds = artifact.contract.limits.timeout_seconds
    limits = Limits(cpu_seconds=None, batch_seconds=batch_seconds, threads=cpu_count(), gpus=gpus)
    with start_listener(environment, folder, limits) as process, ExitStack() as stack:
        steps = [{**step.to_json(), "path": str(artifact.path / SOURCE / step.path)} for step in runner.steps]
        process.load(steps, [{"module": item.module, "path": item.path, "code": item.code} for item in runner.scripts])
        if missing := process.isolation.missing:
            logger.warning(missing)
        # Workers of the server find a socket only where a loaded model answers.
        (folder / LISTENING).rename(folder / ANSWERING)
        stack.callback((folder / ANSWERING).unlink, missing_ok=True)
        yield process


def python_version(runner: SourceRunner) -> tuple[int, int] | None:
    """Return the version of Python of a source, such as (3, 11); None if any will do."""
    if runner.python is None:
        return None
    major, minor = runner.python.split(".")[:2]
    return int(major), int(minor)
