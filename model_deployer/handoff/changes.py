"""model/changes.json: the changes from version to version that matter to callers of the model."""

from dataclasses import asdict
from itertools import pairwise
from typing import Any

from model_deployer.contract import store
from model_deployer.contract.artifact import Artifact
from model_deployer.contract.difference import Difference, difference
from model_deployer.contract.errors import ArtifactError


def changes(artifact: Artifact) -> list[dict[str, Any]]:
    """Return the versions up to this one, the newest first, each with the changes since its predecessor.

    Versions that are damaged, or no longer in the store, are skipped.
    """
    artifacts = [*_previous_versions(artifact), artifact]
    entries = [_entry(artifacts[0], None)]
    entries += [_entry(new, _difference(old, new)) for old, new in pairwise(artifacts)]
    return entries[::-1]


def _previous_versions(artifact: Artifact) -> list[Artifact]:
    previous: list[Artifact] = []
    for version in map(str, store.versions(artifact.manifest.name)):
        if version == artifact.manifest.version:
            return previous
        try:
            previous.append(store.load(f"{artifact.manifest.name}:{version}"))
        except ArtifactError:
            continue
    return previous


def _difference(old: Artifact, new: Artifact) -> Difference:
    from model_deployer.serving.engines.offline import predict  # noqa: PLC0415 (it loads ONNX Runtime)

    return difference(old, new, predict)


def _entry(artifact: Artifact, changes: Difference | None) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "version": artifact.manifest.version,
        "created": artifact.manifest.created.isoformat(),
        "since": None,
        "step": None,
        "contract": [],
        "behaviour": None,
        "metrics": {},
    }
    if changes is None:
        return entry
    behaviour = changes.behaviour
    return entry | {
        "since": changes.old.manifest.version,
        "step": changes.step.name.lower(),
        "contract": [asdict(change) | {"step": change.step.name.lower()} for change in changes.changes],
        "behaviour": asdict(behaviour) | {"sentence": str(behaviour)} if behaviour else None,
        "metrics": {name: change.to_json() for name, change in changes.metrics.items()},
    }
