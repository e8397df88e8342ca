"""model/changes.json: what changed from version to version, for whoever calls the model."""

from dataclasses import asdict
from itertools import pairwise
from typing import Any

from model_deployer.contract import store
from model_deployer.contract.artifact import Artifact
from model_deployer.contract.difference import Difference, difference
from model_deployer.contract.errors import ArtifactError


def changes(artifact: Artifact) -> list[dict[str, Any]]:
    """The versions up to this one, the newest first, each with what changed since the one before.

    Versions that the store has no more, or that are damaged, are passed over.
    """
    known = [*_before(artifact), artifact]
    entries = [_entry(artifact=known[0], found=None)]
    entries += [_entry(new, _difference(old, new)) for old, new in pairwise(known)]
    return entries[::-1]


def _before(artifact: Artifact) -> list[Artifact]:
    found: list[Artifact] = []
    for version in map(str, store.versions(artifact.manifest.name)):
        if version == artifact.manifest.version:
            return found
        try:
            found.append(store.load(f"{artifact.manifest.name}:{version}"))
        except ArtifactError:
            continue
    return found


def _difference(old: Artifact, new: Artifact) -> Difference:
    from model_deployer.serving.engines.offline import predict  # noqa: PLC0415 (it loads ONNX Runtime)

    return difference(old, new, predict)


def _entry(artifact: Artifact, found: Difference | None) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "version": artifact.manifest.version,
        "created": artifact.manifest.created.isoformat(),
        "since": None,
        "step": None,
        "contract": [],
        "behaviour": None,
        "metrics": {},
    }
    if found is None:
        return entry
    behaviour = found.behaviour
    return entry | {
        "since": found.old.manifest.version,
        "step": found.step.name.lower(),
        "contract": [asdict(change) | {"step": change.step.name.lower()} for change in found.changes],
        "behaviour": asdict(behaviour) | {"sentence": str(behaviour)} if behaviour else None,
        "metrics": {name: change.to_json() for name, change in found.metrics.items()},
    }
