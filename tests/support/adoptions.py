"""Models that were trained elsewhere, with a table and a model.yaml, for tests of adoption."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from model_deployer.adoption.cell.trust import digest_of

#: A script that defines a transformer and stores a model with it, as teams do.
SCRIPT = """
import pickle, sys
import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline


class Ratio(BaseEstimator, TransformerMixin):
    def fit(self, rows, target=None):
        return self

    def transform(self, rows):
        return (rows["income"].fillna(0) / rows["age"]).to_numpy()[:, None]


if __name__ == "__main__":
    table = pd.read_csv(sys.argv[1])
    model = Pipeline([("ratio", Ratio()), ("line", LinearRegression())])
    model.fit(table[["age", "income"]], table["spend"])
    with open(sys.argv[2], "wb") as file:
        pickle.dump(model, file)
"""


def buyers(rows: int = 400) -> pl.DataFrame:
    """Return rows with numbers, a category, missing values, two classes and a quantity."""
    random = np.random.default_rng(0)
    age = random.integers(18, 80, rows)
    income = np.where(random.random(rows) < 0.1, np.nan, random.lognormal(10, 1, rows).round(2))
    city = random.choice(["Bern", "Graz", "Ulm"], rows)
    score = age / 50 + (city == "Ulm") + random.normal(size=rows)
    spend = np.nan_to_num(income) / age + random.normal(size=rows)
    bought = np.where(score > 1.5, "yes", "no")
    frame = pl.DataFrame({"age": age, "income": income, "city": city, "bought": bought, "spend": spend})
    return frame.with_columns(
        pl.col("income").fill_nan(None), city=pl.when(pl.col("age") < 20).then(None).otherwise("city")
    )


def write_adoption(folder: Path, model: Any, target: str, table: pl.DataFrame, **adopt: str) -> Path:
    """Write a pickle, a table and a model.yaml that adopts the pickle in this environment; return the model.yaml."""
    (folder / "model.pkl").write_bytes(model if isinstance(model, bytes) else pickle.dumps(model))
    table.write_csv(folder / "table.csv")
    return write_spec(folder, target, **adopt)


def write_spec(folder: Path, target: str, **adopt: str) -> Path:
    """Write a model.yaml that adopts ``model.pkl``, or another source, in a folder."""
    source = adopt.get("source", "model.pkl")
    keys = {"source": source, "trust": digest_of(folder / source), "environment": "current"} | adopt
    lines = "".join(f"  {key}: {value}\n" for key, value in keys.items() if value)
    path = folder / "model.yaml"
    path.write_text(f"name: adopted\ndata: {{path: table.csv, target: {target}}}\nadopt:\n{lines}")
    return path
