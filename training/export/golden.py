"""Golden rows: requests with the predictions that any engine, platform and export of the model has to reproduce."""

import json
import math
from collections.abc import Callable, Iterator, Sequence

import polars as pl

from model_deployer.contract.artifact import Golden
from model_deployer.contract.contract import Contract
from model_deployer.contract.features import Categorical, Feature, Integer, Numeric, Text
from model_deployer.contract.outputs import Arrays
from model_deployer.training.data.request_rows import Row, frame_value, legal, request

#: Rows taken from the test part.
ORDINARY = 24

#: A category that no training table holds.
STRANGER = "a category never seen"

#: A text of all that parts words, and of words with and without letters.
ODD_TEXT = "Never SEEN,\tnever\u00a0heard:\r\n\u2014 \u00e9t\u00e9 \u597d\u5403 \U0001f600"


def write_golden(contract: Contract, test: pl.DataFrame, predict: Callable[[pl.DataFrame], Arrays]) -> list[Golden]:
    """Ordinary rows of the test part and edge cases of the contract, with their predictions.

    Args:
        contract: Decides which rows a client could send at all.
        test: The conformed test part: numbers with NaN, strings with "".
        predict: The graph's output tensors for a conformed frame.
    """
    example = {feature.name: frame_value(feature, feature.example) for feature in contract.features}
    ordinary = _ordinary(contract.features, test).iter_rows(named=True)
    cases = [("example", example), *((f"test row {index}", row) for index, row in enumerate(ordinary))]
    cases += _edges(contract.features, cases[-1][1])
    frame = pl.DataFrame([row for _, row in cases], schema=test.schema)
    predictions = contract.output.predictions(predict(frame))
    return [
        Golden(case, request(contract.features, row), prediction)
        for (case, row), prediction in zip(cases, predictions, strict=True)
    ]


def lines(golden: Sequence[Golden]) -> str:
    """The content of golden.jsonl."""
    return "".join(json.dumps(vars(case), ensure_ascii=False, allow_nan=False) + "\n" for case in golden)


def _ordinary(features: Sequence[Feature], test: pl.DataFrame) -> pl.DataFrame:
    """Legal rows at even distances through the test part."""
    possible = test.filter(legal(features, test))
    return possible.gather_every(max(1, possible.height // ORDINARY)).head(ORDINARY)


def _edges(features: Sequence[Feature], base: Row) -> Iterator[tuple[str, Row]]:
    """One row for each kind of oddity that the contract accepts."""
    nothing = {feature.name: frame_value(feature, None) for feature in features if feature.nullable}
    if nothing:
        yield "everything missing that may be", base | nothing
    strangers = {f.name: STRANGER for f in features if isinstance(f, Categorical) and f.unknown == "accept"}
    if strangers:
        yield "categories never seen", base | strangers
    texts = {feature.name: ODD_TEXT[: feature.longest] for feature in features if isinstance(feature, Text)}
    if texts:
        yield "texts of odd characters", base | texts
    for word, sign in (("below", -1), ("above", 1)):
        beyond = {feature.name: end for feature in features if (end := _beyond(feature, sign)) is not None}
        if beyond:
            yield f"numbers {word} their range", base | beyond


def _beyond(feature: Feature, sign: int) -> float | None:
    if not isinstance(feature, Numeric | Integer) or feature.out_of_range == "reject":
        return None
    end = feature.minimum if sign < 0 else feature.maximum
    if end is None:
        return None
    beyond = end + sign * (1 + abs(end))
    return float(beyond) if math.isfinite(beyond) else None
