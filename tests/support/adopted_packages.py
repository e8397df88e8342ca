"""Packages of small models that were trained elsewhere: scikit-learn fits them, and they answer in this process."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import polars as pl
import sklearn
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression, LogisticRegression

from model_deployer.adoption.adopted_source import AdoptedSource
from model_deployer.adoption.equality.comparison import SourceAnswers
from model_deployer.adoption.graph.frame import Frame
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.interface import Interface, SourceField, label_text
from model_deployer.contract import store
from model_deployer.contract.adoption import Adoption
from model_deployer.contract.artifact import Artifact
from model_deployer.package.package_data import PackageData
from model_deployer.training.adoption_run import adopt
from model_deployer.training.data.dataset import read_evaluation_data
from tests.support.trained_packages import (
    KINDS,
    ROWS,
    groups,
    package_of_artifact,
    quantity,
    train_package,
    two_labels,
)

#: The fields that each model reads, in its order.
FIELDS = ("x", "z")


@dataclass(frozen=True)
class AdoptedKind:
    """A kind of model that was trained elsewhere.

    Attributes:
        table: Returns the table for a number of rows; the target is ``y``.
        estimator: The model before it is fitted.
        seen: Whether model.yaml says that the model was trained on rows of the table; None if it does not say.
        data: Further keys of ``data`` in model.yaml.
        keys: Further keys of model.yaml.
    """

    table: Callable[[int], pl.DataFrame]
    estimator: Callable[[], Any]
    seen: bool | None = None
    data: str = ""
    keys: str = ""


ADOPTED = {
    "adopted, classification": AdoptedKind(two_labels, LogisticRegression, keys="cost: {false_negative: 5}"),
    "adopted, regression": AdoptedKind(
        quantity, LinearRegression, seen=False, keys="unit: km\nsplit: {method: random}"
    ),
    "adopted, seen": AdoptedKind(
        groups, LogisticRegression, seen=True, data=", group: shop, ignore: [note]", keys="slices: [region]"
    ),
}


def package_of_kind(kind: str, folder: Path) -> PackageData:
    """Train or adopt a model of a kind in this process, and return the data of its package."""
    return adopt_package(ADOPTED[kind], folder) if kind in ADOPTED else train_package(KINDS[kind], folder)


def adopt_package(kind: AdoptedKind, folder: Path) -> PackageData:
    """Adopt a model of a kind in this process, and return the data of its package."""
    return package_of_artifact(adopt_model(kind, folder))


def adopt_model(kind: AdoptedKind, folder: Path) -> Artifact:
    """Fit a model of a kind with scikit-learn, adopt it, and return it from the store.

    The folder has its model.yaml and its table.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table = kind.table(ROWS)
    table.write_parquet(folder / "t.parquet")
    (folder / "model.yaml").write_text(
        f"name: m\ndata: {{path: t.parquet, target: y{kind.data}}}\nadopt: {{source: m.pkl}}\n{kind.keys}\n"
    )
    fitted = kind.estimator().fit(table.select(FIELDS).to_numpy(), table["y"].to_numpy())
    source = _source(fitted, kind.seen)
    dataset = read_evaluation_data(folder / "model.yaml", source.interface)
    return store.load(adopt(dataset, source, AnsweringSource(fitted)).tag)


@dataclass(frozen=True)
class AnsweringSource:
    """A fitted model of scikit-learn that answers in this process."""

    model: Any

    @property
    def versions(self) -> Mapping[str, str]:
        """The versions of the libraries that it answers with."""
        return {"scikit-learn": sklearn.__version__}

    def ask(self, frame: pl.DataFrame) -> SourceAnswers:
        """Return the answers of scikit-learn; it refuses a row with a missing value."""
        rows = frame.select(FIELDS).to_numpy()
        refused = {int(row): "ValueError" for row in np.flatnonzero(np.isnan(rows).any(axis=1))}
        answered = np.nan_to_num(rows)
        if not hasattr(self.model, "predict_proba"):
            return SourceAnswers(_without(self.model.predict(answered)[:, None], refused), None, refused)
        decisions = [label_text(label) for label in self.model.predict(answered)]
        return SourceAnswers(_without(self.model.predict_proba(answered), refused), decisions, refused)


def _without(numbers: NDArray[np.float64], refused: Mapping[int, str]) -> NDArray[np.float64]:
    numbers[list(refused)] = np.nan
    return numbers


def _source(fitted: Any, seen: bool | None) -> AdoptedSource:
    labels = tuple(label_text(label) for label in fitted.classes_) if hasattr(fitted, "classes_") else None
    versions = {"scikit-learn": sklearn.__version__}
    origin = Adoption(
        source="m.pkl",
        digest="sha256:" + "0" * 64,
        format="pickle",
        estimator=f"{type(fitted).__module__}.{type(fitted).__qualname__}",
        stored_with=versions,
        answered_with={},
        served_by="graph",
        seen=seen,
    )
    interface = Interface(tuple(SourceField(name, "number") for name in FIELDS), labels)
    graph, critical = _graph(fitted)
    return AdoptedSource(interface, origin, graph, critical)


def _graph(fitted: Any) -> tuple[onnx.ModelProto, Mapping[str, set[float | str]]]:
    """Return the graph of a linear model, and its critical values."""
    writer = GraphWriter()
    numbers = Frame.of_fields(FIELDS).numbers(writer).tensor
    assert numbers
    weights, intercept = np.atleast_2d(fitted.coef_).T, np.atleast_1d(fitted.intercept_)
    products = writer.add("MatMul", numbers, writer.constant(weights))
    scores = writer.add("Add", products, writer.constant(intercept))
    if not hasattr(fitted, "classes_"):
        return writer.model({"value": (scores, 1)}), writer.critical
    if len(fitted.classes_) > 2:
        return writer.model({"probabilities": (writer.add("Softmax", scores, axis=1), 3)}), writer.critical
    positive = writer.add("Sigmoid", scores)
    negative = writer.add("Sub", writer.constant([[1.0]]), positive)
    return writer.model({"probabilities": (writer.add("Concat", negative, positive, axis=1), 2)}), writer.critical
