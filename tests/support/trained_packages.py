"""Packages of small models that were really trained: one of each kind that the documents have other sentences for."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from model_deployer.contract import store
from model_deployer.contract.artifact import Artifact
from model_deployer.package.package_data import PackageData
from model_deployer.training.data.dataset import read_dataset
from model_deployer.training.run import train
from tests.support.packages import package_of

ROWS = 600


@dataclass(frozen=True)
class Kind:
    """A kind of model.

    Attributes:
        table: Returns the table for a number of rows; the target is ``y``.
        data: Further keys of ``data`` in model.yaml.
        keys: Further keys of model.yaml.
        rows: The number of rows.
        estimator: The value of ``estimator`` in model.yaml.
    """

    table: Callable[[int], pl.DataFrame]
    data: str = ""
    keys: str = ""
    rows: int = ROWS
    estimator: str = "{name: linear}"


def train_package(kind: Kind, folder: Path) -> PackageData:
    """Train a model of a kind in this process, and return the data of its package."""
    folder.mkdir(parents=True, exist_ok=True)
    kind.table(kind.rows).write_parquet(folder / "t.parquet")
    (folder / "model.yaml").write_text(
        f"name: m\ndata: {{path: t.parquet, target: y{kind.data}}}\nestimator: {kind.estimator}\n{kind.keys}\n"
    )
    return package_of_artifact(store.load(train(read_dataset(folder / "model.yaml")).tag))


def package_of_artifact(artifact: Artifact) -> PackageData:
    """Return the data of a package of a stored model, with the measurements and answers of another server."""
    package = package_of(artifact.contract, artifact.evaluation.to_json())
    return replace(package, manifest=artifact.manifest, reference=artifact.reference, runner=artifact.runner)


def _columns(rows: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {"x": random.normal(size=rows), "z": random.normal(size=rows), "e": random.normal(size=rows)}


def _frame(rows: int, target: Callable[[dict[str, np.ndarray]], np.ndarray], **more: np.ndarray) -> pl.DataFrame:
    columns = _columns(rows)
    return pl.DataFrame({"x": columns["x"], "z": columns["z"], **more, "y": target(columns)})


def two_labels(rows: int) -> pl.DataFrame:
    """Return a table with two labels."""
    return _frame(rows, lambda c: np.where(c["x"] + c["e"] > 0.5, "late", "on time"))


def later_labels(rows: int) -> pl.DataFrame:
    """Return a table whose labels become more frequent with time: the frequencies of training no longer hold."""
    random = np.random.default_rng(1)
    day = np.arange(rows)
    late = random.random(rows) < 0.1 + 0.8 * day / rows
    times = (np.datetime64("2024-01-01") + day.astype("timedelta64[D]")).astype("datetime64[us]")
    return pl.DataFrame({"x": random.normal(size=rows), "when": times, "y": np.where(late, "late", "on time")})


def groups(rows: int) -> pl.DataFrame:
    """Return a table with three labels, a group, a named slice and a column to ignore."""
    shop = np.array([f"shop {number}" for number in np.arange(rows) % 40])
    region = np.where(np.arange(rows) % 3 == 0, "north", "south")
    return _frame(
        rows,
        lambda c: np.array(["low", "mid", "high"])[np.digitize(c["x"] + c["e"], [-0.7, 0.7])],
        shop=shop,
        region=region,
        note=np.arange(rows),
    )


def quantity(rows: int) -> pl.DataFrame:
    """Return a table with a quantity that may be negative."""
    return _frame(rows, lambda c: 3 * c["x"] + c["e"])


def skewed(rows: int) -> pl.DataFrame:
    """Return a table with a positive, skewed quantity, and an outlier in a field."""
    frame = _frame(rows, lambda c: np.exp(2 + c["x"] + c["e"] / 3))
    return frame.with_columns(z=pl.when(pl.int_range(pl.len()) == 0).then(500.0).otherwise("z"))


def counts(rows: int) -> pl.DataFrame:
    """Return a table with a count."""
    return _frame(rows, lambda c: np.random.default_rng(2).poisson(np.exp(1 + c["x"] / 2)).astype(np.int64))


def wide(rows: int) -> pl.DataFrame:
    """Return a table with 60 fields."""
    random = np.random.default_rng(3)
    values = {f"f{number}": random.normal(size=rows) for number in range(60)}
    return pl.DataFrame({**values, "y": np.where(values["f0"] + random.normal(size=rows) > 0, "yes", "no")})


def text(rows: int) -> pl.DataFrame:
    """Return a table whose only field is a text."""
    random = np.random.default_rng(4)
    words = np.array(["good", "bad", "slow", "fast", "late", "kind"])
    texts = [" ".join(random.choice(words, 6)) + f" number {row}" for row in range(rows)]
    return pl.DataFrame({"review": texts, "y": ["bad" if "bad" in each else "good" for each in texts]})


def one_field(rows: int) -> pl.DataFrame:
    """Return a table with one field."""
    return quantity(rows).select("x", "y")


def weighted(rows: int) -> pl.DataFrame:
    """Return a table with weights."""
    return two_labels(rows).with_columns(w=pl.Series(1.0 + np.arange(rows) % 3))


def many_labels(rows: int) -> pl.DataFrame:
    """Return a table with 15 labels."""
    return _frame(
        rows, lambda c: np.array([f"label {code}" for code in np.digitize(c["x"], np.linspace(-1.5, 1.5, 14))])
    )


STATEMENTS = """
card: {source: the shop's own records, personal_data: none, oversight: a person checks every refusal,
  out_of_scope: anything but parcels, retention: thirty days, deprecation: six months}
"""

KINDS = {
    "two labels": Kind(two_labels, keys=STATEMENTS),
    "two labels, costs": Kind(two_labels, keys="cost: {false_positive: 1, false_negative: 9}\npositive: late"),
    "labels that drift": Kind(later_labels, ", time: when", keys="cost: {false_negative: 3}\npositive: late"),
    "three labels, groups": Kind(groups, ", group: shop, ignore: [note]", keys="slices: [region]"),
    "many labels": Kind(many_labels),
    "regression": Kind(quantity, keys="unit: km\nsplit: {method: random}"),
    "logarithm": Kind(skewed),
    "count": Kind(counts, keys="task: count"),
    "quantile": Kind(quantity, keys="task: quantile\nquantile: 0.9"),
    "tiny": Kind(two_labels, rows=40),
    "wide": Kind(wide),
    "text only": Kind(text),
    "one field": Kind(one_field),
    "weights": Kind(weighted, ", weight: w"),
    "boosting": Kind(quantity, estimator="{name: lightgbm, trials: 1}"),
    "skipped": Kind(two_labels, estimator="{name: auto, budget_seconds: 0.001}"),
}
