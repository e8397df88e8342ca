"""The data of a training run: the table, read, checked, split and converted to features.

Nothing here imports torch, which takes seconds to load: a fault in model.yaml or in the table is reported before that.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.contract.errors import CheckFailed
from model_deployer.contract.evaluation import Finding, TableRoles
from model_deployer.contract.features import Feature
from model_deployer.training.data.category_merging import merge_categories
from model_deployer.training.data.features import conform, infer_features, slice_features
from model_deployer.training.data.profile import print_findings, profile
from model_deployer.training.data.split import Parts, Rows, method, nested_order, split
from model_deployer.training.data.stream import Stream, open_stream
from model_deployer.training.data.table import Table, read_table
from model_deployer.training.data.table_roles import table_roles
from model_deployer.training.data.target import Target, read_target, read_weights
from model_deployer.training.data.transformers import transform
from model_deployer.training.data.values import describe, raise_questions
from model_deployer.training.runtime.console import print_stage
from model_deployer.training.spec import Spec, read_spec


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
    """

    spec: Spec
    path: Path
    version: str
    target: Target
    weights: NDArray[np.float64] | None
    parts: Parts
    order: Rows
    findings: list[Finding]
    features: tuple[Feature, ...]
    frame: pl.DataFrame
    slices: tuple[Feature, ...]
    slice_only: pl.DataFrame
    stream: Stream | None
    transformed: dict[str, tuple[str, ...]]
    roles: TableRoles

    @property
    def is_positive(self) -> bool:
        """Whether all targets are above 0, so that each has a logarithm; meaningless for classes."""
        lowest = min(self.target.values.min(), self.stream.min_target if self.stream else np.inf)
        return bool(lowest > 0)


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
    spec = read_spec(path)
    table = read_table(spec, path.parent)
    for note in table.notes:
        print_stage("read", note)
    raise_questions(table.values.questions)
    spec, frame = spec.with_formats(table.values.formats), table.frame
    print_stage("read", f"{_row_count(table)} rows and {frame.width} columns, {table.version[:19]}")
    for line in describe(table.values):
        print_stage("read", line)

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
