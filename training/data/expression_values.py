"""The values of expressions for the rows of a table.

The nodes of :mod:`training.preprocessing.expression_nodes` have the same results.

Numbers and times are float64, NaN if missing; a boolean is a condition, false if missing. Comparisons follow IEEE 754:
NaN is neither less than, equal to nor greater than a number.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.training.data.expression import Node

Arrays = NDArray[Any]


class Lookup(NamedTuple):
    """The statistic of a column for each value of a text column, from the training rows.

    Attributes:
        levels: The texts.
        numbers: The number of each text.
        default: The number of another text: the statistic of all rows.
    """

    levels: tuple[str, ...]
    numbers: tuple[float, ...]
    default: float


def evaluate(root: Node, frame: pl.DataFrame, lookups: Sequence[Lookup]) -> NDArray[np.float64]:
    """Return the value of an expression for each row of a conformed frame, float64 [rows]; NaN if it is not finite.

    Args:
        root: The expression.
        frame: The rows: Float64 and String columns.
        lookups: The tables of the expression, in the order of its steps.
    """
    remaining = iter(lookups)
    results: dict[int, Any] = {}
    with np.errstate(all="ignore"):
        for node in root.walk():
            arguments = [results[id(argument)] for argument in node.arguments]
            results[id(node)] = _evaluate(node, frame, arguments, remaining)
        values = np.broadcast_to(np.asarray(results[id(root)], np.float64), (frame.height,))
    return np.where(np.isfinite(values), values, np.nan)


def _evaluate(node: Node, frame: pl.DataFrame, arguments: Sequence[Any], lookups: Any) -> Any:
    match node.operation:
        case "constant":
            return node.value
        case "column":
            column = frame[node.value]
            if node.type == "text":
                return column
            return column.to_numpy() == 1 if node.type == "boolean" else column.to_numpy()
        case "table":
            lookup: Lookup = next(lookups)
            return (
                arguments[0]
                .replace_strict(lookup.levels, lookup.numbers, default=lookup.default, return_dtype=pl.Float64)
                .to_numpy()
            )
        case "equal_text":
            return (arguments[0] == node.value).to_numpy()
        case "matches":
            return arguments[0].str.contains(f"^(?:{node.value})$").to_numpy()
    return _ARRAYS[node.operation](*arguments)


def _length(texts: pl.Series) -> Arrays:
    lengths = texts.str.len_chars().cast(pl.Float64).to_numpy()
    return np.where(lengths == 0, np.nan, lengths)


#: The operations on arrays.
_ARRAYS: Mapping[str, Callable[..., Any]] = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide, "power": np.power,
    "negative": np.negative, "abs": np.abs, "sqrt": np.sqrt, "log": np.log, "exp": np.exp, "floor": np.floor,
    "ceil": np.ceil, "minimum": np.minimum, "maximum": np.maximum, "less": np.less, "less_or_equal": np.less_equal,
    "equal": np.equal, "and": np.logical_and, "or": np.logical_or, "not": np.logical_not, "where": np.where,
    "is_missing": np.isnan, "number_of": lambda condition: np.asarray(condition, np.float64),
    "seconds": lambda duration: duration, "length": _length,
}  # fmt: skip
