import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contract.outputs import Classification, Regression


def test_two_labels_are_decided_by_the_threshold() -> None:
    output = Classification(target="y", labels=("no", "yes"), positive="yes", threshold=0.2)
    probabilities = np.array([[0.81, 0.19], [0.8, 0.2], [0.1, 0.9]], dtype=np.float32)
    decisions = [prediction["decision"] for prediction in output.predictions({"probabilities": probabilities})]
    assert decisions == ["no", "yes", "yes"]


def test_more_labels_are_decided_by_the_likeliest() -> None:
    output = Classification(target="y", labels=("a", "b", "c"))
    probabilities = np.array([[0.2, 0.5, 0.3]], dtype=np.float32)
    (prediction,) = output.predictions({"probabilities": probabilities})
    assert prediction["decision"] == "b"
    assert list(prediction["probabilities"]) == ["a", "b", "c"]


def test_a_regression_answers_a_value_and_its_interval() -> None:
    output = Regression(target="price", unit="USD")
    column = np.array([[2.0]], dtype=np.float32)
    predictions = output.predictions({"value": column, "lower": column - 1, "upper": column + 1})
    assert predictions == [{"value": 2.0, "lower": 1.0, "upper": 3.0}]
    jsonschema.validate(predictions[0], output.json_schema())


def test_a_count_is_not_negative() -> None:
    schema = Regression(target="calls", count=True).json_schema()
    assert schema["properties"]["value"] == {"type": "number", "minimum": 0, "description": "The expected count."}
    jsonschema.validate({"value": 0.25, "lower": 0.0, "upper": 2.0}, schema)
    with pytest.raises(jsonschema.ValidationError, match="less than the minimum"):
        jsonschema.validate({"value": 0.25, "lower": -0.5, "upper": 2.0}, schema)


def test_a_contract_from_before_counts_is_a_regression() -> None:
    output = Regression.model_validate({"kind": "regression", "target": "y", "unit": None, "coverage": 0.9})
    assert (output.count, output.quantile, output.task) == (False, None, "regression")


@pytest.mark.parametrize(("quantile", "share"), [(0.9, "90"), (0.07, "7"), (0.995, "99.5")])
def test_a_quantile_says_how_often_the_truth_stays_below(quantile: float, share: str) -> None:
    output = Regression(target="y", quantile=quantile, unit="h")
    described = f"The value that the truth stays at or below in {share}% of cases. Unit: h."
    assert output.json_schema()["properties"]["value"]["description"] == described
    assert output.task == "quantile"


@pytest.mark.parametrize("said", [{"quantile": 0.5, "count": True}, {"quantile": 0}, {"quantile": 1}])
def test_a_quantile_that_cannot_be(said: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Regression(target="y", **said)


def test_probabilities_survive_to_the_last_bit() -> None:
    output = Classification(target="y", labels=("a", "b", "c"))
    probabilities = np.random.default_rng(0).dirichlet([1, 1, 1], size=50).astype(np.float32)
    predictions = output.predictions({"probabilities": probabilities})
    sent = np.array([list(prediction["probabilities"].values()) for prediction in predictions], dtype=np.float32)
    assert (sent == probabilities).all()
    jsonschema.validate(predictions[0], output.json_schema())


@pytest.mark.parametrize(
    "output",
    [
        Classification(target="y", labels=("no", "yes"), positive="yes", threshold=0.3),
        Classification(target="y", labels=("a", "b", "c")),
    ],
)
@given(st.data())
def test_a_table_says_what_the_rows_say(output: Classification, data: st.DataObject) -> None:
    share = st.floats(0, 1, width=32) | st.just(float(np.float32(0.3)))
    rows = data.draw(st.lists(st.lists(share, min_size=len(output.labels), max_size=len(output.labels)), min_size=1))
    arrays = {"probabilities": np.array(rows, dtype=np.float32)}
    table, predictions = output.columns(arrays), output.predictions(arrays)
    assert table["decision"] == [prediction["decision"] for prediction in predictions]
    for label in output.labels:
        column = np.asarray(table[f"probabilities.{label}"]).tolist()
        assert column == [prediction["probabilities"][label] for prediction in predictions]


@pytest.mark.parametrize(
    "arguments",
    [
        {"labels": ("a", "b")},
        {"labels": ("a", "b"), "positive": "a", "threshold": 0.5},
        {"labels": ("a", "b", "c"), "positive": "c", "threshold": 0.5},
    ],
)
def test_a_threshold_belongs_to_the_second_of_two_labels(arguments: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="exactly two labels"):
        Classification(target="y", **arguments)
