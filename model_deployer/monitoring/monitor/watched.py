"""The fields and predictions of a model that captured traffic can be compared with its table in."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.adoption.tensor_column import axes_of
from model_deployer.contract.artifact import Artifact
from model_deployer.contract.features import Feature
from model_deployer.contract.outputs import Classification, Output, VectorOutput
from model_deployer.contract.reference import (
    CountDistribution,
    Distribution,
    NormDistribution,
    Reference,
)
from model_deployer.contract.traffic import column_of, output_column
from model_deployer.contract.unit_spread import UnitSpread, assumed_spread
from model_deployer.monitoring.statistics.evidence import Floats, Ints

#: The rows of a live day for which the noise of a table without units holds.
_ASSUMED_ROWS = 1_000


@dataclass(frozen=True)
class Watched:
    """A field or prediction with its distribution in the table.

    Attributes:
        name: The name of the field, or the tensor and column of a prediction.
        about: A description for people.
        column: Its column of captured traffic.
        distribution: The distribution in the table.
        spread: How far the days of the table differ.
        feature: The field; None for a prediction.
    """

    name: str
    about: str
    column: str
    distribution: Distribution
    spread: UnitSpread
    feature: Feature | None

    @property
    def has_values(self) -> bool:
        """Whether the values are captured, and not only their bins."""
        return not self.column.startswith("bin.")

    @property
    def bins(self) -> list[str]:
        """The names of the bins."""
        return list(self.distribution.shares())

    def codes(self, rows: pl.DataFrame) -> NDArray[np.intp]:
        """Return the index of the bin of each captured row, [rows]."""
        column = rows[self.column]
        if self.has_values:
            return self.distribution.codes(_values(column, self.distribution))
        indices = {name: index for index, name in enumerate(self.bins)}
        other = indices.get("other", indices["missing"])
        return np.array([indices.get(name, other) for name in column.fill_null("missing").to_list()], np.intp)

    def counts(self, rows: pl.DataFrame, days: int) -> Ints:
        """Return the number of rows of each day in each bin, int64 [days, bins]; see :func:`effective_counts`."""
        bins = len(self.bins)
        cells = rows["day"].to_numpy() * bins + self.codes(rows)
        weights = rows["weight"].to_numpy()
        sums, squares = (
            np.asarray(np.bincount(cells, each, days * bins), np.float64).reshape(days, bins)
            for each in (weights, weights**2)
        )
        return effective_counts(sums, squares)

    def numbers(self, rows: pl.DataFrame) -> Floats:
        """Return the values as numbers, [rows], NaN if missing; only for numbers that are captured."""
        return np.asarray(rows[self.column].cast(pl.Float64).fill_null(np.nan).to_numpy(), np.float64)


def effective_counts(sums: Floats, squares: Floats) -> Ints:
    """Return counts with the shares of weighted rows, and as much information (Kish, 1965, "Survey sampling").

    A row with a weight of 10 stands for ten, but says no more than one.

    Args:
        sums: The sum of the weights of each day in each bin, [days, bins].
        squares: The sum of their squares, [days, bins].
    """
    totals, total_squares = sums.sum(axis=1, keepdims=True), squares.sum(axis=1, keepdims=True)
    factors = totals / np.maximum(total_squares, np.finfo(float).tiny)
    return np.asarray(np.rint(sums * factors), np.int64)


def watched_fields(artifact: Artifact, captured: list[str]) -> tuple[list[Watched], dict[str, str]]:
    """Return the fields that are watched, and by name why each of the others is not.

    Args:
        artifact: The model.
        captured: The columns of its captured traffic.
    """
    watched, reasons = [], {}
    for feature in artifact.contract.features:
        column, reason = column_of(feature), _reason(feature, artifact.reference, captured)
        if reason or column is None or artifact.reference is None:
            reasons[feature.name] = reason or "it is not captured"
        else:
            distribution = artifact.reference.features[feature.name]
            spread = _spread(artifact.reference, feature.name, distribution)
            watched.append(Watched(feature.name, feature.name, column, distribution, spread, feature))
    return watched, reasons


def watched_predictions(artifact: Artifact, captured: list[str]) -> list[Watched]:
    """Return the predictions that are watched. Of two labels it is the second, which the first mirrors."""
    reference = artifact.reference
    if reference is None:
        return []
    return [
        Watched(name, about, column, reference.predictions[name], _spread(reference, name), None)
        for name, (about, column) in _predictions(artifact.contract.output)
        if name in reference.predictions and column in captured
    ]


def _predictions(output: Output) -> Iterator[tuple[str, tuple[str, str]]]:
    if isinstance(output, Classification):
        first = 1 if len(output.labels) == 2 else 0
        for index, label in list(enumerate(output.labels))[first:]:
            yield f"probabilities[{index}]", (f"probability of {label}", output_column(f"probabilities.{label}"))
    elif isinstance(output, VectorOutput) and output.names:
        for index, name in enumerate(output.names):
            yield f"values[{index}]", (f"predicted {name}", output_column(f"values.{name}"))
    elif isinstance(output, VectorOutput):
        yield "values", (f"norm of {output.target}", output_column("values"))
    else:
        yield "value[0]", (f"predicted {output.target}", output_column("value"))


def _reason(feature: Feature, reference: Reference | None, captured: list[str]) -> str | None:
    """Return why a field is not watched; None if it is."""
    if feature.capture_policy == "drop":
        return "it is not captured (`capture: drop`)"
    if feature.capture_policy == "hash":
        return "only its hash is captured, which changes each month (`capture: hash`)"
    if feature.kind == "datetime":
        return "it is a time, which always changes"
    if reference is None or feature.name not in reference.features:
        return "the model has no reference distribution of it"
    if column_of(feature) not in captured:
        return "the captured rows do not have it"
    return None


def _spread(reference: Reference, name: str, distribution: Distribution | None = None) -> UnitSpread:
    if spreads := reference.spreads:
        bins = spreads.predictions.get(name) if distribution is None else spreads.features.get(name)
        if bins:
            return spreads.of(bins)
    shares = (distribution or reference.predictions[name]).shares()
    return assumed_spread(np.array(list(shares.values())), _ASSUMED_ROWS)


def _values(column: pl.Series, distribution: Distribution) -> NDArray[np.float64] | NDArray[np.object_]:
    """Return captured values as :meth:`Distribution.codes` takes them, [rows]."""
    if isinstance(distribution, NormDistribution):
        for _ in range(axes_of(column.dtype) - 1):  # the numbers of tensors
            column = column.list.eval(pl.element().list.explode())
        return column.list.eval(pl.element() ** 2).list.sum().sqrt().fill_null(np.nan).cast(pl.Float64).to_numpy()
    if isinstance(distribution, CountDistribution):
        return column.list.len().cast(pl.Float64).fill_null(np.nan).to_numpy()
    if column.dtype == pl.String:
        return np.array(column.fill_null("").to_list(), object)
    if isinstance(column.dtype, pl.Datetime):
        return (column.dt.epoch("us") / 1e6).fill_null(np.nan).to_numpy()
    return column.cast(pl.Float64).fill_null(np.nan).to_numpy()
