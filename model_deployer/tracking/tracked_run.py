"""What trackers record of a finished model, in plain values: parameters, metrics, curves, its data and its files."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from model_deployer.contract import artifact as files
from model_deployer.contract.artifact import Artifact, sha256
from model_deployer.contract.evaluation import MODEL, Evaluation

#: The longest text of a parameter; MLflow takes 6,000 characters.
_MAX_TEXT = 500


#: Keys of model.yaml that may have passwords.
_UNRECORDED = ("tracking", "data.connection")


@dataclass(frozen=True)
class TrackedRun:
    """A finished model, as a tracker records it.

    Attributes:
        name: The name of the model.
        tag: Its tag in the store.
        description: What it is; None if model.yaml does not say.
        tags: What identifies it: versions and hashes.
        parameters: The keys of model.yaml, as ``estimator.name``.
        metrics: The metrics of the model with the ends of their intervals, as ``log_loss``, ``log_loss.low`` and
            ``log_loss.high``, and those of the baselines, as ``linear.log_loss``.
        epochs: The losses of the network, by the number of the epoch.
        candidates: The losses of the candidates, by their name.
        data_version: The version of the table.
        folder: The folder with the files of the model.
        files: The paths in this folder that are recorded, too.
    """

    name: str
    tag: str
    description: str | None
    tags: Mapping[str, str]
    parameters: Mapping[str, str]
    metrics: Mapping[str, float]
    epochs: Mapping[int, Mapping[str, float]]
    candidates: Mapping[str, float]
    data_version: str
    folder: str
    files: tuple[str, ...]

    @classmethod
    def of(cls, artifact: Artifact) -> "TrackedRun":
        """Return what is recorded of a model."""
        manifest, evaluation = artifact.manifest, artifact.evaluation
        return cls(
            name=manifest.name,
            tag=artifact.tag,
            description=manifest.description,
            tags=_tags(artifact),
            parameters=dict(_parameters(yaml.safe_load((artifact.path / files.SPEC).read_bytes()), "")),
            metrics=dict(_metrics(evaluation)),
            epochs={
                each.epoch: {"train_loss": each.train_loss, "validation_loss": each.validation_loss}
                for each in evaluation.history
            },
            candidates={candidate.name: candidate.loss for candidate in evaluation.candidates},
            data_version=manifest.origin.data_version,
            folder=str(artifact.path),
            files=tuple(name for name in manifest.files if _is_recorded(name)),
        )

    def to_json(self) -> str:
        """Return the run as JSON, for the process of a tracker."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "TrackedRun":
        """Return the run in a JSON text of :meth:`to_json`."""
        content = json.loads(text)
        epochs = {int(number): losses for number, losses in content.pop("epochs").items()}
        return cls(**content | {"epochs": epochs, "files": tuple(content["files"])})

    @property
    def path(self) -> Path:
        """The folder with the files of the model."""
        return Path(self.folder)


def _tags(artifact: Artifact) -> dict[str, str]:
    manifest = artifact.manifest
    tags = {
        "model_deployer.tag": artifact.tag,
        "model_deployer.manifest_sha256": sha256(artifact.path / files.MANIFEST),
        "model_deployer.data_version": manifest.origin.data_version,
        "model_deployer.git_commit": manifest.origin.git_commit,
        "model_deployer.estimator": artifact.evaluation.estimator,
        "model_deployer.owner": manifest.owner,
    }
    return {name: value for name, value in tags.items() if value}


def _parameters(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """Yield the leaves of a model.yaml by their path, without those that may have passwords."""
    if name in _UNRECORDED:
        return
    if isinstance(value, Mapping) and value:
        for key, content in value.items():
            yield from _parameters(content, f"{name}.{key}" if name else str(key))
    elif name:
        yield name, str(value)[:_MAX_TEXT]


def _metrics(evaluation: Evaluation) -> Iterator[tuple[str, float]]:
    for model, metrics in evaluation.metrics.items():
        prefix = "" if model == MODEL else f"{model}."
        for name, metric in metrics.items():
            yield f"{prefix}{name}", metric.value
            if metric.low is not None and metric.high is not None:
                yield f"{prefix}{name}.low", metric.low
                yield f"{prefix}{name}.high", metric.high


def _is_recorded(name: str) -> bool:
    kept = (files.REPORT, files.EVALUATION, files.CONTRACT, files.SPEC, files.REFERENCE)
    return name in kept or name.startswith(f"{files.PLOTS}/")
