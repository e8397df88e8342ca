"""A small table with every kind of feature, and models for it."""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.contract.features import Boolean, Categorical, Datetime, Feature, Numeric
from model_deployer.training.models.model import Model
from model_deployer.training.models.model_builder import build_model
from model_deployer.training.models.network import Network
from model_deployer.training.preprocessing.preprocessing import fit_preprocessor
from model_deployer.training.preprocessing.sample import Sample
from model_deployer.training.spec import Spec

FEATURES: tuple[Feature, ...] = (
    Numeric(name="size, in m²", missing="impute", minimum=0),
    Numeric(name="dial 'x'", missing="impute"),
    Boolean(name="open", missing="impute"),
    Datetime(name="when", missing="impute"),
    Categorical(name="colour", missing="impute"),
    Categorical(name="model_street", missing="impute"),
)
COLOURS = np.array(["", "blue", "green", "red", "réd"])
EPOCH_2013 = 1_356_998_400.0


def table(rows: int, seed: int = 0) -> pl.DataFrame:
    """Return conformed rows (Float64 with NaN, String with "") with a street of more levels than are embedded."""
    random = np.random.default_rng(seed)
    size = np.where(random.random(rows) < 0.1, np.nan, random.lognormal(size=rows))
    return pl.DataFrame(
        {
            "size, in m²": size,
            "dial 'x'": np.where(random.random(rows) < 0.7, 0.0, random.normal(size=rows)),
            "open": random.choice([0.0, 1.0, np.nan], rows),
            "when": EPOCH_2013 + random.integers(0, 365 * 24, rows) * 3600.0,
            "colour": random.choice(COLOURS, rows),
            "model_street": [f"street {number}" for number in random.integers(0, 260, rows)],
        }
    )


def scores(frame: pl.DataFrame) -> NDArray[np.float64]:
    """Return the quantity that the targets of the rows depend on, float64 [rows]."""
    red = (frame["colour"] == "red").cast(pl.Float64).to_numpy()
    size = frame["size, in m²"].fill_nan(1.0).to_numpy()
    street = frame["model_street"].str.extract(r"(\d+)").cast(pl.Float64).to_numpy()
    noise = np.random.default_rng(7).normal(size=frame.height)
    return np.asarray(2 * red - np.log(size) + frame["dial 'x'"].to_numpy() + street / 130 - 1 + noise / 2)


def classes_of(frame: pl.DataFrame, classes: int) -> NDArray[np.int64]:
    """Return the target as class codes [rows], for this number of classes of about equal size."""
    values = scores(frame)
    return np.searchsorted(np.quantile(values, np.arange(1, classes) / classes), values).astype(np.int64)


def counts_of(frame: pl.DataFrame) -> NDArray[np.float64]:
    """Return the target as counts [rows], which vary more than a Poisson variable around their rate."""
    return np.random.default_rng(11).poisson(np.exp(1 + scores(frame) / 2)).astype(np.float64)


def spec(*, by_time: bool = False, task: str = "auto", quantile: float | None = None, **estimator: Any) -> Spec:
    """Return a spec with a small network."""
    sizes = {"members": 2, "width": 16, "embedding": 4, "epochs": 3, "trials": 1, **estimator}
    data = {"path": "t", "target": "y"} | ({"time": "when"} if by_time else {})
    return Spec.model_validate({"name": "m", "data": data, "task": task, "quantile": quantile, "estimator": sizes})


def unfitted(
    frame: pl.DataFrame, target: NDArray[np.float64] | NDArray[np.int64], classes: int | None, options: Spec
) -> tuple[Model, Sample]:
    """Return a model with random weights, and its training rows."""
    features = [feature for feature in FEATURES if feature.name in frame.columns]
    preprocessor, inputs = fit_preprocessor(frame, features, target, classes, options.seed)
    train = Sample(inputs, target)
    return build_model(preprocessor, features, train, classes, options), train


def network_of(model: Model) -> Network:
    """Return the network of a model that has one."""
    assert isinstance(model.network, Network)
    return model.network
