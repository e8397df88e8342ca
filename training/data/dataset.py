"""The data of a training run: the table, read, checked, split and converted to features.

Nothing here imports torch, which takes seconds to load: a fault in model.yaml or in the table is reported before that.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.adoption.interface import Interface
from model_deployer.contract.errors import CheckFailed
from model_deployer.contract.evaluation import Finding, TableRoles
from model_deployer.contract.features import Feature
from model_deployer.training.data.category_merging import merge_categories
from model_deployer.training.data.evaluation_findings import evaluation_findings
from model_deployer.training.data.features import conform, infer_features, slice_features
from model_deployer.training.data.images import with_image_files
from model_deployer.training.data.profile import print_findings, profile
from model_deployer.training.data.source_fields import check_columns, source_features
from model_deployer.training.data.split import Parts, Rows, method, nested_order, split
from model_deployer.training.data.stream import Stream, open_stream
from model_deployer.training.data.table import Table, read_table
from model_deployer.training.data.table_roles import table_roles
from model_deployer.training.data.target import Target, read_known_target, read_target, read_truths, read_weights
from model_deployer.training.data.traffic import Origins, row_origins
from model_deployer.training.data.transformers import transform
from model_deployer.training.data.values import describe, raise_questions
from model_deployer.training.runtime.console import print_stage
from model_deployer.training.spec import Spec, read_spec

#: The parts of a table that evaluates a model that was trained elsewhere.
_EVALUATION_SHARES = {"validation": 0.2, "test": 0.6}


@dataclass(frozen=True)
class Dataset:
    """Everything about a table that a training run needs.

    Attributes:
        spec: The model.yaml.
        path: The path of the model.yaml.
        version: ``sha256:`` and the digest of the table's content.
        target: The values to predict, one per row.
        weights: The weight of each row, float64 [rows]; None if all rows weigh the same.
        parts: The rows of the training, validation and test parts.
        origins: When and from whom each row came, as far as the table says it.
        order: The training rows as int64 indices [training rows], ordered so that the first N are the rows that a
            smaller table would hold.
        findings: Problems of the table that the data scientist should look at.
        features: The contract of every feature.
        frame: The features in the form of the graph's inputs: one Float64 or String column each.
        slices: The contract of every column that is evaluated by slice, whether it is a feature or not.
        slice_only: The columns among those that are not features, in the form of ``frame``.
        stream: The rows that are not in ``frame``; None if the whole table is in memory.
        transformed: The names of the features that Python transformers compute, by their import paths.
        roles: The columns of the table that are not features.
        truths: For an adopted model, the values of all its targets, float64 [rows, targets]. An embedding has no
            target: its ``target`` are the numbers of the rows.
    """

    spec: Spec
    path: Path
    version: str
    target: Target
    weights: NDArray[np.float64] | None
    parts: Parts
    origins: Origins
    order: Rows
    findings: list[Finding]
    features: tuple[Feature, ...]
    frame: pl.DataFrame
    slices: tuple[Feature, ...]
    slice_only: pl.DataFrame
    stream: Stream | None
    transformed: dict[str, tuple[str, ...]]
    roles: TableRoles
    truths: NDArray[np.float64] | None = None

    @property
    def is_positive(self) -> bool:
        """Whether all targets are above 0, so that each has a logarithm; meaningless for classes."""
        lowest = min(self.target.values.min(), self.stream.min_target if self.stream else np.inf)
        return bool(lowest > 0)


@dataclass(frozen=True)
class Origin:
    """Where rows come from.

    Attributes:
        path: The model.yaml of their model.
        version: ``sha256:`` and the digest of the rows.
    """

    path: Path
    version: str


def read_dataset(path: Path) -> Dataset:
    """Read a model.yaml and the table that it names.

    Args:
        path: The model.yaml.

    Returns:
        The table, checked and split.

    Raises:
        SpecError: if the model.yaml cannot be used.
        DataError: if the table cannot be used.
        CheckFailed: if a column leaks the target and model.yaml sets ``strict: true``.
    """
    table, spec = _read(read_spec(path), path)
    frame = table.frame
    origins = row_origins(frame, spec)
    target, weights = read_target(frame, spec), read_weights(frame, spec)
    parts = split(frame, target, spec, weights)
    roles = table_roles(frame, parts, spec.data)
    print_stage("split", f"by {method(target, spec)}: {_sizes(parts)}")

    frame = merge_categories(frame, parts.train_and_validation, spec)
    frame, transformed = transform(frame, target.values, parts.train, spec, path.parent)
    for name, columns in transformed.items():
        print_stage("transform", f"{name}: {len(columns)} columns; a model with them cannot be served")
    findings = profile(frame, target, parts, spec)
    print_findings(findings)
    _refuse_errors(findings)

    features = infer_features(frame[parts.train_and_validation], spec)
    stream = None
    if table.sampled_rows is not None:
        stream = open_stream(table, target, parts, features, spec)
        print_stage("stream", f"{stream.rows:,} more rows for the network to learn from")
    slices = slice_features(frame[parts.train], features, spec)
    return Dataset(
        spec=spec,
        path=path,
        version=table.version,
        target=target,
        weights=weights,
        parts=parts,
        origins=origins,
        order=nested_order(frame, target, spec, parts.train),
        findings=findings,
        features=features,
        frame=conform(frame, features),
        slices=slices,
        slice_only=conform(frame, [feature for feature in slices if feature not in features]),
        stream=stream,
        transformed=transformed,
        roles=roles,
    )


def read_evaluation_data(path: Path, interface: Interface) -> Dataset:
    """Read a model.yaml with ``adopt``, and the table that evaluates the model.

    The training part is only for the baselines, and the validation part for the prediction interval or the sets.

    Args:
        path: The model.yaml.
        interface: What the source says of its inputs and its output.

    Returns:
        The table, checked and split.

    Raises:
        SpecError: if the model.yaml cannot be used, or contradicts the source.
        DataError: if the table cannot be used, or its columns are not those of the source.
    """
    table, spec = _read(read_spec(path), path)
    spec, frame = _with_evaluation_split(spec), table.frame
    check_columns(frame, interface, spec)
    images = [field.name for field in interface.fields if field.image is not None]
    frame, files = with_image_files(frame, images, _folders(spec, path.parent))
    parts = split(frame, _target(frame, spec, interface.labels), spec, read_weights(frame, spec))
    frame = merge_categories(frame, parts.train_and_validation, spec)
    version = table.version if files is None else _version_with_files(table.version, files)
    features = source_features(frame, interface, spec)
    return known_dataset(frame, spec, features, interface.labels, Origin(path, version))


def known_dataset(
    frame: pl.DataFrame, spec: Spec, features: tuple[Feature, ...], labels: tuple[str, ...] | None, origin: Origin
) -> Dataset:
    """Return rows of a model whose contract is known, as a table that evaluates it.

    Args:
        frame: The rows: the columns of the features, and those that ``spec.data`` names.
        spec: The model.yaml, with the roles of the columns.
        features: The contract of the fields.
        labels: The classes of the model, in its order; None for a quantity.
        origin: Where the rows come from.

    Raises:
        DataError: if the rows cannot be used.
    """
    target, weights = _target(frame, spec, labels), read_weights(frame, spec)
    parts = split(frame, target, spec, weights)
    print_stage("split", f"by {method(target, spec)}: {_sizes(parts)}")
    slices = slice_features(frame[parts.train], features, spec)
    findings: list[Finding] = []
    if not spec.is_embedding:
        findings = evaluation_findings(profile(frame.select(_columns(frame, features, spec)), target, parts, spec))
    print_findings(findings)
    return Dataset(
        spec=spec,
        path=origin.path,
        version=origin.version,
        target=target,
        weights=weights,
        parts=parts,
        origins=row_origins(frame, spec),
        order=nested_order(frame, target, spec, parts.train),
        findings=findings,
        features=features,
        frame=conform(frame, features),
        slices=slices,
        slice_only=conform(frame, [feature for feature in slices if feature not in features]),
        stream=None,
        transformed={},
        roles=table_roles(frame, parts, spec.data),
        truths=read_truths(frame, spec) if spec.data.targets else None,
    )


def _target(frame: pl.DataFrame, spec: Spec, labels: tuple[str, ...] | None) -> Target:
    return _no_target(frame) if spec.is_embedding else read_known_target(frame, spec, labels)


def _no_target(frame: pl.DataFrame) -> Target:
    """Return what stands for the target of an embedding, which splits rows as a quantity does: their numbers."""
    return Target(np.arange(frame.height, dtype=np.float64), None)


def _read(spec: Spec, path: Path) -> tuple[Table, Spec]:
    """Read a table, and return it with the model.yaml that has the forms of its columns."""
    table = read_table(spec, path.parent)
    for note in table.notes:
        print_stage("read", note)
    raise_questions(table.values.questions)
    print_stage("read", f"{_row_count(table)} rows and {table.frame.width} columns, {table.version[:19]}")
    for line in describe(table.values):
        print_stage("read", line)
    return table, spec.with_formats(table.values.formats)


def _folders(spec: Spec, folder: Path) -> list[Path]:
    """Return the folders where the paths in a table may start: that of the table, and that of model.yaml."""
    table = folder / (spec.data.path or "")
    return [table if table.is_dir() else table.parent, folder]


def _version_with_files(version: str, files: str) -> str:
    """Return the version of a table and of the files that it names."""
    return f"sha256:{hashlib.sha256(f'{version}{files}'.encode()).hexdigest()}"


def _with_evaluation_split(spec: Spec) -> Spec:
    """Return the model.yaml with most rows in the test part, unless it says something else."""
    shares = {name: share for name, share in _EVALUATION_SHARES.items() if name not in spec.split.model_fields_set}
    if len(shares) < len(_EVALUATION_SHARES):
        return spec
    return spec.model_copy(update={"split": spec.split.model_copy(update=shares)})


def _columns(frame: pl.DataFrame, features: tuple[Feature, ...], spec: Spec) -> list[str]:
    """Return the columns of a table that are features or have a role, of several targets only the first one."""
    others = {*spec.data.ignore, *spec.data.targets[1:]}
    used = {feature.name for feature in features} | (spec.data.columns - others)
    return [name for name in frame.columns if name in used]


def _row_count(table: Table) -> str:
    in_memory = f"{table.frame.height:,}"
    if table.sampled_rows is None:
        return in_memory
    return f"{in_memory} of {sum(chunk.rows for chunk in table.chunks):,}"


def _sizes(parts: Parts) -> str:
    return ", ".join(f"{len(rows):,} {name}" for name, rows in vars(parts).items())


def _refuse_errors(findings: list[Finding]) -> None:
    if errors := [finding for finding in findings if finding.severity == "error"]:
        columns = ", ".join(str(finding.column) for finding in errors)
        raise CheckFailed(f"not trained, because model.yaml sets `strict: true`: {columns}; see above")
