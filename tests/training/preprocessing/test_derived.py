"""Features that are expressions: their values, the nodes of the graph, and what is refused."""

from datetime import datetime
from typing import Any

import numpy as np
import onnx
import onnxruntime
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from model_deployer.contract.features import Boolean, Categorical, Datetime, Feature, Numeric, Text
from model_deployer.training.data.expression import ExpressionError, parse
from model_deployer.training.models.onnx_estimator import IR_VERSION, OPSETS
from model_deployer.training.preprocessing.derived import DerivedFeature, derive, derived_nodes, fit_derived
from model_deployer.training.preprocessing.vocabulary import DOMAIN

FEATURES: tuple[Feature, ...] = (
    Numeric(name="x"), Numeric(name="unit price"), Boolean(name="holiday"), Categorical(name="city"),
    Datetime(name="sold"), Datetime(name="built"), Text(name="remark"),
)  # fmt: skip
NAN = float("nan")


def seconds(*times: datetime | None) -> list[float]:
    epoch = datetime(1970, 1, 1)
    return [NAN if time is None else (time - epoch).total_seconds() for time in times]


FRAME = pl.DataFrame(
    {
        "x": [2.0, -3.5, NAN, 0.0],
        "unit price": [4.0, 0.5, 1.0, 0.0],
        "holiday": [1.0, 0.0, NAN, 1.0],
        "city": ["Rome", "", "Oslo", "Rome"],
        "sold": seconds(datetime(2024, 2, 29, 23, 59, 58), datetime(1969, 12, 31, 6), None, datetime(2000, 3, 1)),
        "built": seconds(datetime(2024, 2, 28, 11, 59, 58), datetime(1970, 1, 1), datetime(1900, 1, 1), None),
        "remark": ["a (b) c", "Zürich 🚆\n日本", "", "(b)"],
    }
)


def fit(text: str, frame: pl.DataFrame = FRAME) -> DerivedFeature:
    (feature,) = fit_derived({"new": text}, FEATURES, frame)
    return DerivedFeature.model_validate_json(feature.model_dump_json())  # as it is stored


def run_graph(feature: DerivedFeature, frame: pl.DataFrame) -> list[float]:
    """Return the values of the graph's nodes."""
    nodes, types = derived_nodes([feature], "model_")
    inputs = {
        name: frame[name].to_numpy().astype(object if frame[name].dtype == pl.String else np.float64).reshape(-1, 1)
        for name in feature.kinds
    }
    elements = {
        name: TensorProto.STRING if array.dtype == object else TensorProto.DOUBLE for name, array in inputs.items()
    }
    values = [helper.make_tensor_value_info(name, element, ["rows", 1]) for name, element in elements.items()]
    output = helper.make_tensor_value_info("new", TensorProto.DOUBLE, ["rows", 1])
    graph = helper.make_graph(nodes, "graph", values, [output], value_info=types)
    opsets = [helper.make_opsetid(domain, version) for domain, version in (OPSETS | DOMAIN).items()]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (result,) = session.run(["new"], inputs)
    return list(np.asarray(result)[:, 0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x + 1", [3, -2.5, NAN, 1]),
        ("-x", [-2, 3.5, NAN, 0]),
        ("x / `unit price`", [0.5, -7, NAN, NAN]),
        ("1 / x", [0.5, -1 / 3.5, NAN, NAN]),
        ("x % 2", [0, 0.5, NAN, 0]),
        ("x ** 2", [4, 12.25, NAN, 0]),
        ("log(x)", [np.log(2), NAN, NAN, NAN]),
        ("log1p(`unit price`)", np.log1p([4, 0.5, 1, 0]).tolist()),
        ("min(x, 1) + max(x, 1)", [3, -2.5, NAN, 1]),
        ("fill(x, -1)", [2, -3.5, -1, 0]),
        ("is_missing(x)", [0, 0, 1, 0]),
        ("x > 1", [1, 0, 0, 0]),
        ("x <= 0", [0, 1, 0, 1]),
        ("x != 2", [0, 1, 1, 1]),
        ("0 <= x < 3", [1, 0, 0, 1]),
        ("x in (0, 2)", [1, 0, 0, 1]),
        ("holiday", [1, 0, 0, 1]),
        ("not holiday and x < 0", [0, 1, 0, 0]),
        ("x if holiday else 10", [2, 10, 10, 0]),
        ("(x > 0) + (x < 5)", [2, 1, 0, 1]),
        ("city == 'Rome'", [1, 0, 0, 1]),
        ("city not in ('Rome', 'Oslo')", [0, 1, 0, 0]),
        ("year(sold)", [2024, 1969, NAN, 2000]),
        ("month(sold)", [2, 12, NAN, 3]),
        ("day(sold)", [29, 31, NAN, 1]),
        ("weekday(sold)", [3, 2, NAN, 2]),
        ("hour(sold) * 100 + minute(sold)", [2359, 600, NAN, 0]),
        ("days(sold - built)", [1.5, -0.75, NAN, NAN]),
        ("hours(sold - built) > 0", [1, 0, 0, 0]),
        ("sold >= '2000-03-01'", [1, 0, 0, 1]),
        ("'1970-01-01T00:00:00Z' > sold", [0, 1, 0, 0]),
        ("length(remark)", [7, 11, NAN, 3]),
        ("contains(remark, '(b)')", [1, 0, 0, 1]),
        ("matches(remark, '[(]b[)]')", [0, 0, 0, 1]),
        ("mean(`unit price`, by=city)", [2, 0.5, 1, 2]),
        ("`unit price` / mean(`unit price`, by=city)", [2, 1, 1, 0]),
        ("count(by=city)", [2, 1, 1, 2]),
        ("std(x, by=city)", [1, 0, np.std([2, -3.5, 0]), 1]),
    ],
)  # fmt: skip
def test_table_and_graph_have_the_expected_values(text: str, expected: list[float]) -> None:
    feature = fit(text)
    np.testing.assert_allclose(feature.values(FRAME).to_numpy(), expected, rtol=1e-15)
    np.testing.assert_allclose(run_graph(feature, FRAME), expected, rtol=1e-15)


