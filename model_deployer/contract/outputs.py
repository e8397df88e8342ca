"""What a model answers: the graph's output tensors, and the prediction that a client reads."""

import math
from collections.abc import Callable, Mapping
from functools import cached_property
from itertools import compress
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

Arrays = Mapping[str, NDArray[Any]]


#: Columns of a table: text, or numbers or booleans of one dimension.
Columns = dict[str, list[str] | NDArray[np.float32] | NDArray[np.bool_]]

Prediction = Mapping[str, Any]

#: The names of the graph's outputs, of a classification and of a regression.
CLASSIFICATION_TENSORS = ("probabilities",)
REGRESSION_TENSORS = ("value", "lower", "upper")


class Classification(BaseModel):
    """A probability for every label, a decision, and with more than two labels the set of those to be expected.

    The graph's output ``probabilities`` is float32 [rows, labels], calibrated; a row sums to 1.

    Attributes:
        target: The column that was learnt.
        labels: The classes, in the order of the tensor's columns.
        positive: With two labels, the one that ``threshold`` speaks of: the second.
        threshold: With two labels, the decision is ``positive`` from this probability on; with more, the likeliest.
        set_threshold: With more labels, the set holds those of at least this probability, and the likeliest in any case
            (Sadinle, Lei and Wasserman, 2019, "Least ambiguous set-valued classifiers with bounded error levels");
            None where predictions carry no set.
        coverage: The share of cases in which the truth is in the set; where there is none, it says nothing.
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
        """What is asked of the model, by the name that evaluation.json has for it."""
        return "classification"

    @property
    def tensors(self) -> tuple[str, ...]:
        """The names of the graph's outputs."""
        return CLASSIFICATION_TENSORS

    def predictions(self, arrays: Arrays) -> list[dict[str, Any]]:
        """One JSON-ready prediction a row: ``{"decision": label, "probabilities": {label: number}}``, maybe ``"set"``.

        The set is a list of labels, in the order of ``labels``.
        """
        labels, decide = self.labels, self._decide
        found: list[dict[str, Any]] = [
            {"decision": labels[decide(row)], "probabilities": dict(zip(labels, row, strict=True))}
            for row in arrays["probabilities"].tolist()
        ]
        if self.set_threshold is not None:
            for prediction, inside in zip(found, self.sets(arrays).tolist(), strict=True):
                prediction["set"] = list(compress(labels, inside))
        return found

    def decisions(self, arrays: Arrays) -> list[str]:
        """The label that is decided on, of each row."""
        labels, decide = self.labels, self._decide
        return [labels[decide(row)] for row in arrays["probabilities"].tolist()]

    def columns(self, arrays: Arrays) -> Columns:
        """The predictions as a table: ``decision``, for each label ``probabilities.LABEL``, and maybe ``set.LABEL``."""
        probabilities = arrays["probabilities"]
        decisions = np.array(self.labels, dtype=object)[self._decide_all(probabilities)].tolist()
        columns: Columns = {"decision": decisions}
        for index, label in enumerate(self.labels):
            columns[f"probabilities.{label}"] = probabilities[:, index]
        if self.set_threshold is not None:
            inside = self.sets(arrays)
            for index, label in enumerate(self.labels):
                columns[f"set.{label}"] = inside[:, index]
        return columns

    def columns_schema(self) -> dict[str, Any]:
        """The JSON Schema (2020-12) of a value of each column of :meth:`columns`."""
        schemas = self.json_schema()["properties"]
        probabilities = schemas["probabilities"]["properties"]
        columns = {"decision": schemas["decision"]}
        columns |= {f"probabilities.{label}": schema for label, schema in probabilities.items()}
        if self.set_threshold is not None:
            inside = {"type": "boolean", "description": f"Whether the label is in the set. {self._about_sets}"}
            columns |= {f"set.{label}": inside for label in self.labels}
        return columns

    def sets(self, arrays: Arrays) -> NDArray[np.bool_]:
        """Which labels are in the set of each row, [rows, labels]; only where there is a ``set_threshold``."""
        probabilities = arrays["probabilities"]
        # As in _decide: both sides are float32 values.
        least = np.minimum(np.float32(self.set_threshold), probabilities.max(axis=1, keepdims=True))
        return np.asarray(probabilities >= least)

    def agree(self, expected: Prediction, found: Prediction, tolerance: float) -> bool:
        """Whether two predictions are the same: probabilities within ``tolerance`` or the last digits of float32.

        A label may be in one set and not in the other where its probability is as near to the least one of a set.
        """
        if expected.keys() != found.keys() or expected["decision"] != found["decision"]:
            return False
        differing = set(expected.get("set", ())) ^ set(found.get("set", ()))
        probabilities = expected["probabilities"]
        least = min(self.set_threshold or 0.0, max(probabilities.values()))
        return _close(probabilities, found["probabilities"], tolerance) and all(
            label in probabilities and _is_close(probabilities[label], least, tolerance) for label in differing
        )

    @cached_property
    def _decide(self) -> Callable[[list[float]], int]:
        """The index of the decided label, from the probabilities of a row."""
        if self.threshold is None:
            return lambda row: row.index(max(row))
        # The probabilities are float32 values: what they are compared with has to be one too.
        threshold = float(np.float32(self.threshold))
        return lambda row: row[1] >= threshold

    def _decide_all(self, probabilities: NDArray[np.float32]) -> NDArray[np.intp]:
        """The same for many rows at once."""
        if self.threshold is None:
            return np.asarray(probabilities.argmax(axis=1), dtype=np.intp)
        return np.asarray(probabilities[:, 1] >= np.float32(self.threshold), dtype=np.intp)

    def json_schema(self) -> dict[str, Any]:
        """The JSON Schema (2020-12) of one prediction."""
        decision = (
            f"'{self.positive}' from a probability of {self.threshold:g} on" if self.positive else "The likeliest"
        )
        probability = {"type": "number", "minimum": 0, "maximum": 1}
        label = {"type": "string", "enum": list(self.labels)}
        inside = {"type": "array", "items": label, "minItems": 1, "uniqueItems": True, "description": self._about_sets}
        sets = {} if self.set_threshold is None else {"set": inside}
        return {
            "type": "object",
            "description": f"What the model expects for `{self.target}`.",
            "required": ["decision", "probabilities", *sets],
            "additionalProperties": False,
            "properties": {
                "decision": label | {"description": f"{decision}."},
                "probabilities": {
                    "type": "object",
                    "description": "Calibrated: of many rows with 0.3, three in ten turn out so. They sum to 1.",
                    "required": list(self.labels),
                    "additionalProperties": False,
                    "properties": dict.fromkeys(self.labels, probability),
                },
            }
            | sets,
        }

    @property
    def _about_sets(self) -> str:
        return f"In {self.coverage:.0%} of all cases the truth is among the labels of the set; the likeliest always is."


