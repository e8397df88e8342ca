"""Golden rows: requests with the predictions that any engine, platform and export of the model has to reproduce."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from contract.artifact import Golden
from contract.contract import Contract
from contract.features import EXACT_INTEGER, Boolean, Categorical, Datetime, Feature, Integer, Numeric
from contract.outputs import Arrays

#: Rows taken from the test part.
ORDINARY = 24

#: A category that no training table holds.
STRANGER = "a category never seen"

_EPOCH = datetime(1970, 1, 1)

#: The first and the last second that ISO 8601 writes with four digits a year.
_CALENDAR = (datetime.min - _EPOCH).total_seconds(), (datetime.max - _EPOCH).total_seconds() - 1

Row = dict[str, Any]


def write_golden(contract: Contract, test: pl.DataFrame, predict: Callable[[pl.DataFrame], Arrays]) -> list[Golden]:
    """Ordinary rows of the test part and edge cases of the contract, with their predictions.

    Args:
        contract: Decides which rows a client could send at all.
        test: The conformed test part: numbers with NaN, strings with "".
        predict: The graph's output tensors for a conformed frame.
    """
    ordinary = _ordinary(contract.features, test)
    cases = [(f"test row {index}", row) for index, row in enumerate(ordinary.iter_rows(named=True))]
    base = cases[0][1] if cases else _raw(contract)
    cases += _edges(contract.features, base)
    frame = pl.DataFrame([row for _, row in cases], schema=test.schema)
    predictions = contract.output.predictions(predict(frame))
    return [
        Golden(case, _request(contract.features, row), prediction)
        for (case, row), prediction in zip(cases, predictions, strict=True)
    ]


def lines(golden: Sequence[Golden]) -> str:
    """The content of golden.jsonl."""
    return "".join(json.dumps(vars(case), ensure_ascii=False, allow_nan=False) + "\n" for case in golden)


def _ordinary(features: Sequence[Feature], test: pl.DataFrame) -> pl.DataFrame:
    """Legal rows at even distances through the test part."""
    legal = test.filter(pl.all_horizontal(_legal(feature) for feature in features))
    step = max(1, legal.height // ORDINARY)
    return legal.gather_every(step).head(ORDINARY)


def _legal(feature: Feature) -> pl.Expr:
    """Whether a client may send what a column holds."""
    value = pl.col(feature.name)
    if feature.dtype == "string":
        absent, legal = value == "", pl.lit(True)
        if isinstance(feature, Categorical) and feature.unknown == "reject":
            legal = value.is_in(list(feature.categories or ()))
    else:
        absent, legal = value.is_nan(), value.is_finite()
        if isinstance(feature, Datetime):
            legal &= value.is_between(*_CALENDAR)
        if isinstance(feature, Integer):
            legal &= value.abs() <= EXACT_INTEGER
        if isinstance(feature, Numeric | Integer) and feature.out_of_range == "reject":
            low = -math.inf if feature.minimum is None else feature.minimum
            high = math.inf if feature.maximum is None else feature.maximum
            legal &= value.is_between(low, high)
    return (absent & pl.lit(feature.nullable)) | (~absent & legal)


def _edges(features: Sequence[Feature], base: Row) -> Iterator[tuple[str, Row]]:
    """One row for each kind of oddity that the contract accepts."""
    nothing = {feature.name: _missing(feature) for feature in features if feature.nullable}
    if nothing:
        yield "everything missing that may be", base | nothing
    strangers = {f.name: STRANGER for f in features if isinstance(f, Categorical) and f.unknown == "accept"}
    if strangers:
        yield "categories never seen", base | strangers
    for word, sign in (("below", -1), ("above", 1)):
        beyond = {feature.name: end for feature in features if (end := _beyond(feature, sign)) is not None}
        if beyond:
            yield f"numbers {word} their range", base | beyond


def _beyond(feature: Feature, sign: int) -> float | None:
    if not isinstance(feature, Numeric | Integer) or feature.out_of_range == "reject":
        return None
    end = feature.minimum if sign < 0 else feature.maximum
    return None if end is None else float(end + sign * (1 + abs(end)))


def _missing(feature: Feature) -> float | str:
    return "" if feature.dtype == "string" else math.nan


def _raw(contract: Contract) -> Row:
    """The example row as a conformed frame would hold it; for a test part without a legal row."""
    return {feature.name: _number(feature, feature.example) for feature in contract.features}


def _number(feature: Feature, example: Any) -> float | str:
    if example is None:
        return _missing(feature)
    if isinstance(feature, Datetime):
        return (datetime.fromisoformat(example).replace(tzinfo=None) - _EPOCH).total_seconds()
    return str(example) if feature.dtype == "string" else float(example)


def _request(features: Sequence[Feature], row: Row) -> Row:
    """A row of a conformed frame as a client sends it; a missing value is null."""
    return {feature.name: _json(feature, row[feature.name]) for feature in features}


def _json(feature: Feature, value: Any) -> Any:
    if value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    match feature:
        case Integer():
            return int(value)
        case Boolean():
            return bool(value)
        case Datetime():
            return (_EPOCH + timedelta(seconds=value)).isoformat() + ("Z" if feature.zoned else "")
    return value
