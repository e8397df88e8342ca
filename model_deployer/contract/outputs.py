"""The output of a model: the graph's output tensors, and the prediction that a client reads."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import compress
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

#: Output tensors of the graph by name, float32: ``probabilities`` [rows, labels]; or ``value`` and, if there is an
#: interval, ``lower`` and ``upper``, [rows, 1] each; or ``values`` [rows, numbers].
Arrays = Mapping[str, NDArray[Any]]

#: Columns of a table by name: a list of text, or an array of numbers or booleans of shape [rows]; of an embedding an
#: array of [rows, numbers].
Columns = dict[str, list[str] | NDArray[np.float32] | NDArray[np.bool_]]

#: The prediction of one row, ready for JSON.
Prediction = Mapping[str, Any]

#: The names of the graph's outputs: of a classification, of a regression, and of a vector.
CLASSIFICATION_TENSORS = ("probabilities",)
REGRESSION_TENSORS = ("value", "lower", "upper")
VECTOR_TENSORS = ("values",)


class Classification(BaseModel):
    """A probability for every label, a decision, and with more than two labels a prediction set.

    The graph's output ``probabilities`` is float32 [rows, labels]; each row sums to 1. How well they agree with
    observed frequencies is in evaluation.json, not here: the sentences of this class hold for every model.

    Attributes:
        target: The column that the model predicts.
        labels: The classes, in the order of the tensor's columns.
        positive: With two labels, the label that ``threshold`` applies to: the second one. Otherwise None.
        threshold: With two labels, the decision is ``positive`` if its probability is at least this. None with more
            labels: the decision is then the most likely label.
        set_threshold: With more than two labels, the set has the labels with at least this probability, and always the
            most likely one (Sadinle, Lei and Wasserman, 2019, "Least ambiguous set-valued classifiers with bounded
            error levels"). None if predictions have no set.
        coverage: The share of cases, from 0 to 1, whose true label is in the set; without sets it has no meaning.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: Literal["classification"] = "classification"
    target: str
    labels: tuple[str, ...] = Field(min_length=2)
    positive: str | None = None
    threshold: float | None = Field(default=None, ge=0, le=1)
    set_threshold: float | None = Field(default=None, ge=0, le=1)
    coverage: float = Field(default=0.9, gt=0, lt=1)

    @model_validator(mode="after")
    def _two_labels_have_a_threshold(self) -> "Classification":
        if (len(self.labels) == 2) != (self.threshold is not None and self.positive == self.labels[-1]):
            raise ValueError("`positive` (the second label) and `threshold` go with exactly two labels")
        if len(self.labels) == 2 and self.set_threshold is not None:
            raise ValueError("`set_threshold` goes with more than two labels")
        return self

    @property
    def task(self) -> Literal["classification"]:
        """The kind of task, by its name in evaluation.json."""
        return "classification"

    @property
    def tensors(self) -> tuple[str, ...]:
        """The names of the graph's outputs."""
        return CLASSIFICATION_TENSORS

    @property
    def width(self) -> int:
        """The number of columns of each of these outputs."""
        return len(self.labels)

    def predictions(self, arrays: Arrays) -> list[dict[str, Any]]:
        """Return one prediction per row, ready for JSON: ``{"decision": label, "probabilities": {label: number}}``.

        With a ``set_threshold``, a prediction also has ``"set"``: a list of labels in the order of ``labels``.

        Args:
            arrays: ``probabilities``, float32 [rows, labels].
        """
        labels, decide = self.labels, self._decision_index
        predictions: list[dict[str, Any]] = [
            {"decision": labels[decide(row)], "probabilities": dict(zip(labels, row, strict=True))}
            for row in arrays["probabilities"].tolist()
        ]
        if self.set_threshold is not None:
            for prediction, in_set in zip(predictions, self.sets(arrays).tolist(), strict=True):
                prediction["set"] = list(compress(labels, in_set))
        return predictions

    def decisions(self, arrays: Arrays) -> list[str]:
        """Return the decision of each row, a label.

        Args:
            arrays: ``probabilities``, float32 [rows, labels].
        """
        labels, decide = self.labels, self._decision_index
        return [labels[decide(row)] for row in arrays["probabilities"].tolist()]

    def columns(self, arrays: Arrays) -> Columns:
        """Return the predictions as a table.

        Args:
            arrays: ``probabilities``, float32 [rows, labels].

        Returns:
            ``decision`` as text, for each label ``probabilities.LABEL``, float32 [rows], and with a ``set_threshold``
            for each label ``set.LABEL``, bool [rows].
        """
        probabilities = arrays["probabilities"]
        decisions = np.array(self.labels, dtype=object)[self._decision_indices(probabilities)].tolist()
        columns: Columns = {"decision": decisions}
        for index, label in enumerate(self.labels):
            columns[f"probabilities.{label}"] = probabilities[:, index]
        if self.set_threshold is not None:
            in_set = self.sets(arrays)
            for index, label in enumerate(self.labels):
                columns[f"set.{label}"] = in_set[:, index]
        return columns

    def columns_schema(self) -> dict[str, Any]:
        """Return the JSON Schema (2020-12) of a value of each column of :meth:`columns`, by column."""
        schemas = self.json_schema()["properties"]
        probabilities = schemas["probabilities"]["properties"]
        columns = {"decision": schemas["decision"]}
        columns |= {f"probabilities.{label}": schema for label, schema in probabilities.items()}
        if self.set_threshold is not None:
            in_set = {"type": "boolean", "description": f"Whether the label is in the set. {self._set_description}"}
            columns |= {f"set.{label}": in_set for label in self.labels}
        return columns

    def sets(self, arrays: Arrays) -> NDArray[np.bool_]:
        """Return which labels are in the set of each row; requires a ``set_threshold``.

        Args:
            arrays: ``probabilities``, float32 [rows, labels].

        Returns:
            Bool [rows, labels].
        """
        probabilities = arrays["probabilities"]
        # Both sides must be float32 values, as in _decision_index.
        threshold = np.minimum(np.float32(self.set_threshold), probabilities.max(axis=1, keepdims=True))
        return np.asarray(probabilities >= threshold)

    def agree(self, expected: Prediction, actual: Prediction, tolerance: float) -> bool:
        """Return whether two predictions are equal up to rounding.

        Probabilities may differ by ``tolerance``, or in the last digits of float32. A label may be in only one of the
        two sets if its probability is that close to the threshold of the set.

        Args:
            expected: A prediction as :meth:`predictions` returns it.
            actual: The prediction to compare.
            tolerance: The largest absolute difference of a probability.
        """
        if expected.keys() != actual.keys() or expected["decision"] != actual["decision"]:
            return False
        differing_labels = set(expected.get("set", ())) ^ set(actual.get("set", ()))
        probabilities = expected["probabilities"]
        threshold = min(self.set_threshold or 0.0, max(probabilities.values()))
        return _all_close(probabilities, actual["probabilities"], tolerance) and all(
            label in probabilities and _is_close(probabilities[label], threshold, tolerance)
            for label in differing_labels
        )

    @cached_property
    def _decision_index(self) -> Callable[[list[float]], int]:
        """A function from the probabilities of a row to the index of its decision."""
        if self.threshold is None:
            return lambda row: row.index(max(row))
        # The probabilities are float32 values, so the threshold must be rounded to float32, too.
        threshold = float(np.float32(self.threshold))
        return lambda row: row[1] >= threshold

    def _decision_indices(self, probabilities: NDArray[np.float32]) -> NDArray[np.intp]:
        """Return the index of the decision of each row, intp [rows], from probabilities [rows, labels]."""
        if self.threshold is None:
            return np.asarray(probabilities.argmax(axis=1), dtype=np.intp)
        return np.asarray(probabilities[:, 1] >= np.float32(self.threshold), dtype=np.intp)

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema (2020-12) of one prediction."""
        probability = {"type": "number", "minimum": 0, "maximum": 1}
        label = {"type": "string", "enum": list(self.labels)}
        labels = {"type": "array", "items": label, "minItems": 1, "uniqueItems": True}
        sets = {} if self.set_threshold is None else {"set": labels | {"description": self._set_description}}
        return {
            "type": "object",
            "description": f"The prediction of `{self.target}`.",
            "required": ["decision", "probabilities", *sets],
            "additionalProperties": False,
            "properties": {
                "decision": label | {"description": self._decision_description},
                "probabilities": {
                    "type": "object",
                    "description": (
                        "The probability of each label, as the model estimates it; they sum to 1. The model card says "
                        "how well they agreed with the observed frequencies in the test."
                    ),
                    "required": list(self.labels),
                    "additionalProperties": False,
                    "properties": dict.fromkeys(self.labels, probability),
                },
            }
            | sets,
        }

    @property
    def _decision_description(self) -> str:
        if self.positive is None:
            return "The most likely label."
        return (
            f"'{self.positive}' if its probability is at least {np.float32(self.threshold)}, else '{self.labels[0]}'."
        )

    @property
    def _set_description(self) -> str:
        return (
            f"Chosen so that the true label is in the set in {self.coverage:.0%} of cases like those of its table. The "
            "most likely label is always in it."
        )


class Regression(BaseModel):
    """A value, and an interval that contains the truth in a stated share of cases.

    The graph's outputs ``value``, ``lower`` and ``upper`` are float32 [rows, 1], in the unit of the target. Without an
    interval, ``value`` is the only one.

    Attributes:
        target: The column that the model predicts.
        unit: Its unit of measure.
        coverage: The share of cases, from 0 to 1, whose truth is between ``lower`` and ``upper``; without an interval,
            it has no meaning.
        interval: Whether the model has an interval.
        count: Whether the truth is a whole number of at least 0; ``value`` is then the expected count.
        quantile: The share of cases, from 0 to 1, whose truth is at or below ``value``. None if ``value`` estimates the
            truth itself.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: Literal["regression"] = "regression"
    target: str
    unit: str | None = None
    coverage: float = Field(default=0.9, gt=0, lt=1)
    interval: bool = Field(default=True, exclude_if=lambda interval: interval)
    count: bool = False
    quantile: float | None = Field(default=None, gt=0, lt=1)

    @model_validator(mode="after")
    def _one_meaning(self) -> "Regression":
        if self.count and self.quantile is not None:
            raise ValueError("`value` is either an expected count or a quantile")
        return self

    @property
    def task(self) -> Literal["regression", "count", "quantile"]:
        """The kind of task, by its name in evaluation.json."""
        if self.quantile is not None:
            return "quantile"
        return "count" if self.count else "regression"

    @property
    def tensors(self) -> tuple[str, ...]:
        """The names of the graph's outputs."""
        return REGRESSION_TENSORS if self.interval else REGRESSION_TENSORS[:1]

    @property
    def width(self) -> int:
        """The number of columns of each of these outputs."""
        return 1

    def predictions(self, arrays: Arrays) -> list[dict[str, Any]]:
        """Return one prediction per row, ready for JSON: ``{"value": v, "lower": l, "upper": u}``, or ``{"value": v}``.

        Args:
            arrays: The outputs of the graph, float32 [rows, 1] each, in the unit of the target.
        """
        columns = [arrays[name][:, 0].tolist() for name in self.tensors]
        return [dict(zip(self.tensors, row, strict=True)) for row in zip(*columns, strict=True)]

    def columns_schema(self) -> dict[str, Any]:
        """Return the JSON Schema (2020-12) of a value of each column of :meth:`columns`, by column."""
        schemas: dict[str, Any] = self.json_schema()["properties"]
        return schemas

    def columns(self, arrays: Arrays) -> Columns:
        """Return the predictions as a table: a column for each of :attr:`tensors`, float32 [rows].

        Args:
            arrays: The same, float32 [rows, 1] each, in the unit of the target.
        """
        return {name: arrays[name][:, 0] for name in self.tensors}

    def agree(self, expected: Prediction, actual: Prediction, tolerance: float) -> bool:
        """Return whether two predictions are equal up to rounding.

        Args:
            expected: A prediction as :meth:`predictions` returns it.
            actual: The prediction to compare.
            tolerance: The largest absolute difference of a number, in the unit of the target; numbers may also differ
                in the last digits of float32.
        """
        return _all_close(expected, actual, tolerance)

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema (2020-12) of one prediction."""
        unit = f" Unit: {self.unit}." if self.unit else ""
        number: dict[str, Any] = {"type": "number"} | ({"minimum": 0} if self.count else {})
        descriptions = {
            "value": f"{self._value_description}{unit}",
            "lower": f"The lower end of the interval.{unit}",
            "upper": f"The upper end of the interval.{unit}",
        }
        return {
            "type": "object",
            "description": f"The prediction of `{self.target}`.{self._interval_description}",
            "required": list(self.tensors),
            "additionalProperties": False,
            "properties": {name: number | {"description": descriptions[name]} for name in self.tensors},
        }

    @property
    def _interval_description(self) -> str:
        if not self.interval:
            return ""
        return (
            f" `lower` and `upper` are chosen so that the truth is between them in {self.coverage:.0%} of cases like "
            "those of its table."
        )

    @property
    def _value_description(self) -> str:
        if self.quantile is not None:
            share = f"{100 * self.quantile:g}%"
            return f"Chosen so that the truth is at or below it in {share} of cases like those in training."
        return "The expected count." if self.count else "The estimate."


class VectorOutput(BaseModel):
    """Several numbers: one for each of several targets, or an embedding, whose numbers have no names.

    The graph's output ``values`` is float32 [rows, numbers]. Its numbers are in one object where they have names, and
    in one list where they have none.

    Attributes:
        target: What the model predicts: the targets in one phrase, or what the embedding is called.
        names: The targets, in the order of the tensor's columns; None for an embedding.
        units: The unit of measure of each target, in the order of ``names``, None for one without; empty if none has
            one.
        length: The number of numbers.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: Literal["vector"] = "vector"
    target: str
    names: tuple[str, ...] | None = None
    units: tuple[str | None, ...] = ()
    length: int = Field(ge=1)

    @model_validator(mode="after")
    def _names_fit(self) -> "VectorOutput":
        if self.names is not None and len(set(self.names)) != self.length:
            raise ValueError("`names` has one different name for each of the `length` numbers")
        if self.units and len(self.units) != len(self.names or ()):
            raise ValueError("`units` has one entry for each of `names`")
        return self

    @property
    def unit_of(self) -> Mapping[str, str]:
        """The unit of each target that has one, by name."""
        pairs = zip(self.names or (), self.units, strict=False)
        return {name: unit for name, unit in pairs if unit is not None}

    @property
    def task(self) -> Literal["embedding", "multioutput_regression"]:
        """The kind of task, by its name in evaluation.json."""
        return "embedding" if self.names is None else "multioutput_regression"

    @property
    def tensors(self) -> tuple[str, ...]:
        """The names of the graph's outputs."""
        return VECTOR_TENSORS

    @property
    def width(self) -> int:
        """The number of columns of each of these outputs."""
        return self.length

    def predictions(self, arrays: Arrays) -> list[dict[str, Any]]:
        """Return one prediction per row, ready for JSON: ``{"values": {name: number}}``, or ``{"values": [number]}``.

        Args:
            arrays: ``values``, float32 [rows, numbers].
        """
        rows = arrays["values"].tolist()
        if self.names is None:
            return [{"values": row} for row in rows]
        return [{"values": dict(zip(self.names, row, strict=True))} for row in rows]

    def columns(self, arrays: Arrays) -> Columns:
        """Return the predictions as a table.

        Args:
            arrays: ``values``, float32 [rows, numbers].

        Returns:
            For each target ``values.NAME``, float32 [rows]; of an embedding ``values``, float32 [rows, numbers].
        """
        values = arrays["values"]
        if self.names is None:
            return {"values": values}
        return {f"values.{name}": values[:, index] for index, name in enumerate(self.names)}

    def columns_schema(self) -> dict[str, Any]:
        """Return the JSON Schema (2020-12) of a value of each column of :meth:`columns`, by column."""
        schema = self.json_schema()["properties"]["values"]
        if self.names is None:
            return {"values": schema}
        return {f"values.{name}": number for name, number in schema["properties"].items()}

    def agree(self, expected: Prediction, actual: Prediction, tolerance: float) -> bool:
        """Return whether two predictions are equal up to rounding.

        Args:
            expected: A prediction as :meth:`predictions` returns it.
            actual: The prediction to compare.
            tolerance: The largest absolute difference of a number; numbers may also differ in the last digits of
                float32.
        """
        return _all_close(_by_place(expected["values"]), _by_place(actual["values"]), tolerance)

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema (2020-12) of one prediction."""
        return {
            "type": "object",
            "description": f"The prediction of `{self.target}`.",
            "required": ["values"],
            "additionalProperties": False,
            "properties": {"values": self._values_schema()},
        }

    def _values_schema(self) -> dict[str, Any]:
        if self.names is None:
            return {
                "type": "array",
                "description": f"The {self.length} numbers of the embedding, which have a meaning only together.",
                "items": {"type": "number"},
                "minItems": self.length,
                "maxItems": self.length,
            }
        return {
            "type": "object",
            "description": "The estimate of each target.",
            "required": list(self.names),
            "additionalProperties": False,
            "properties": {name: {"type": "number", "description": self._description(name)} for name in self.names},
        }

    def _description(self, name: str) -> str:
        unit = self.unit_of.get(name)
        return f"The estimate. Unit: {unit}." if unit else "The estimate."


def _by_place(values: Mapping[str, float] | Sequence[float]) -> Mapping[str, float]:
    """Return numbers by their name, or by their position in a list."""
    return values if isinstance(values, Mapping) else dict(zip(map(str, range(len(values))), values, strict=True))


def _all_close(expected: Mapping[str, float], actual: Mapping[str, float], tolerance: float) -> bool:
    same_keys = expected.keys() == actual.keys()
    return same_keys and all(_is_close(number, actual[name], tolerance) for name, number in expected.items())


def _is_close(expected: float, actual: float, tolerance: float) -> bool:
    return math.isclose(expected, actual, rel_tol=1e-5, abs_tol=tolerance)


#: The output of a model with one target: a decision about it, or a value of it.
SingleTarget = Classification | Regression

Output = Annotated[SingleTarget | VectorOutput, Field(discriminator="kind")]
