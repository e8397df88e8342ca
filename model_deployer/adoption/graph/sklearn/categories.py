"""Look categories up: which number belongs to the category of a row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper

from model_deployer.adoption.graph.expression import Expression
from model_deployer.adoption.graph.frame import Frame, Origin, note_categories, refuse_missing
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.sklearn.missing import form_of, note_form
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.interface import Kind


@dataclass(frozen=True)
class Categories:
    """The categories of one column, in the order of the encoder.

    Attributes:
        values: Texts, numbers or booleans; None or NaN for a missing one.
    """

    values: tuple[Any, ...]

    @classmethod
    def of(cls, values: Any) -> "Categories":
        """Return the categories of a fitted encoder: an array or a list.

        Raises:
            UnsupportedModel: if texts and numbers are mixed, or if there are two different missing categories.
        """
        categories = cls(tuple(values))
        missing = [value for value in categories.values if form_of(value) is not None]
        if len(missing) > 1:
            raise UnsupportedModel("an encoder has two categories for a missing value, such as None and NaN")
        known = [value for value in categories.values if form_of(value) is None]
        texts = sum(isinstance(value, str) for value in known)
        numbers = sum(isinstance(value, (bool, int, float, np.bool_, np.number)) for value in known)
        if texts not in (0, len(known)) or numbers not in (0, len(known)) or texts + numbers != len(known):
            raise UnsupportedModel("an encoder has categories that are neither all texts nor all numbers")
        return categories

    @property
    def kind(self) -> Kind:
        """Whether the column holds texts or numbers."""
        texts = any(isinstance(value, str) for value in self.values)
        return "text" if texts or all(value is None for value in self.values) else "number"

    @property
    def missing(self) -> int | None:
        """The position of the category for a missing value."""
        forms = [form_of(value) for value in self.values]
        return next((position for position, form in enumerate(forms) if form is not None), None)

    @property
    def known(self) -> list[str | float]:
        """The categories without a missing one."""
        values = [value for value in self.values if form_of(value) is None]
        return [str(value) if isinstance(value, str) else float(value) for value in values]


def look_up(column: Frame, categories: Categories, results: Sequence[float], graph: GraphWriter) -> Expression:
    """Return the number that belongs to the category of each row, double [rows, 1].

    Args:
        column: One column.
        categories: The categories; what is not one of them is unknown.
        results: A number for each category, and a last one for an unknown value.
        graph: The graph to write.
    """
    *known, unknown = [float(result) for result in results]
    missing = unknown if categories.missing is None else known[categories.missing]
    values = [known[position] for position, value in enumerate(categories.values) if form_of(value) is None]
    if categories.kind == "text":
        keys = np.array([*categories.known, ""], object)
        return _label_encoder(column.texts(graph).tensor, keys, [*values, missing], unknown, graph)
    tensor = column.numbers(graph).tensor
    assert tensor is not None
    if not categories.known:
        return Expression(graph, tensor).is_nan().choose(missing, unknown)
    numbers = _label_encoder(tensor, np.array(categories.known), values, unknown, graph)
    return numbers if missing == unknown else Expression(graph, tensor).is_nan().choose(missing, numbers)


def note_encoder(origin: Origin | None, categories: Categories, graph: GraphWriter, refuses_unknown: bool) -> None:
    """Remember the categories of a column, and whether the library refuses others and a missing value."""
    note_categories(origin, categories.known, graph, refuses_unknown)
    if categories.missing is not None:
        if origin is not None and origin.nullable:
            note_form(origin, categories.values[categories.missing], graph)
    elif refuses_unknown:
        refuse_missing([origin], graph)


def _label_encoder(
    tensor: str | None, keys: NDArray[Any], values: list[float], unknown: float, graph: GraphWriter
) -> Expression:
    assert tensor is not None
    attributes = {
        "keys_tensor": numpy_helper.from_array(keys),
        "values_tensor": numpy_helper.from_array(np.array(values, np.float64)),
        "default_tensor": numpy_helper.from_array(np.array([unknown], np.float64)),
    }
    return Expression(graph, graph.add("LabelEncoder", tensor, domain="ai.onnx.ml", **attributes))
