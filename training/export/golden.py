"""Golden requests: requests with the predictions that every engine, platform and export of the model must reproduce."""

import json
import math
from collections.abc import Callable, Iterator, Sequence

import polars as pl

from model_deployer.contract.artifact import Golden
from model_deployer.contract.contract import Contract
from model_deployer.contract.features import Categorical, Feature, Integer, Numeric, Text
from model_deployer.contract.outputs import Arrays
from model_deployer.training.data.request_rows import Row, frame_value, legal, request

#: The number of golden requests from the test part.
TEST_ROWS = 24

#: A category that no training table holds.
UNKNOWN_CATEGORY = "a category never seen"

#: A text with all types of word boundaries, and with words of several scripts and a symbol.
UNUSUAL_TEXT = "Never SEEN,\tnever\u00a0heard:\r\n\u2014 \u00e9t\u00e9 \u597d\u5403 \U0001f600"


def write_golden(contract: Contract, test: pl.DataFrame, predict: Callable[[pl.DataFrame], Arrays]) -> list[Golden]:
    """Return golden requests: the example, rows of the test part and edge cases of the contract.

    Args:
        contract: The contract of the model; only rows that it accepts become golden requests.
        test: The conformed test part: Float64 with NaN, String with "".
        predict: Returns the output tensors of the graph for a conformed frame.
    """
    example = {feature.name: frame_value(feature, feature.example) for feature in contract.features}
    rows = _test_rows(contract.features, test).iter_rows(named=True)
    cases = [("example", example), *((f"test row {index}", row) for index, row in enumerate(rows))]
    cases += _edge_cases(contract.features, cases[-1][1])
    frame = pl.DataFrame([row for _, row in cases], schema=test.schema)
    predictions = contract.output.predictions(predict(frame))
    return [
        Golden(case, request(contract.features, row), prediction)
        for (case, row), prediction in zip(cases, predictions, strict=True)
    ]


def lines(golden: Sequence[Golden]) -> str:
    """Return the content of golden.jsonl: one JSON object per line."""
    return "".join(json.dumps(vars(case), ensure_ascii=False, allow_nan=False) + "\n" for case in golden)


def _test_rows(features: Sequence[Feature], test: pl.DataFrame) -> pl.DataFrame:
    """Return legal rows at regular intervals of the test part."""
    accepted = test.filter(legal(features, test))
    return accepted.gather_every(max(1, accepted.height // TEST_ROWS)).head(TEST_ROWS)


def _edge_cases(features: Sequence[Feature], base: Row) -> Iterator[tuple[str, Row]]:
    """Yield one row for each type of unusual value that the contract accepts."""
    missing = {feature.name: frame_value(feature, None) for feature in features if feature.nullable}
    if missing:
        yield "all nullable fields missing", base | missing
    unknown = {f.name: UNKNOWN_CATEGORY for f in features if isinstance(f, Categorical) and f.unknown == "accept"}
    if unknown:
        yield "unknown categories", base | unknown
    texts = {feature.name: UNUSUAL_TEXT[: feature.longest] for feature in features if isinstance(feature, Text)}
    if texts:
        yield "texts with unusual characters", base | texts
    for word, sign in (("below", -1), ("above", 1)):
        numbers = {f.name: number for f in features if (number := _out_of_range(f, sign)) is not None}
        if numbers:
            yield f"numbers {word} their range", base | numbers


def _out_of_range(feature: Feature, sign: int) -> float | None:
    """Return a number below (-1) or above (1) the range of a feature; None if the contract rejects such numbers."""
    if not isinstance(feature, Numeric | Integer) or feature.out_of_range == "reject":
        return None
    bound = feature.minimum if sign < 0 else feature.maximum
    if bound is None:
        return None
    number = bound + sign * (1 + abs(bound))
    return float(number) if math.isfinite(number) else None
