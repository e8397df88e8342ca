"""Packages of small models that were trained elsewhere: scikit-learn fits them, and their pickles are adopted."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from sklearn.linear_model import LinearRegression, LogisticRegression

from model_deployer.adoption.cell.trust import digest_of
from model_deployer.contract import store
from model_deployer.contract.artifact import Artifact
from model_deployer.package.package_data import PackageData
from model_deployer.training.adoption_run import adopt
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
        is_graph: Whether a graph serves it; else its source does, in a process of its own.
        data: Further keys of ``data`` in model.yaml.
        keys: Further keys of model.yaml.
    """

    table: Callable[[int], pl.DataFrame]
    estimator: Callable[[], Any]
    seen: bool | None = None
    is_graph: bool = True
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
    "adopted, served by its source": AdoptedKind(two_labels, LogisticRegression, is_graph=False),
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
    fitted = kind.estimator().fit(table.select(FIELDS), table["y"].to_numpy())
    (folder / "m.pkl").write_bytes(pickle.dumps(fitted))
    seen = "" if kind.seen is None else f", seen: {str(kind.seen).lower()}"
    serve = "" if kind.is_graph else ", serve: runner"
    trust = digest_of(folder / "m.pkl")
    (folder / "model.yaml").write_text(
        f"name: m\ndata: {{path: t.parquet, target: y{kind.data}}}\n"
        f"adopt: {{source: m.pkl, trust: '{trust}', environment: current{seen}{serve}}}\n{kind.keys}\n"
    )
    return store.load(adopt(folder / "model.yaml").tag)
