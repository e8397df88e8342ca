"""The files of one model: written once, listed with their SHA-256 in the manifest, verified at every load.

================== ====================================================================================================
manifest.json      name, version, format number, hash of every other file, and where the model comes from
contract.json      :class:`contract.contract.Contract`
model.onnx         raw features in, calibrated predictions out
weights.safetensors, architecture.json   the torch module, for a GPU and for further training
estimator.onnx     trees or another estimator alone, as it stands inside model.onnx; where the model has one
reference.json     :class:`contract.reference.Reference`: distribution of features and predictions in the training
                   data, against which drift is measured
golden.jsonl       rows with the predictions that any engine has to reproduce within the manifest's tolerance
evaluation.json    :class:`contract.evaluation.Evaluation`: metrics with intervals, baselines, candidates, slices,
                   gates, latency, findings about the data
report.html        the same to look at, with its plots in plots/
spec.yaml          the model.yaml it was trained from
================== ====================================================================================================

To change the format, raise FORMAT, keep a reader for the old number, and store an artifact of the new format among the
tests; :mod:`contract.document` says how for evaluation.json and reference.json.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import ArtifactError
from model_deployer.contract.evaluation import Evaluation
from model_deployer.contract.prediction_shift import TOLERANCE
from model_deployer.contract.reference import Reference

FORMAT = 1

MANIFEST = "manifest.json"
CONTRACT = "contract.json"
MODEL = "model.onnx"
WEIGHTS = "weights.safetensors"
ARCHITECTURE = "architecture.json"
ESTIMATOR = "estimator.onnx"
REFERENCE = "reference.json"
GOLDEN = "golden.jsonl"
EVALUATION = "evaluation.json"
REPORT = "report.html"
PLOTS = "plots"
SPEC = "spec.yaml"


class Provenance(BaseModel):
    """Where a model comes from: what it takes to train it again.

    Attributes:
        data_version: SHA-256 of the table's content.
        seed: The seed of every random choice.
        git_commit: The commit of the working tree that trained it, ending in "-dirty" where files were changed.
        python: The interpreter's version.
        libraries: Versions of the libraries that shape the weights.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    data_version: str
    seed: int
    git_commit: str | None = None
    python: str
    libraries: dict[str, str]


class Manifest(BaseModel):
    """The list of a model's files and what identifies it.

    ``tolerance`` is the largest difference from a golden prediction that an engine may show; ``patch_tolerance`` is how
    far behaviour may move from one version to the next in a patch, see
    :func:`contract.prediction_shift.exceeds_tolerance`.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: int = FORMAT
    name: str
    version: str
    created: datetime
    description: str | None = None
    owner: str | None = None
    license: str | None = None
    business_context: str | None = None
    tolerance: float
    patch_tolerance: float = TOLERANCE
    origin: Provenance
    files: dict[str, str] = {}


@dataclass(frozen=True)
class Golden:
    """A row as a client sends it and the prediction it gets; ``case`` says what it stands for."""

    case: str
    row: dict[str, Any]
    prediction: dict[str, Any]


@dataclass(frozen=True)
class Artifact:
    """A model's folder whose files were all verified."""

    path: Path
    manifest: Manifest

    @property
    def tag(self) -> str:
        """``name:version``."""
        return f"{self.manifest.name}:{self.manifest.version}"

    @cached_property
    def contract(self) -> Contract:
        """What callers may rely on."""
        return Contract.model_validate_json((self.path / CONTRACT).read_bytes())

    @cached_property
    def evaluation(self) -> Evaluation:
        """The content of evaluation.json, read when it is first asked for: a model is served without it.

        Raises:
            ArtifactError: The file is missing or does not fit the model.
        """
        return Evaluation.read(self.path / EVALUATION)

    @cached_property
    def reference(self) -> Reference | None:
        """The content of reference.json, where the model has one.

        Raises:
            ArtifactError: The file does not fit the model.
        """
        return Reference.read(self.path / REFERENCE) if REFERENCE in self.manifest.files else None

    @property
    def model(self) -> Path:
        """The ONNX graph."""
        return self.path / MODEL

    def golden(self) -> Iterator[Golden]:
        """The golden predictions, in the order of the file."""
        with (self.path / GOLDEN).open(encoding="utf-8") as lines:
            for line in lines:
                yield Golden(**json.loads(line))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON as people read it, with keys in the order given, so that equal content means equal bytes."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def seal(folder: Path, manifest: Manifest) -> Manifest:
    """Hash every file of ``folder`` into the manifest, write it beside them, and return it."""
    files = {str(path.relative_to(folder)): sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}
    sealed = manifest.model_copy(update={"files": files})
    write_json(folder / MANIFEST, sealed.model_dump(mode="json"))
    return sealed


def open_artifact(folder: Path) -> Artifact:
    """Read the manifest of ``folder`` and verify every file it lists.

    Raises:
        ArtifactError: The manifest is missing or unreadable, its format is unknown, or a file is missing or altered.
    """
    manifest = _read_manifest(folder)
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise ArtifactError(f"{folder}: {name} is missing; train again or restore the model from its source")
        if sha256(path) != expected:
            raise ArtifactError(f"{folder}: {name} was altered after training; restore the model, or train it again")
    return Artifact(folder, manifest)


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, as hexadecimal text."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_manifest(folder: Path) -> Manifest:
    try:
        content = json.loads((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise ArtifactError(f"{folder}: no {MANIFEST}; this is no model of ours") from None
    except ValueError:
        raise ArtifactError(f"{folder}: {MANIFEST} is no JSON; restore the model from its source") from None
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise ArtifactError(
            f"{folder}: format {found!r} is unknown; this version reads format {FORMAT}; upgrade model-deployer"
        )
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        field = ".".join(map(str, error.errors()[0]["loc"]))
        raise ArtifactError(f"{folder}: {MANIFEST}: {field} is wrong; restore the model from its source") from None
