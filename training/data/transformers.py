"""Columns that transformers of the user's compute: classes with the interface of scikit-learn's, in Python.

They cannot become nodes of the graph, so a model with one is trained and evaluated, but not served.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.base import TransformerMixin

from model_deployer.contract.errors import SpecError
from model_deployer.contract.yaml_source import suggestion
from model_deployer.training.runtime.imports import import_class, importable, own_code_error
from model_deployer.training.spec import Spec, TransformerSpec


def transform(
    frame: pl.DataFrame, target: NDArray[Any], rows: NDArray[np.int64], spec: Spec, folder: Path
) -> tuple[pl.DataFrame, dict[str, tuple[str, ...]]]:
    """Return a table with the columns that the transformers of a model.yaml compute, and their names.

    A transformer is called with its ``parameters``, fitted on the training rows by ``fit(frame, target)``, and applied
    to all rows by ``transform(frame)``. Its result is an array [rows, columns] or a DataFrame of numbers; the names are
    those of the DataFrame, else of ``get_feature_names_out``, else the name of the class with a number.

    Args:
        frame: The table.
        target: The target of each row [rows]: class codes int64, or the regression target float64.
        rows: The training rows, int64.
        spec: The model.yaml.
        folder: Its folder, where modules of the user's are.

    Returns:
        The table, and the names of the new columns by the import path of their class.

    Raises:
        EnvironmentFault: if a class cannot be imported.
        SpecError: if it is not a transformer, fails, or returns something else than a number for each row.
    """
    added: dict[str, tuple[str, ...]] = {}
    with importable(folder):
        for index, transformer in enumerate(spec.transformers):
            location = spec.location("transformers", index)
            columns = _columns(transformer, frame, target, rows, location)
            if repeated := [name for name in columns.columns if name in frame.columns]:
                raise SpecError(f"{location}: the table has a column '{repeated[0]}' already; rename it")
            frame = frame.hstack(columns)
            added[transformer.name] = (*added.get(transformer.name, ()), *columns.columns)
    return frame, added


def _columns(
    transformer: TransformerSpec, frame: pl.DataFrame, target: NDArray[Any], rows: NDArray[np.int64], location: str
) -> pl.DataFrame:
    for name in transformer.columns:
        if name not in frame.columns:
            raise SpecError(f"{location}: the table has no column '{name}'{suggestion(name, frame.columns)}")
    selected = pl.DataFrame([frame[name] for name in transformer.columns])
    own = import_class(transformer.name, TransformerMixin, "transformers.name")
    step = "created"
    try:
        fitted: Any = own(**transformer.parameters)
        step = "fitted"
        fitted.fit(selected[rows], target[rows])
        step = "applied"
        result = fitted.transform(selected)
        step = "applied, because its result is not a table of numbers"
        return _numbers(result, _names(fitted, result, transformer), frame.height)
    except Exception as error:  # the user's code may raise anything
        raise own_code_error(transformer.name, f"cannot be {step}", error) from None


def _names(fitted: Any, result: Any, transformer: TransformerSpec) -> Sequence[str]:
    """Return the names of the new columns; those of the old ones get the name of the class in front."""
    prefix = transformer.name.rpartition(".")[2].lower()
    if hasattr(result, "columns"):
        names = [str(name) for name in result.columns]
    elif hasattr(fitted, "get_feature_names_out"):
        names = [str(name) for name in fitted.get_feature_names_out(list(transformer.columns))]
    else:
        names = [f"{prefix}{index}" for index in range(np.shape(result)[1])]
    return [f"{prefix}_{name}" if name in transformer.columns else name for name in names]


def _numbers(result: Any, names: Sequence[str], rows: int) -> pl.DataFrame:
    dense = result.toarray() if hasattr(result, "toarray") else result
    values = np.asarray(dense.to_numpy() if hasattr(dense, "to_numpy") else dense, dtype=np.float64)
    if values.shape != (rows, len(names)):
        raise ValueError(f"its shape is {values.shape}; expected ({rows}, {len(names)})")
    return pl.DataFrame({name: values[:, index] for index, name in enumerate(names)}).fill_nan(None)
