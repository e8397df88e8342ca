"""The files of one model: written once, listed with their SHA-256 in the manifest, and verified at every load.

================== ====================================================================================================
manifest.json      name, version, format number, hash of every other file, and the provenance of the model
contract.json      :class:`contract.contract.Contract`
model.onnx         raw features in, predictions out; they include the calibration if there is one
weights.safetensors, architecture.json   the torch module, for a GPU and for further training
estimator.onnx     the trees or another estimator alone, as inside model.onnx, if the model has one
reference.json     :class:`contract.reference.Reference`: distribution of features and predictions in the training
                   data, the baseline for drift
reference_rows.npz :class:`contract.reference_rows.ReferenceRows`: rows of the table as codes of the bins in
                   reference.json, the baseline for combinations of values, if the table has days or groups
golden.jsonl       rows with the predictions that every engine must reproduce within the manifest's tolerance
evaluation.json    :class:`contract.evaluation.Evaluation`: metrics with intervals, baselines, candidates, slices,
                   gates, latency, findings about the data
report.html        the same as a page, with its plots in plots/
spec.yaml          the model.yaml that the model was trained from
runner.json, source/   in place of model.onnx, if the source of a model answers in a process of its own: see
                   :mod:`contract.source_runner`
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

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model_deployer.contract.card import CardStatements
from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import ArtifactError
from model_deployer.contract.evaluation import Evaluation
from model_deployer.contract.prediction_shift import TOLERANCE
from model_deployer.contract.reference import Reference
from model_deployer.contract.reference_rows import ReferenceRows
from model_deployer.contract.source_runner import RUNNER, SourceRunner

FORMAT = 1

MANIFEST = "manifest.json"
CONTRACT = "contract.json"
MODEL = "model.onnx"
WEIGHTS = "weights.safetensors"
ARCHITECTURE = "architecture.json"
ESTIMATOR = "estimator.onnx"
REFERENCE = "reference.json"
REFERENCE_ROWS = "reference_rows.npz"
GOLDEN = "golden.jsonl"
EVALUATION = "evaluation.json"
REPORT = "report.html"
PLOTS = "plots"
SPEC = "spec.yaml"


#: The version of the data of a model that was adopted without a table.
NO_TABLE = "no table"


class Provenance(BaseModel):
    """The origin of a model: the information that is needed to train it again.

    Attributes:
        data_version: SHA-256 of the table's content, or of the query and its result; ``NO_TABLE`` for a model that was
            adopted without a table.
        query: The query that the table was read with; None if it was read from files.
        seed: The seed of every random choice.
        git_commit: The commit of the working tree that trained it, ending in "-dirty" if files were changed.
        python: The version of Python.
        libraries: The versions of the libraries that influence the weights, by name.
        modules: SHA-256 of the Python files in the folder of model.yaml that it names classes of, by path.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    data_version: str
    query: str | None = Field(default=None, exclude_if=lambda query: query is None)
    seed: int
    git_commit: str | None = None
    python: str
    libraries: dict[str, str]
    modules: dict[str, str] = Field(default={}, exclude_if=lambda modules: not modules)


