"""The processes of the models that their source serves: one for each version that workers of the server serve."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.source_runner import SourceRunner
from model_deployer.serving.engines.source_process import SourceProcess
from model_deployer.serving.observability.workers import WorkerWatch


class SourceProcesses:
    """Starts and stops the processes of sources.

    Args:
        watch: Counts those that end without being asked to.
        gpus: The GPUs that they may use.
    """

    def __init__(self, watch: WorkerWatch, gpus: Sequence[str]) -> None:
        self._watch, self._gpus = watch, gpus
        #: The process and its socket, by the tag of the model.
        self._processes: dict[str, tuple[SourceProcess, str]] = {}

    def start(self, artifact: Artifact, runner: SourceRunner) -> str:
        """Return the path of the socket at which the source of a model answers; its process is started if it has none.

        Raises:
            EnvironmentFault: if the environment of the source cannot be made on this machine.
            ArtifactError: if the source cannot be loaded.
        """
        if artifact.tag not in self._processes:
            process = SourceProcess(artifact, runner, self._watch.count_source_ends(), self._gpus)
            self._processes[artifact.tag] = process, process.start()
        return self._processes[artifact.tag][1]

    def stop_others(self, tags: AbstractSet[str]) -> None:
        """Stop the processes of all models but these."""
        for tag in self._processes.keys() - tags:
            self._processes.pop(tag)[0].stop()