class Regression(BaseModel):
    """A value, and the interval that holds the truth with a stated frequency.

    The graph's outputs ``value``, ``lower`` and ``upper`` are float32 [rows, 1].

    Attributes:
        target: The column that was learnt.
        unit: Its unit of measure.
        coverage: The share of cases in which the truth lies between ``lower`` and ``upper``.
        count: Whether the truth is a whole number of at least 0, of which ``value`` is the expected one.
        quantile: The share of cases in which the truth stays at or below ``value``; None where that is an estimate of
            what is to be expected.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: Literal["regression"] = "regression"
    target: str
    unit: str | None = None
    coverage: float = Field(default=0.9, gt=0, lt=1)
    count: bool = False
    quantile: float | None = Field(default=None, gt=0, lt=1)

    @model_validator(mode="after")
    def _one_meaning(self) -> "Regression":
        if self.count and self.quantile is not None:
            raise ValueError("`value` is either an expected count or a quantile")
        return self

    @property
    def task(self) -> Literal["regression", "count", "quantile"]:
        """What is asked of the model, by the name that evaluation.json has for it."""
        if self.quantile is not None:
            return "quantile"
        return "count" if self.count else "regression"

    @property
    def tensors(self) -> tuple[str, ...]:
        """The names of the graph's outputs."""
        return REGRESSION_TENSORS

    def predictions(self, arrays: Arrays) -> list[dict[str, Any]]:
        """One JSON-ready prediction a row: ``{"value": v, "lower": l, "upper": u}``."""
        columns = [arrays[name][:, 0].tolist() for name in self.tensors]
        return [dict(zip(self.tensors, row, strict=True)) for row in zip(*columns, strict=True)]

    def columns_schema(self) -> dict[str, Any]:
        """The JSON Schema (2020-12) of a value of each column of :meth:`columns`."""
        schemas: dict[str, Any] = self.json_schema()["properties"]
        return schemas

    def columns(self, arrays: Arrays) -> Columns:
        """The predictions as a table: ``value``, ``lower`` and ``upper``."""
        return {name: arrays[name][:, 0] for name in self.tensors}

    def agree(self, expected: Prediction, found: Prediction, tolerance: float) -> bool:
        """Whether two predictions are the same: numbers within ``tolerance`` or the last digits of float32."""
        return _close(expected, found, tolerance)

    def json_schema(self) -> dict[str, Any]:
        """The JSON Schema (2020-12) of one prediction."""
        unit = f" Unit: {self.unit}." if self.unit else ""
        share = f"in {self.coverage:.0%} of cases the truth lies between `lower` and `upper`"
        number: dict[str, Any] = {"type": "number"} | ({"minimum": 0} if self.count else {})
        estimate = "The expected count." if self.count else "The estimate."
        if self.quantile is not None:
            estimate = f"The value that the truth stays at or below in {100 * self.quantile:g}% of cases."
        return {
            "type": "object",
            "description": f"What the model expects for `{self.target}`: {share}.",
            "required": list(self.tensors),
            "additionalProperties": False,
            "properties": {
                "value": number | {"description": f"{estimate}{unit}"},
                "lower": number | {"description": f"The lower end of the interval.{unit}"},
                "upper": number | {"description": f"The upper end of the interval.{unit}"},
            },
        }


def _close(expected: Mapping[str, float], found: Mapping[str, float], tolerance: float) -> bool:
    same_keys = expected.keys() == found.keys()
    return same_keys and all(_is_close(number, found[name], tolerance) for name, number in expected.items())


def _is_close(expected: float, found: float, tolerance: float) -> bool:
    return math.isclose(expected, found, rel_tol=1e-5, abs_tol=tolerance)


Output = Annotated[Classification | Regression, Field(discriminator="kind")]
