"""Models of every library with the same two methods: ``describe`` and ``predict``.

``predict`` returns ``probabilities`` [rows, classes], ``decision`` [rows], ``scores`` or ``value`` [rows, outputs].
"""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import numpy as np

from .table import Table

#: The objectives of boosters that answer probabilities.
_PROBABILITIES = ("binary", "cross_entropy", "multiclass", "multiclassova", "binary:logistic", "multi:softprob")


class Estimator:
    """A model with the methods of scikit-learn; also of XGBoost, LightGBM and CatBoost."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator
        self.names = _feature_names(estimator)

    def describe(self) -> dict[str, Any]:
        """Return what the model says of its inputs and outputs."""
        return {
            "class": f"{type(self.estimator).__module__}.{type(self.estimator).__name__}",
            "classes": _classes(self.estimator),
            "features": getattr(self.estimator, "n_features_in_", None) or _length(self.names),
            "names": self.names,
            "has_probabilities": hasattr(self.estimator, "predict_proba"),
        }

    def predict(self, table: Table) -> dict[str, Any]:
        """Return the answers to rows."""
        rows, answer = table.input(bool(self.names)), {}
        wanted = table.options.get("outputs") or ("probabilities", "decision", "scores", "value")
        if "probabilities" in wanted and hasattr(self.estimator, "predict_proba"):
            answer["probabilities"] = _single(self.estimator.predict_proba(rows))
        elif "scores" in wanted and hasattr(self.estimator, "decision_function"):
            answer["scores"] = self.estimator.decision_function(rows)
        is_classifier = _classes(self.estimator) is not None
        if ("decision" if is_classifier else "value") in wanted:
            answer["decision" if is_classifier else "value"] = _values(self.estimator.predict(rows), is_classifier)
        return answer


class Steps:
    """Objects that follow each other: all but the last one transform the rows."""

    def __init__(self, transformers: list[Any], last: Any) -> None:
        self.transformers, self.last = transformers, last

    def describe(self) -> dict[str, Any]:
        """Return what the last object says of its outputs, and the first one of its inputs."""
        first = Estimator(self.transformers[0]).describe()
        return dict(self.last.describe(), features=first["features"], names=first["names"])

    def predict(self, table: Table) -> dict[str, Any]:
        """Return the answers to rows."""
        rows = table.input(bool(_feature_names(self.transformers[0])))
        for transformer in self.transformers:
            rows = transformer.transform(rows)
        return dict(self.last.predict(Transformed(rows, table)))


class Transformed:
    """Rows that steps have transformed, in place of a table."""

    def __init__(self, rows: Any, table: Table) -> None:
        self.rows, self.options = rows, table.options

    def input(self, needs_names: bool) -> Any:
        """Return the rows as the last step gave them."""
        return self.rows

    def array(self) -> Any:
        """Return the rows as the last step gave them."""
        return self.rows

    def frame(self) -> Any:
        """Return the rows as the last step gave them."""
        return self.rows


class Booster:
    """A booster of XGBoost or LightGBM without the class of scikit-learn around it."""

    def __init__(self, booster: Any, objective: str) -> None:
        self.booster, self.objective = booster, objective
        names = booster.feature_names if hasattr(booster, "feature_names") else booster.feature_name()
        self.names = list(names) if names else None

    def describe(self) -> dict[str, Any]:
        """Return what the booster says of its inputs and outputs."""
        kind = type(self.booster)
        features = self.booster.num_features() if hasattr(self.booster, "num_features") else self.booster.num_feature()
        return {
            "class": f"{kind.__module__}.{kind.__name__}",
            "classes": None,
            "features": features,
            "names": self.names,
            "has_probabilities": self._is_classifier,
            "objective": self.objective,
        }

    @property
    def _is_classifier(self) -> bool:
        return self.objective.split()[0] in (
            "binary",
            "binary:logistic",
            "multiclass",
            "multiclassova",
            "multi:softprob",
        )

    def predict(self, table: Table) -> dict[str, Any]:
        """Return the answers to rows: probabilities of all classes, also for two of them."""
        rows = table.frame() if self.names and table.options.get("form") != "array" else table.array()
        if type(self.booster).__module__.startswith("xgboost"):
            rows = import_module("xgboost").DMatrix(rows, feature_names=self.names, enable_categorical=True)
        values = np.asarray(self.booster.predict(rows))
        if not self._is_classifier:
            return {"value": values}
        return {"probabilities": values if values.ndim == 2 else np.column_stack([1 - values, values])}


class Tensors:
    """A network that takes arrays: one input with all columns, or one input for each column."""

    def __init__(self, name: str, call: Any, inputs: dict[str, str], description: dict[str, Any]) -> None:
        self.name, self.call, self.inputs, self.description = name, call, inputs, description

    def describe(self) -> dict[str, Any]:
        """Return the names and element types of the inputs."""
        names = list(self.inputs) if len(self.inputs) > 1 else None
        description = {"class": self.name, "classes": None, "features": None, "names": names}
        return dict(description, has_probabilities=False, inputs=self.inputs, **self.description)

    def predict(self, table: Table) -> dict[str, Any]:
        """Return the tensors that the network gives; the only one, or those with one entry for each row, by name."""
        if len(self.inputs) > 1:
            feeds = {name: _column(table.columns[name], kind) for name, kind in self.inputs.items()}
        else:
            feeds = {name: _cast(table.array(), kind) for name, kind in self.inputs.items()}
        outputs = self.call(feeds)
        return {"value": next(iter(outputs.values()))} if len(outputs) == 1 else outputs


class Function:
    """Code of a team: a function of a data frame, or a class with ``predict`` that takes the fields of one row."""

    def __init__(self, name: str, function: Any, takes_rows: bool = False) -> None:
        self.name, self.function, self.takes_rows = name, function, takes_rows

    def describe(self) -> dict[str, Any]:
        """Return the names that the function takes."""
        names = list(inspect.signature(self.function).parameters) if self.takes_rows else None
        description = {"class": self.name, "classes": None, "features": None, "names": names}
        return dict(description, has_probabilities=False)

    def predict(self, table: Table) -> dict[str, Any]:
        """Return what the function gives: one column, or columns by name."""
        if self.takes_rows:
            result: Any = [self.function(**record) for record in table.records()]
        else:
            result = self.function(table.frame())
        if isinstance(result, list) and result and all(isinstance(row, dict) for row in result):
            result = {name: [row[name] for row in result] for name in result[0]}
        if hasattr(result, "columns"):
            return {str(name): result[name].to_numpy() for name in result.columns}
        if isinstance(result, dict):
            return result
        values = np.asarray(result)
        return {"decision" if values.dtype.kind in "OUS" else "value": values}


def _feature_names(estimator: Any) -> Any:
    for holder in (estimator, *(step for _, step in getattr(estimator, "steps", [])[:1])):
        names = getattr(holder, "feature_names_in_", None)
        for other in ("feature_name_", "feature_names_"):  # LightGBM, CatBoost
            names = getattr(holder, other, None) if names is None else names
        if names is not None:
            return [str(name) for name in names]
    return None


def _length(names: Any) -> Any:
    return len(names) if names else None


def _single(probabilities: Any) -> Any:
    if isinstance(probabilities, list):
        raise TypeError("the model predicts several outputs; it must predict one")
    return np.asarray(probabilities)


def _classes(estimator: Any) -> Any:
    """Return the classes of a classifier; a regressor of CatBoost has an empty list of them."""
    classes = getattr(estimator, "classes_", None)
    return None if classes is None or len(classes) == 0 else np.asarray(classes).tolist()


def _values(values: Any, is_classifier: bool) -> Any:
    values = np.asarray(values)
    if is_classifier and values.dtype.kind == "b":  # next to a refused row, 1.0 would stand for true
        values = np.where(values, "true", "false")
    return values[:, 0] if is_classifier and values.ndim == 2 and values.shape[1] == 1 else values


def _column(column: Any, kind: str) -> Any:
    array = _cast(column, kind)
    return array.reshape(len(array), 1) if array.ndim == 1 else array


def _cast(array: Any, kind: str) -> Any:
    if kind == "text":
        return np.array(["" if text is None else text for text in array.ravel()], object).reshape(array.shape)
    return np.ascontiguousarray(array, kind)
