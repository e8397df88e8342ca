"""The candidate in the shadow of a server, also after the server has begun to serve another version."""

import logging
from collections.abc import Set as AbstractSet

from model_deployer.contract import store
from model_deployer.contract.artifact import Artifact
from model_deployer.contract.errors import DeployerError, UsageError
from model_deployer.contract.outputs import Classification, VectorOutput
from model_deployer.serving.config.settings import Settings
from model_deployer.serving.shadow.shadow_columns import images
from model_deployer.serving.shadow.shadow_process import SHADOW_VARIABLE, ShadowAddress, ShadowProcess

logger = logging.getLogger("model_deployer")


class ShadowProcesses:
    """Starts and stops the processes of candidates: one for each that workers of the server ask.

    Args:
        settings: The settings of the server.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        #: The process and its address, by the tag of the candidate.
        self._processes: dict[str, tuple[ShadowProcess, ShadowAddress]] = {}

    def start(self, champion: Artifact) -> dict[str, str]:
        """Return the variable with which workers that serve a model find its shadow; empty if there is none now.

        The process of the candidate is started if it is not there. A line in the log says what it is compared with, or
        why there is no shadow.

        Raises:
            ModelNotFound: if the store does not hold the candidate.
            UsageError: if its answers cannot be compared with those of the model, or it cannot be asked.
        """
        if not self._settings.shadow:
            return {}
        tag = _named(self._settings.shadow)
        if tag is None:
            return self._without(champion, "no version has this alias now")
        if tag == champion.tag:
            return self._without(champion, "it answers callers itself")
        candidate = store.load(tag).require_servable()
        _check(champion, candidate)
        if tag not in self._processes:
            process = ShadowProcess(candidate, self._settings)
            self._processes[tag] = process, process.start()
        logger.info("the shadow answers what the model answers", extra={"candidate": tag, "model": champion.tag})
        return self._processes[tag][1].variables()

    def start_if_possible(self, champion: Artifact) -> dict[str, str]:
        """Do the same as :meth:`start`, and log what it raises: a shadow never keeps a model from callers."""
        try:
            return self.start(champion)
        except DeployerError as error:
            return self._without(champion, str(error))

    def stop_others(self, addresses: AbstractSet[str]) -> None:
        """Stop the processes of all candidates but those at these addresses, in the form of the variable."""
        for tag, (process, address) in list(self._processes.items()):
            if address.variables()[SHADOW_VARIABLE] not in addresses:
                process.stop()
                del self._processes[tag]

    def _without(self, champion: Artifact, reason: str) -> dict[str, str]:
        extra = {"candidate": self._settings.shadow, "model": champion.tag, "reason": reason}
        logger.warning("the model has no shadow", extra=extra)
        return {}


def _named(setting: str) -> str | None:
    """Return the tag that the setting names; None for an alias of a known model that names no version now."""
    name, has_alias, alias = setting.partition("@")
    if has_alias and store.resolve(name) and alias not in store.aliases(name):
        return None
    return store.resolve(setting)


def _check(champion: Artifact, candidate: Artifact) -> None:
    """Check that the answers of two models can be compared, and that a shadow can be asked.

    Raises:
        UsageError: if not; the message says why.
    """
    ours, theirs = champion.contract.output, candidate.contract.output
    labels = [set(output.labels) if isinstance(output, Classification) else set() for output in (ours, theirs)]
    if (ours.kind, ours.target) != (theirs.kind, theirs.target) or labels[0] != labels[1]:
        raise UsageError(
            f"serving.shadow: {candidate.tag} predicts something else than {champion.tag}, so their answers cannot be "
            "compared"
        )
    if isinstance(ours, VectorOutput):
        raise UsageError(f"serving.shadow: {champion.tag} answers several numbers, which a shadow does not compare")
    if names := images((*champion.contract.features, *candidate.contract.features)):
        raise UsageError(f"serving.shadow: a shadow cannot be asked about images, such as '{names[0]}'")
