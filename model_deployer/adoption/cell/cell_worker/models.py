"""Models of every library with the same two methods: ``describe`` and ``predict``.

``predict`` returns ``probabilities`` [rows, classes], ``decision`` [rows], ``scores`` or ``value`` [rows, outputs].
"""

import inspect
from importlib import import_module
from typing import Any

import numpy as np

from .pixels import scaled
from .table import Table, joined, shapes_of

#: The objectives of boosters that answer probabilities.
_PROBABILITIES = ("binary", "cross_entropy", "multiclass", "multiclassova", "binary:logistic", "multi:softprob")


class Estimator:
    """A model with the methods of scikit-learn; also of XGBoost, LightGBM and CatBoost."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator
        self.names = _feature_names(estimator)

    def describe(self) -> "dict[str, Any]":
        """Return what the model says of its inputs and outputs."""
        return {
            "class": f"{type(self.estimator).__module__}.{type(self.estimator).__name__}",
            "classes": _classes(self.estimator),
            "features": getattr(self.estimator, "n_features_in_", None) or _length(self.names),
            "names": self.names,
            "has_probabilities": hasattr(self.estimator, "predict_proba"),
        }

    def predict(self, table: Table) -> "dict[str, Any]":
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


class CatboostEstimator(Estimator):
    """A model of CatBoost, which takes categories as texts and whole numbers, and refuses 1.0."""

    def predict(self, table: Table) -> "dict[str, Any]":
        """Return the answers to rows."""
        names, columns = list(table.columns), dict(table.columns)
        for index in self.estimator.get_cat_feature_indices():
            columns[names[index]] = _with_whole_numbers(columns[names[index]])
        return super().predict(Table(columns, table.options))


def estimator_of(estimator: Any) -> Estimator:
    """Return a model with the methods of scikit-learn as one of this file."""
    is_catboost = type(estimator).__module__.startswith("catboost")
    return CatboostEstimator(estimator) if is_catboost else Estimator(estimator)


class Steps:
    """Objects that follow each other: all but the last one transform the rows."""

    def __init__(self, transformers: "list[Any]", last: Any) -> None:
        self.transformers, self.last = transformers, last

    def describe(self) -> "dict[str, Any]":
        """Return what the last object says of its outputs, and the first one of its inputs."""
        first = Estimator(self.transformers[0]).describe()
        return dict(self.last.describe(), features=first["features"], names=first["names"])

    def predict(self, table: Table) -> "dict[str, Any]":
        """Return the answers to rows."""
        rows = table.input(bool(_feature_names(self.transformers[0])))
        for transformer in self.transformers:
            rows = transformer.transform(rows)
        return dict(self.last.predict(Transformed(rows, table)))


class Transformed:
    """Rows that steps have transformed, in place of a table."""

    def __init__(self, rows: Any, table: Table) -> None:
        self.rows, self.options = rows, table.options

    @property
    def columns(self) -> "dict[str, Any]":
        """The rows as one column of several numbers, for a network."""
        return {"rows": np.asarray(self.rows.toarray() if hasattr(self.rows, "toarray") else self.rows)}

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

    def describe(self) -> "dict[str, Any]":
        """Return what the booster says of its inputs and outputs."""
        kind = type(self.booster)
        # LightGBM and XGBoost have other names for it, and XGBoost before 1.3 has none.
        methods = [getattr(self.booster, name, None) for name in ("num_features", "num_feature")]
        features = next((method() for method in methods if method), None)
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
            "multi:softmax",
        )

    def predict(self, table: Table) -> "dict[str, Any]":
        """Return the answers to rows: probabilities of all classes, also for two of them."""
        rows = table.frame() if self.names and table.options.get("form") != "array" else table.array()
        if type(self.booster).__module__.startswith("xgboost"):
            options = {"enable_categorical": True} if table.options.get("categories") else {}  # since 1.3
            rows = import_module("xgboost").DMatrix(rows, feature_names=self.names, **options)
        if self.objective == "multi:softmax":  # its answers are numbers of classes, without their probabilities
            return {"probabilities": _softmax(np.asarray(self.booster.predict(rows, output_margin=True)))}
        values = np.asarray(self.booster.predict(rows))
        if not self._is_classifier:
            return {"value": values}
        return {"probabilities": values if values.ndim == 2 else np.column_stack([1 - values, values])}


class Tensors:
    """A network that takes arrays: one input with all columns, or several inputs.

    Args:
        name: Its class or format.
        call: Takes the inputs by name, and returns the outputs by name.
        inputs: The element type of each input, of numpy; ``text`` for texts.
        shapes: The dimensions of each input without that of the rows; none for inputs with columns.
    """

    def __init__(self, name: str, call: Any, inputs: "dict[str, str]", shapes: "dict[str, Any] | None" = None) -> None:
        self.name, self.call, self.inputs, self.shapes = name, call, inputs, shapes or {}

    def describe(self) -> "dict[str, Any]":
        """Return the names and element types of the inputs."""
        names = list(self.inputs) if len(self.inputs) > 1 else None
        description = {"class": self.name, "classes": None, "features": None, "names": names}
        return dict(description, has_probabilities=False, inputs=self.inputs)

    def predict(self, table: Table) -> "dict[str, Any]":
        """Return the answer that the request describes; without a description, all tensors by name."""
        network = table.options.get("network") or {}
        outputs = self._outputs(table, network)
        outputs = {name: _without_maps(values, network.get("labels")) for name, values in outputs.items()}
        for name, columns in (network.get("joined") or {}).items():
            outputs[name] = np.column_stack([outputs.pop(column).reshape(-1) for column in columns])
        if "network" not in table.options and len(outputs) == 1:
            return {"value": next(iter(outputs.values()))}
        return _answer(outputs, network) if "tensor" in network else outputs

    def _outputs(self, table: Table, network: "dict[str, Any]") -> "dict[str, Any]":
        """Return the tensors; rows with inputs of one shape are answered at a time, so that none needs padding."""
        padded = list(network.get("sequences") or ()) + list(network.get("tensors") or ())
        if not padded:
            return dict(self.call(self._feeds(table, network)))
        shapes = [shapes_of(table.columns[name]) for name in padded]
        distinct, groups = np.unique(np.concatenate(shapes, axis=1), axis=0, return_inverse=True)
        ends = np.cumsum([part.shape[1] for part in shapes])[:-1]
        outputs: dict[str, Any] = {}
        for number, sizes in enumerate(distinct):
            rows = np.flatnonzero(groups.reshape(-1) == number)
            columns = {name: column[rows] for name, column in table.columns.items()}
            for name, shape in zip(padded, np.split(sizes, ends)):
                columns[name] = columns[name][(slice(None), *map(slice, shape.tolist()))]
            for name, values in self.call(self._feeds(Table(columns, table.options), network)).items():
                array = np.asarray(values)
                outputs.setdefault(name, np.zeros((len(table), *array.shape[1:]), array.dtype))[rows] = array
        return outputs

    def _feeds(self, table: Table, network: "dict[str, Any]") -> "dict[str, Any]":
        """Return the inputs; each takes some of the columns, one after the other, or an image."""
        names, feeds, start = list(table.columns), {}, 0
        counts = network.get("fields") or ([len(names)] if len(self.inputs) == 1 else [1] * len(self.inputs))
        images, fills = network.get("images") or {}, network.get("fills") or ["values"] * len(counts)
        for (name, kind), count, fill in zip(self.inputs.items(), counts, fills):
            columns = [table.columns[column] for column in names[start : start + count]]
            if fill != "values":
                shape = table.columns[network["sequences"][0]].shape
                feeds[name] = np.full(shape, fill == "mask", kind)
            elif names[start] in images:
                feeds[name] = scaled(columns[0], images[names[start]], kind)
            elif columns[0].ndim > 2:
                feeds[name] = _cast(columns[0], kind)
            else:
                array = _cast(joined(columns), kind)
                sizes = self.shapes.get(name, array.shape[1:])
                feeds[name] = array.reshape([len(array), *[size or -1 for size in sizes]])
            start += count
        return feeds


def _without_maps(values: Any, labels: Any) -> Any:
    """Return a list of maps from label to probability as an array [rows, labels], in the order of the labels."""
    if not isinstance(values, list) or not values or not isinstance(values[0], dict):
        return np.asarray(values)
    maps = [{str(label): share for label, share in row.items()} for row in values]
    return np.array([[row[label] for label in labels or maps[0]] for row in maps], np.float32)


def _answer(outputs: "dict[str, Any]", network: "dict[str, Any]") -> "dict[str, Any]":
    """Return the answer of a network in the words of all models; see ``NetworkAnswer`` of the contract."""
    values = outputs[network["tensor"]]
    values = values.reshape(len(values), -1)
    if network["meaning"] == "value":
        return {"value": values}
    shares = values.astype(np.float64)
    if network["meaning"] == "logits":
        shares = _softmax(shares) if shares.shape[1] > 1 else _logistic(shares)
    answer = {"probabilities": np.concatenate([1 - shares, shares], axis=1) if shares.shape[1] == 1 else shares}
    if network.get("decision"):
        names = dict(zip(network["labels"], network["names"]))
        decisions = outputs[network["decision"]].reshape(-1).tolist()
        answer["decision"] = np.array([names.get(str(label), str(label)) for label in decisions], object)
    return answer


def _softmax(values: Any) -> Any:
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _logistic(values: Any) -> Any:
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-values))


class Function:
    """Code of a team: a function of a data frame, or a class with ``predict`` that takes the fields of one row."""

    def __init__(self, name: str, function: Any, takes_rows: bool = False) -> None:
        self.name, self.function, self.takes_rows = name, function, takes_rows

    def describe(self) -> "dict[str, Any]":
        """Return the names that the function takes."""
        names = list(inspect.signature(self.function).parameters) if self.takes_rows else None
        description = {"class": self.name, "classes": None, "features": None, "names": names}
        return dict(description, has_probabilities=False)

    def predict(self, table: Table) -> "dict[str, Any]":
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


def _with_whole_numbers(column: Any) -> Any:
    """Return a column of floats as objects: whole numbers are integers, and others stay."""
    if column.dtype.kind != "f":
        return column
    return np.array([int(value) if value.is_integer() else value for value in column.tolist()], object)


def _feature_names(estimator: Any) -> Any:
    for holder in (estimator, *(step for _, step in getattr(estimator, "steps", [])[:1])):
        names = getattr(holder, "feature_names_in_", None)
        for other in ("feature_name_", "feature_names_", "_df_columns"):  # LightGBM, CatBoost, scikit-learn 0.20
            names = getattr(holder, other, None) if names is None else names
        if names is not None:
            return _named(holder, [str(name) for name in names])
    return None


def _named(holder: Any, names: "list[str]") -> Any:
    """Return names of columns; None for the positions that CatBoost has in place of names."""
    is_catboost = type(holder).__module__.startswith("catboost")
    return None if is_catboost and names == [str(position) for position in range(len(names))] else names


def _length(names: Any) -> Any:
    return len(names) if names else None


def _single(probabilities: Any) -> Any:
    if isinstance(probabilities, list):
        raise TypeError("the model predicts several outputs; it must predict one")
    return np.asarray(probabilities)


def _classes(estimator: Any) -> Any:
    """Return the classes of a classifier; a regressor of CatBoost has an empty list of them."""
    classes = getattr(estimator, "classes_", None)
    return None if classes is None or len(classes) == 0 else _decoded(np.asarray(classes)).tolist()


def _values(values: Any, is_classifier: bool) -> Any:
    values = _decoded(np.asarray(values))
    if is_classifier and values.dtype.kind == "b":  # next to a refused row, 1.0 would stand for true
        values = np.where(values, "true", "false")
    return values[:, 0] if is_classifier and values.ndim == 2 and values.shape[1] == 1 else values


def _decoded(values: Any) -> Any:
    """Return texts of Python 2, which Python 3 reads as bytes, as texts."""
    return np.char.decode(values, "utf-8", "replace") if values.dtype.kind == "S" else values


def _cast(array: Any, kind: str) -> Any:
    if kind == "text":
        return np.array(["" if text is None else text for text in array.ravel()], object).reshape(array.shape)
    return np.ascontiguousarray(array, kind)
