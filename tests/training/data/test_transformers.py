"""Transformers of the user's own."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from model_deployer.contract.errors import DeployerError, EnvironmentFault, SpecError
from model_deployer.training.data.transformers import transform
from model_deployer.training.spec import Spec

FRAME = pl.DataFrame({"x": [0.0, 2.0, 4.0, 100.0], "z": [0.0, 2.0, 4.0, 100.0], "text": list("abcd")})
OWN = "tests.support.transformers"


def transformed(folder: Path, *transformers: dict[str, Any]) -> tuple[pl.DataFrame, dict[str, tuple[str, ...]]]:
    values = {"name": "m", "data": {"path": "t", "target": "y"}, "transformers": list(transformers)}
    return transform(FRAME, np.arange(4.0), np.arange(3), Spec.model_validate(values), folder)


def test_columns_are_added_by_a_fit_on_the_training_rows(tmp_path: Path) -> None:
    frame, names = transformed(tmp_path, {"name": f"{OWN}.Distance", "columns": ["x", "z"]})
    assert names == {f"{OWN}.Distance": ("distance0",)}
    assert frame["distance0"].to_list() == pytest.approx([2 * 2**0.5, 0, 2 * 2**0.5, 98 * 2**0.5])
    assert frame.columns == [*FRAME.columns, "distance0"]


def test_names_are_those_of_the_result(tmp_path: Path) -> None:
    """A name of the input gets the name of the class in front."""
    frame, names = transformed(tmp_path, {"name": f"{OWN}.Named", "columns": ["x"]})
    assert names == {f"{OWN}.Named": ("rows_of_fit", "named_x")}
    assert frame["rows_of_fit"].unique().to_list() == [3]


@pytest.mark.parametrize(
    ("name", "parameters", "columns"),
    [
        ("sklearn.decomposition.PCA", {"n_components": 2}, ("pca0", "pca1")),
        ("sklearn.preprocessing.StandardScaler", {}, ("standardscaler_x", "standardscaler_z")),
        (
            "sklearn.preprocessing.SplineTransformer",
            {"n_knots": 2, "degree": 1},
            ("x_sp_0", "x_sp_1", "z_sp_0", "z_sp_1"),
        ),
        ("sklearn.cluster.KMeans", {"n_clusters": 2, "random_state": 0}, ("kmeans0", "kmeans1")),
    ],
)
def test_transformers_of_scikit_learn_can_be_named(
    tmp_path: Path, name: str, parameters: dict[str, Any], columns: tuple[str, ...]
) -> None:
    frame, names = transformed(tmp_path, {"name": name, "parameters": parameters, "columns": ["x", "z"]})
    assert names == {name: columns}
    assert frame.select(columns).dtypes == [pl.Float64] * len(columns)


@pytest.mark.parametrize(
    ("name", "columns", "error", "complaint"),
    [
        (f"{OWN}.Short", ["x"], SpecError, r"its shape is \(3, 1\); expected \(4, 1\)"),
        (f"{OWN}.Texts", ["x"], SpecError, "is not a table of numbers"),
        (f"{OWN}.Broken", ["x"], SpecError, rf"cannot be fitted \(line \d+ of {OWN}\): 'no such key'"),
        (f"{OWN}.Distance", ["y z"], SpecError, "the table has no column 'y z'"),
        ("subprocess.Popen", ["x"], SpecError, "not a subclass of sklearn.base.TransformerMixin"),
        ("nothing.Here", ["x"], EnvironmentFault, "must be in the folder of model.yaml"),
    ],
)
def test_what_cannot_be_used_is_an_error(
    tmp_path: Path, name: str, columns: list[str], error: type[DeployerError], complaint: str
) -> None:
    with pytest.raises(error, match=complaint):
        transformed(tmp_path, {"name": name, "columns": columns})