def test_a_group_that_training_does_not_have_gets_the_statistic_of_all_rows() -> None:
    feature = fit("mean(`unit price`, by=city)")
    other = FRAME.with_columns(city=pl.lit("Paris"))
    assert feature.values(other).to_list() == [1.375] * 4
    assert run_graph(feature, other) == [1.375] * 4


def test_no_rows_have_no_values() -> None:
    for text in ("x + 1", "length(remark)", "city == 'Rome'", "mean(x, by=city)"):
        assert run_graph(fit(text), FRAME[:0]) == []
        assert derive(FRAME[:0], [fit(text)])["new"].to_list() == []


NUMBERS = st.recursive(
    st.sampled_from(["x", "`unit price`", "2", "0.5", "days(sold - built)", "hour(sold)", "length(remark)"]),
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from("+-*/%"), inner),
        st.builds("{}({})".format, st.sampled_from(["abs", "sqrt", "log", "exp", "floor", "ceil", "-"]), inner),
        st.builds("{}({}, {})".format, st.sampled_from(["min", "max", "fill"]), inner, inner),
        st.builds(
            "({} if {} {} {} else {})".format, inner, inner, st.sampled_from(["<", "<=", "==", "!="]), inner, inner
        ),
    ),
    max_leaves=8,
)
MAYBE_NUMBERS = st.floats(-1e6, 1e6) | st.just(NAN)
SECONDS = st.integers(-(10**10), 10**10).map(float) | st.just(NAN)
ROWS = st.lists(
    st.tuples(
        MAYBE_NUMBERS, MAYBE_NUMBERS, st.sampled_from([0.0, 1.0, NAN]), st.text(max_size=3), SECONDS, SECONDS,
        st.text(max_size=8),
    ),
    min_size=1, max_size=5,
)  # fmt: skip


@given(NUMBERS, ROWS)
def test_table_and_graph_agree(text: str, rows: list[Any]) -> None:
    frame = pl.DataFrame(rows, schema=FRAME.schema, orient="row")
    try:
        feature = fit(f"{text} + 0 * x", frame)
    except ExpressionError:
        return
    np.testing.assert_allclose(run_graph(feature, frame), feature.values(frame).to_numpy(), rtol=1e-9, atol=1e-9)


@given(st.datetimes(datetime(1600, 1, 1), datetime(2400, 1, 1)))
def test_the_calendar_is_that_of_python(time: datetime) -> None:
    frame = FRAME.with_columns(sold=pl.lit(seconds(time.replace(microsecond=0))[0]))[:1]
    date = [fit(f"{part}(sold)").values(frame)[0] for part in ("year", "month", "day", "weekday", "hour", "minute")]
    assert date == [time.year, time.month, time.day, time.weekday(), time.hour, time.minute]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is not an expression"),
        ("x +", "is not an expression"),
        ("x; y", "is not an expression"),
        ("1 + 2", "uses no column"),
        ("other", "'other' is not a feature"),
        ("city", "is a text, not a number"),
        ("sold", "is a time, not a number"),
        ("sold - built", "use days"),
        ("x + city", "expected a number, but 'city' is a text"),
        ("city < 'a'", "compared with a constant text"),
        ("sold > 'yesterday'", "compared with a date or time of ISO 8601"),
        ("__import__('os').system('true')", "is not part of the language"),
        ("x.real", "is not part of the language"),
        ("[y for y in x]", "is not part of the language"),
        ("lambda: x", "is not part of the language"),
        ("eval('x')", "there is no function `eval`"),
        ("log(x, 2)", "`log` has 1 argument"),
        ("x // 2", "the operators of numbers"),
        ("x in y", "`in` needs a list"),
        ("mean(x)", "there is no function `mean`"),
        ("mean(x, by=x)", "expected a text"),
        ("mean(mean(x, by=city), by=city)", "cannot be applied"),
        ("True", "written as comparisons"),
        ("contains(remark, city)", "constant text"),
        ("(" * 5_000 + "x" + ")" * 5_000, "is not an expression"),
    ],
)
def test_what_is_not_in_the_language_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ExpressionError, match=complaint):
        parse(text, {feature.name: feature.kind for feature in FEATURES})
