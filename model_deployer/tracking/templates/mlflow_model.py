"""The model for MLflow: a DataFrame goes in, and one with the answers of the service comes out."""

import importlib.util
import math
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE


class Model(mlflow.pyfunc.PythonModel):
    """Answers with ``predictor.py`` next to the graph, which needs ONNX Runtime and numpy only."""

    def load_context(self, context: Any) -> None:
        """Load the graph and the contract."""
        folder = Path(context.artifacts["model"])
        predictor = _module(folder / "predictor.py")
        self._invalid_rows, self._model = predictor.InvalidRows, predictor.load(folder)

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """Return the predictions of rows, in columns such as ``decision`` and ``probabilities.yes``.

        Raises:
            MlflowException: If the contract refuses rows: the message names the row, the field and what was expected.
        """
        del context, params
        rows = [_present(row) for row in model_input.to_dict("records")]
        try:
            answers = self._model.predict(rows)
        except self._invalid_rows as refusal:
            raise MlflowException(str(refusal), error_code=INVALID_PARAMETER_VALUE) from None
        return pd.DataFrame([_flat(answer) for answer in answers], index=model_input.index)


def _module(path: Path) -> Any:
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def _present(row: "dict[str, Any]") -> "dict[str, Any]":
    """Return a row with null for missing values, as JSON has it."""
    return {name: None if _is_missing(value) else value for name, value in row.items()}


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value))


def _flat(answer: "dict[str, Any]") -> "dict[str, Any]":
    flat = {}
    for name, value in answer.items():
        if isinstance(value, dict):
            flat.update({f"{name}.{key}": number for key, number in value.items()})
        elif name == "set":
            flat.update({f"set.{label}": label in value for label in answer["probabilities"]})
        else:
            flat[name] = value
    return flat


mlflow.models.set_model(Model())