class Manifest(BaseModel):
    """The identity of a model and the list of its files.

    Attributes:
        format: The number of the artifact's format.
        name, version: The tag of the model.
        created: The time of training, with a time zone.
        description, owner, license, business_context: As in model.yaml.
        card: What model.yaml says for the model card.
        tolerance: The largest difference from a golden prediction that an engine may have.
        patch_tolerance: The largest shift of behaviour that a patch may have, see
            :func:`contract.prediction_shift.exceeds_tolerance`.
        origin: The information that is needed to train the model again.
        transformers: The names of the fields that Python transformers compute, by the import path of their class. A
            model with one cannot be served.
        files: The SHA-256 of every other file, by its path in the folder.
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
    card: CardStatements = Field(default=CardStatements(), exclude_if=lambda card: card == CardStatements())
    tolerance: float
    patch_tolerance: float = TOLERANCE
    origin: Provenance
    transformers: dict[str, tuple[str, ...]] = Field(default={}, exclude_if=lambda transformers: not transformers)
    files: dict[str, str] = {}


@dataclass(frozen=True)
class Golden:
    """A golden request: a row with its prediction.

    Attributes:
        case: The name of the case, such as ``example``.
        row: The row as a client sends it.
        prediction: The prediction as the client receives it.
    """

    case: str
    row: dict[str, Any]
    prediction: dict[str, Any]


@dataclass(frozen=True)
class Artifact:
    """A model whose files were all verified.

    Attributes:
        path: The folder of the model.
        manifest: The content of its manifest.json.
    """

    path: Path
    manifest: Manifest

    @property
    def tag(self) -> str:
        """The tag ``name:version``."""
        return f"{self.manifest.name}:{self.manifest.version}"

    @cached_property
    def contract(self) -> Contract:
        """The content of contract.json."""
        return Contract.model_validate_json((self.path / CONTRACT).read_bytes())

    @cached_property
    def evaluation(self) -> Evaluation:
        """The content of evaluation.json, read at the first access, since serving does not need it.

        Raises:
            ArtifactError: if the file is missing or does not fit the model.
        """
        return Evaluation.read(self.path / EVALUATION)

    @cached_property
    def reference(self) -> Reference | None:
        """The content of reference.json, or None if the model does not have this file.

        Raises:
            ArtifactError: if the file does not fit the model.
        """
        return Reference.read(self.path / REFERENCE) if REFERENCE in self.manifest.files else None

    @cached_property
    def reference_rows(self) -> ReferenceRows | None:
        """The content of reference_rows.npz, or None if the model does not have this file.

        Raises:
            ArtifactError: if the file does not fit the model.
        """
        if REFERENCE_ROWS not in self.manifest.files or self.reference is None:
            return None
        return ReferenceRows.read(self.path / REFERENCE_ROWS, self.reference)

    @property
    def reason_not_to_serve(self) -> str | None:
        """Why the model cannot answer callers; None if it can."""
        if not self.manifest.transformers:
            return None
        computed = " and ".join(
            f"{name} computes {', '.join(map(repr, fields))}" for name, fields in self.manifest.transformers.items()
        )
        return (
            f"{self.tag} cannot answer callers, because they send raw fields and a graph cannot hold Python code: "
            f"{computed}. Write an `expression` under `features` in its place, or compute these columns in the table"
        )

    def require_servable(self) -> "Artifact":
        """Return the artifact.

        Raises:
            ArtifactError: if the model cannot answer callers; the message says why.
        """
        if reason := self.reason_not_to_serve:
            raise ArtifactError(reason)
        return self

    @cached_property
    def runner(self) -> SourceRunner | None:
        """How the source of the model is started; None if the model is a graph.

        Raises:
            ArtifactError: if the file does not fit.
        """
        return SourceRunner.read(self.path / RUNNER) if RUNNER in self.manifest.files else None

    @property
    def model(self) -> Path:
        """The path of the ONNX graph."""
        return self.path / MODEL

    def golden(self) -> Iterator[Golden]:
        """Yield the golden requests, in the order of the file."""
        with (self.path / GOLDEN).open(encoding="utf-8") as lines:
            for line in lines:
                yield Golden(**json.loads(line))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write indented JSON with the keys in the order of ``content``, so that equal content gives equal bytes."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def seal(folder: Path, manifest: Manifest) -> Manifest:
    """Write the manifest of a folder, with the SHA-256 of every file in it.

    Args:
        folder: The folder with all other files of the model.
        manifest: The manifest without ``files``.

    Returns:
        The manifest as it was written.
    """
    files = {str(path.relative_to(folder)): sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}
    sealed = manifest.model_copy(update={"files": files})
    write_json(folder / MANIFEST, sealed.model_dump(mode="json"))
    return sealed


def open_artifact(folder: Path) -> Artifact:
    """Read the manifest of a folder and verify every file that it lists.

    Raises:
        ArtifactError: if the manifest is missing or not readable, its format is unknown, or a file is missing or
            altered.
    """
    manifest = _read_manifest(folder)
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise ArtifactError(f"{folder}: {name} is missing; restore the model from its source, or train it again")
        if sha256(path) != expected:
            raise ArtifactError(f"{folder}: {name} was altered after training; restore the model, or train it again")
    return Artifact(folder, manifest)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as hexadecimal text."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_manifest(folder: Path) -> Manifest:
    try:
        content = json.loads((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise ArtifactError(f"{folder}: no {MANIFEST}; this folder does not hold a model of model-deployer") from None
    except ValueError:
        raise ArtifactError(f"{folder}: {MANIFEST} is not JSON; restore the model from its source") from None
    number = content.get("format") if isinstance(content, dict) else None
    if number != FORMAT:
        raise ArtifactError(
            f"{folder}: the format {number!r} is unknown; this version reads format {FORMAT}; upgrade model-deployer"
        )
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        field = ".".join(map(str, error.errors()[0]["loc"]))
        raise ArtifactError(
            f"{folder}: {MANIFEST}: the field {field} is not valid; restore the model from its source"
        ) from None
