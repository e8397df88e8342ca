"""What a model answers: the graph's output tensors, and the prediction that a client reads."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

Arrays = Mapping[str, NDArray[Any]]


class Classification(BaseModel):
    """A probability for every label, and a decision.

    The graph's output ``probabilities`` is float32 [rows, labels], calibrated; a row sums to 1.

    Attributes:
        target: The column that was learnt.
        labels: The classes, in the order of the tensor's columns.
        positive: With two labels, the one that ``threshold`` speaks of: the second.
        threshold: With two labels, the decision is ``positive`` from this probability on; with more, the likeliest.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: Literal["classification"] = "classification"
    target: str
    labels: tuple[str, ...] = Field(min_length=2)
    positive: str | None = None
    threshold: float | None = Field(default=None, ge=0, le=1)

    @model_validator(mode="after")
    def _two_labels_have_a_threshold(self) -> "Classification":
        if (len(self.labels) == 2) != (self.threshold is not None and self.positive == self.labels[-1]):
            raise ValueError("`positive` (the second label) and `threshold` go with exactly two labels")
        return self

    @property
    def task(self) -> Literal["classification"]:
        """What is asked of the model, by the name that evaluation.json has for it."""
        return "classification"

    @property
    def tensors(self) -> tuple[str, ...]:
        """The names of the graph's outputs."""
        return ("probabilities",)

    def predictions(self, arrays: Arrays) -> list[dict[str, Any]]:
        """One JSON-ready prediction a row: ``{"decision": label, "probabilities": {label: number}}``."""
        labels, decide = self.labels, self._decide
        return [
            {"decision": labels[decide(row)], "probabilities": dict(zip(labels, row, strict=True))}
            for row in arrays["probabilities"].tolist()
        ]

    def columns(self, arrays: Arrays) -> dict[str, list[str] | NDArray[np.float32]]:
        """The predictions as a table: ``decision``, and a column ``probabilities.LABEL`` for each label."""
        probabilities = arrays["probabilities"]
        decisions = np.array(self.labels, dtype=object)[self._decide_all(probabilities)].tolist()
        return {"decision": decisions} | {
            f"probabilities.{label}": probabilities[:, index] for index, label in enumerate(self.labels)
        }

    def columns_schema(self) -> dict[str, Any]:
        """The JSON Schema (2020-12) of a value of each column of :meth:`columns`."""
        schemas = self.json_schema()["properties"]
        probabilities = schemas["probabilities"]["properties"]
        return {"decision": schemas["decision"]} | {
            f"probabilities.{label}": schema for label, schema in probabilities.items()
        }

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
        return {
            "type": "object",
            "description": f"What the model expects for `{self.target}`.",
            "required": ["decision", "probabilities"],
            "additionalProperties": False,
            "properties": {
                "decision": {"type": "string", "enum": list(self.labels), "description": f"{decision}."},
                "probabilities": {
                    "type": "object",
                    "description": "Calibrated: of many rows with 0.3, three in ten turn out so. They sum to 1.",
                    "required": list(self.labels),
                    "additionalProperties": False,
                    "properties": dict.fromkeys(self.labels, probability),
                },
            },
        }


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
        return ("value", "lower", "upper")

    def predictions(self, arrays: Arrays) -> list[dict[str, Any]]:
        """One JSON-ready prediction a row: ``{"value": v, "lower": l, "upper": u}``."""
        columns = [arrays[name][:, 0].tolist() for name in self.tensors]
        return [dict(zip(self.tensors, row, strict=True)) for row in zip(*columns, strict=True)]

    def columns_schema(self) -> dict[str, Any]:
        """The JSON Schema (2020-12) of a value of each column of :meth:`columns`."""
        schemas: dict[str, Any] = self.json_schema()["properties"]
        return schemas

    def columns(self, arrays: Arrays) -> dict[str, list[str] | NDArray[np.float32]]:
        """The predictions as a table: ``value``, ``lower`` and ``upper``."""
        return {name: arrays[name][:, 0] for name in self.tensors}

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


Output = Annotated[Classification | Regression, Field(discriminator="kind")]
