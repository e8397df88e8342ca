"""A model that its source serves: a class of a script, which refuses one income and hangs for another."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from model_deployer.contract import store
from model_deployer.contract.artifact import Artifact
from model_deployer.serving.engines.source_process import ENVIRONMENTS_VARIABLE
from model_deployer.training.fit import fit
from tests.support.adoptions import buyers, write_spec
from tests.support.in_process import model_store
from tests.support.linked_environments import link_source

#: The model raises an error for a row with this income, and never answers one with the other.
REFUSED, HANGING = 13.0, 666.0

#: Income by age, and more in one city.
SCRIPT = f"""
import itertools, pickle, sys
from sklearn.base import BaseEstimator, RegressorMixin


class Spending(RegressorMixin, BaseEstimator):
    def fit(self, rows, target=None):
        self.is_fitted_ = True
        return self

    def predict(self, rows):
        if (rows["income"] == {REFUSED}).any():
            raise ValueError(f"no income is {{rows['income'].min()}}")
        if (rows["income"] == {HANGING}).any():
            sum(itertools.repeat(1))
        return (rows["income"].fillna(0) / rows["age"] + 100 * (rows["city"] == "Ulm")).to_numpy()


if __name__ == "__main__":
    with open(sys.argv[1], "wb") as file:
        pickle.dump(Spending().fit(None), file)
"""


def spending(row: Mapping[str, Any]) -> float:
    """Return what the model answers to a row."""
    answer: float = (row["income"] or 0) / row["age"] + 100 * (row["city"] == "Ulm")
    return answer


def rows() -> list[dict[str, Any]]:
    """Return rows of callers."""
    return buyers().select("age", "income", "city").to_dicts()


def adopt_source(folder: Path, keys: str = "") -> Artifact:
    """Adopt the model and have its source serve it; the store is ``home`` in the folder.

    Args:
        folder: An empty folder.
        keys: Further keys of model.yaml.
    """
    (folder / "source").mkdir(parents=True)
    (folder / "source" / "train.py").write_text(SCRIPT)
    subprocess.run([sys.executable, "train.py", "model.pkl"], cwd=folder / "source", check=True)
    table = buyers().with_columns(spend=pl.col("income").fill_null(0) / pl.col("age")).drop("bought")
    table.write_csv(folder / "table.csv")
    path = write_spec(folder, "spend", source="source", columns="[age, income, city]", serve="runner")
    path.write_text(f"{path.read_text()}{keys}\n")
    with model_store(folder / "home"):
        return store.load(fit(path).tag)


def variables(artifact: Artifact, folder: Path) -> dict[str, str]:
    """Return variables with which the environment of the tests serves the source, without an installation."""
    runner = artifact.runner
    assert runner
    link_source(runner, folder)
    return {ENVIRONMENTS_VARIABLE: str(folder)}
