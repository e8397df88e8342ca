"""Features that expressions derive from the columns of the table, in training and in the served graph."""

from collections.abc import Mapping, Sequence

import onnx
import polars as pl
from pydantic import BaseModel, ConfigDict

from model_deployer.contract.features import Boolean, Feature, Numeric
from model_deployer.training.data import expression
from model_deployer.training.data.expression import Node
from model_deployer.training.data.expression_values import Lookup, evaluate
from model_deployer.training.preprocessing.expression_nodes import GraphBuilder, add_nodes


class DerivedFeature(BaseModel):
    """A feature with the value of an expression.

    Attributes:
        name: Its name.
        text: The expression.
        kinds: The kinds of the columns that it uses.
        lookups: Its tables by group, from the training rows, in the order of its steps.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    text: str
    kinds: dict[str, str]
    lookups: tuple[Lookup, ...] = ()

    @property
    def root(self) -> Node:
        """The expression as steps."""
        return expression.parse(self.text, self.kinds)

    @property
    def feature(self) -> Feature:
        """The feature, as the preprocessing takes it."""
        kind: type[Boolean | Numeric] = Boolean if self.root.type == "boolean" else Numeric
        return kind(name=self.name, required=False, missing="impute")

    def values(self, frame: pl.DataFrame) -> pl.Series:
        """Return the value for each row of a conformed frame, Float64."""
        return pl.Series(self.name, evaluate(self.root, frame, self.lookups))


def fit_derived(
    texts: Mapping[str, str], features: Sequence[Feature], frame: pl.DataFrame
) -> tuple[DerivedFeature, ...]:
    """Return the features of expressions, with the tables of the training rows.

    Args:
        texts: The expressions by the name of the feature.
        features: The features of the table.
        frame: The conformed training rows.
    """
    kinds = {feature.name: feature.kind for feature in features}
    derived = []
    for name, text in texts.items():
        root = expression.parse(text, kinds)
        lookups = tuple(_fit(node, frame) for node in root.walk() if node.operation == "table")
        used = {column: kinds[column] for column in sorted(root.columns)}
        derived.append(DerivedFeature(name=name, text=text, kinds=used, lookups=lookups))
    return tuple(derived)


def derive(frame: pl.DataFrame, derived: Sequence[DerivedFeature]) -> pl.DataFrame:
    """Return a conformed frame with the columns of derived features."""
    return frame.with_columns(feature.values(frame) for feature in derived)


def derived_nodes(
    derived: Sequence[DerivedFeature], prefix: str
) -> tuple[list[onnx.NodeProto], list[onnx.ValueInfoProto]]:
    """Return the nodes that make tensors of the names of derived features, and the types of some inner tensors."""
    graph = GraphBuilder(f"{prefix}derived")
    for feature in derived:
        value = add_nodes(feature.root, graph, feature.lookups)
        graph.nodes.append(onnx.helper.make_node("Identity", [value], [feature.name]))
    return graph.nodes, graph.types


def _fit(node: Node, frame: pl.DataFrame) -> Lookup:
    """Return the statistic of a column by the texts of another one.

    Missing numbers do not count. A text without numbers gets the statistic of all rows, as an unknown text does.
    """
    statistic, numbers = node.value
    values = pl.Series(evaluate(numbers, frame, ())).fill_nan(None)
    rows = pl.DataFrame({"group": frame[node.arguments[0].value], "number": values})
    column = pl.col("number")
    aggregates = {
        "mean": column.mean(), "median": column.median(), "min": column.min(), "max": column.max(),
        "std": column.std(ddof=0), "count": column.count().cast(pl.Float64),
    }  # fmt: skip
    aggregate = aggregates[statistic].alias("value")
    table = rows.group_by("group").agg(aggregate).drop_nulls().sort("group")
    default = 0.0 if statistic == "count" else float(rows.select(aggregate).item() or 0)
    return Lookup(tuple(table["group"]), tuple(table["value"].to_list()), default)
