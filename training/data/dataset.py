"""What a model learns from: the table, read, checked, divided and conformed.

Nothing here needs torch, which takes seconds to load: what is wrong with a model.yaml or a table is said before that.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.contract.errors import CheckFailed
from model_deployer.contract.evaluation import Finding
from model_deployer.contract.features import Feature
from model_deployer.training.data.features import conform, infer_features, slice_features
from model_deployer.training.data.profile import profile
from model_deployer.training.data.split import Parts, Rows, growing, method, split
from model_deployer.training.data.stream import Stream, open_stream
from model_deployer.training.data.table import Table, read_table
from model_deployer.training.data.target import Target, read_target, read_weights
from model_deployer.training.runtime.console import print_stage
from model_deployer.training.spec import Spec, read_spec


@dataclass(frozen=True)
class Dataset:
    """Everything about a table that a training run needs.

    Attributes:
        spec: The model.yaml, and ``path``, where it lies.
        version: The digest of the table's content.
        target: What is to be predicted, row by row.
        weights: How much each row counts; None where all count the same.
        parts: Which rows are for training, validation and test.
        order: The training rows, those first that a smaller table would have held.
        findings: What is odd about the table.
        features: The contract of every column that is learnt from.
        frame: Those columns as the graph takes them.
        slices: What is known of every column whose values are judged one by one, learnt from or not.
        aside: Those of them that are not learnt from, in the form of ``frame``.
        stream: The rows beyond those of ``frame``; None where the whole table is in memory.
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
    aside: pl.DataFrame
    stream: Stream | None

    @property
    def is_positive(self) -> bool:
        """Whether all known targets are above 0, so that each has a logarithm; of no meaning for classes."""
        least = min(self.target.values.min(), self.stream.least if self.stream else np.inf)
        return bool(least > 0)


def read_dataset(path: Path) -> Dataset:
    """Read a model.yaml and the table that it names.

    Raises:
        SpecError, DataError: One of them cannot be used.
        CheckFailed: A column gives the target away, and model.yaml says ``strict``.
    """
    spec = read_spec(path)
    table = read_table(spec, path.parent)
    frame = table.frame
    print_stage("read", f"{_height(table)} rows and {frame.width} columns, {table.version[:19]}")

    target, weights = read_target(frame, spec), read_weights(frame, spec)
    parts = split(frame, target, spec, weights)
    print_stage("split", f"by {method(target, spec)}: {_sizes(parts)}")

    findings = profile(frame, target, parts, spec)
    _tell(findings)

    features = infer_features(frame[parts.learnt], spec)
    stream = None
    if table.drawn is not None:
        stream = open_stream(table, target, parts, features, spec)
        print_stage("stream", f"{stream.rows:,} more rows for the network to learn from")
    conformed = conform(frame, features)
    by_slice = slice_features(frame[parts.train], features, spec)
    aside = conform(frame, [feature for feature in by_slice if feature not in features])
    order = growing(frame, target, spec, parts.train)
    return Dataset(
        spec, path, table.version, target, weights, parts, order, findings, features, conformed, by_slice, aside, stream
    )


def _height(table: Table) -> str:
    drawn = f"{table.frame.height:,}"
    return drawn if table.drawn is None else f"{drawn} of {sum(piece.rows for piece in table.pieces):,}"


def _sizes(parts: Parts) -> str:
    return ", ".join(f"{len(rows):,} {name}" for name, rows in vars(parts).items())


def _tell(findings: list[Finding]) -> None:
    for finding in findings:
        print_stage(finding.severity, f"{f'{finding.column}: ' if finding.column else ''}{finding.message}")
    if errors := [finding for finding in findings if finding.severity == "error"]:
        columns = ", ".join(str(finding.column) for finding in errors)
        raise CheckFailed(f"not trained, as model.yaml says `strict`: {columns}; see above")
