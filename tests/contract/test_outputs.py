from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from model_deployer.contract.outputs import Classification, Regression, VectorOutput


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


SETS = Classification(target="y", labels=("a", "b", "c"), set_threshold=0.3)


def answers(output: Classification, *rows: list[float]) -> list[dict[str, Any]]:
    return output.predictions({"probabilities": np.array(rows, dtype=np.float32)})


def test_set_holds_labels_above_threshold_and_the_likeliest() -> None:
    """A set holds every label from the threshold on, and the likeliest label in any case."""
    strict = SETS.model_copy(update={"set_threshold": 0.9})
    rows = [[0.2, 0.5, 0.3], [0.31, 0.33, 0.36], [0.1, 0.1, 0.8]]
    assert [prediction["set"] for prediction in answers(SETS, *rows)] == [["b", "c"], ["a", "b", "c"], ["c"]]
    assert [prediction["set"] for prediction in answers(strict, *rows)] == [["b"], ["c"], ["c"]]
    assert [prediction["decision"] for prediction in answers(strict, *rows)] == ["b", "c", "c"]


def test_a_model_of_before_there_were_sets_answers_as_it_did() -> None:
    old = Classification.model_validate({"kind": "classification", "target": "y", "labels": ["a", "b", "c"]})
    (prediction,) = answers(old, [0.2, 0.5, 0.3])
    assert set(prediction) == {"decision", "probabilities"}
    assert not [name for name in old.columns_schema() if name.startswith("set.")]
    jsonschema.validate(prediction, old.json_schema())


@given(st.lists(st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3), min_size=1, max_size=5), st.floats(0, 1))
def test_every_answer_with_a_set_is_what_the_schema_says(rows: list[list[float]], threshold: float) -> None:
    output = SETS.model_copy(update={"set_threshold": threshold})
    for row, prediction in zip(rows, answers(output, *rows), strict=True):
        jsonschema.validate(prediction, output.json_schema())
        assert prediction["decision"] in prediction["set"]
        assert prediction["set"] == sorted(prediction["set"])
        probabilities = prediction["probabilities"]
        expected = {label for label in probabilities if probabilities[label] >= np.float32(threshold)}
        assert expected <= set(prediction["set"])
        effective_threshold = min(float(np.float32(threshold)), max(row))
        assert len(prediction["set"]) == sum(probability >= effective_threshold for probability in row)


def test_rounding_decides_only_on_the_threshold() -> None:
    low, high, far = answers(SETS, [0.299999, 0.4, 0.300001], [0.300001, 0.4, 0.299999], [0.31, 0.4, 0.29])
    assert (low["set"], high["set"]) == (["b", "c"], ["a", "b"])
    assert SETS.agree(low, high, 1e-5)
    assert not SETS.agree(low, far, 1e-5)
    assert not SETS.agree(low, low | {"set": ["a", "b", "c", "d"]}, 1e-5)
    assert not SETS.agree(low, low | {"set": ["c"]}, 1e-5)
    assert not SETS.agree(low, low | {"decision": "c"}, 1e-5)
    assert not SETS.agree(low, {name: low[name] for name in ("decision", "probabilities")}, 1e-5)


def test_rounding_decides_between_two_labels_that_are_as_likely() -> None:
    output = SETS.model_copy(update={"set_threshold": 0.9})
    two_labels, one_label = answers(output, [0.4, 0.4, 0.2], [0.400001, 0.4, 0.2])
    assert (two_labels["set"], one_label["set"]) == (["a", "b"], ["a"])
    assert output.agree(two_labels, one_label, 1e-5)
    assert not output.agree(two_labels, one_label | {"set": ["a", "c"]}, 1e-5)


def test_values_agree_within_the_tolerance() -> None:
    output, prediction = Regression(target="y"), {"value": 2.0, "lower": 1.0, "upper": 3.0}
    assert output.agree(prediction, prediction | {"value": 2.00001}, 0)
    assert output.agree(prediction, prediction | {"value": 2.1}, 0.2)
    assert not output.agree(prediction, prediction | {"value": 2.1}, 0.01)
    assert not output.agree(prediction, {"value": 2.0}, 1)


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
    described = f"Chosen so that the truth is at or below it in {share}% of cases like those in training. Unit: h."
    assert output.json_schema()["properties"]["value"]["description"] == described
    assert output.task == "quantile"


@pytest.mark.parametrize("arguments", [{"quantile": 0.5, "count": True}, {"quantile": 0}, {"quantile": 1}])
def test_a_quantile_that_cannot_be(arguments: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Regression(target="y", **arguments)


def test_probabilities_survive_to_the_last_bit() -> None:
    output = Classification(target="y", labels=("a", "b", "c"))
    probabilities = np.random.default_rng(0).dirichlet([1, 1, 1], size=50).astype(np.float32)
    predictions = output.predictions({"probabilities": probabilities})
    answered = np.array([list(prediction["probabilities"].values()) for prediction in predictions], dtype=np.float32)
    assert (answered == probabilities).all()
    jsonschema.validate(predictions[0], output.json_schema())


@pytest.mark.parametrize(
    "output",
    [
        Classification(target="y", labels=("no", "yes"), positive="yes", threshold=0.3),
        Classification(target="y", labels=("a", "b", "c")),
        SETS,
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
        if output.set_threshold is not None:
            in_set = np.asarray(table[f"set.{label}"]).tolist()
            assert in_set == [label in prediction["set"] for prediction in predictions]
    assert list(table) == list(output.columns_schema())


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


def test_two_labels_have_no_set() -> None:
    with pytest.raises(ValidationError, match="more than two labels"):
        Classification(target="y", labels=("a", "b"), positive="b", threshold=0.5, set_threshold=0.1)


TARGETS = VectorOutput(target="height and weight", names=("height", "weight"), units=("cm", None), length=2)
EMBEDDING = VectorOutput(target="embedding", length=3)
VALUES = {"values": np.array([[1.5, -2.0, 0.25]], np.float32)}


def test_targets_are_an_object_and_an_embedding_is_a_list() -> None:
    two = {"values": VALUES["values"][:, :2]}
    assert TARGETS.predictions(two) == [{"values": {"height": 1.5, "weight": -2.0}}]
    assert {name: column.tolist() for name, column in TARGETS.columns(two).items() if not isinstance(column, list)} == {
        "values.height": [1.5],
        "values.weight": [-2.0],
    }
    assert EMBEDDING.predictions(VALUES) == [{"values": [1.5, -2.0, 0.25]}]
    assert list(EMBEDDING.columns(VALUES)) == ["values"]
    assert (TARGETS.task, EMBEDDING.task) == ("multioutput_regression", "embedding")


@pytest.mark.parametrize("output", [TARGETS, EMBEDDING], ids=["targets", "embedding"])
def test_several_numbers_agree_with_their_schema_and_up_to_rounding(output: VectorOutput) -> None:
    (prediction,) = output.predictions({"values": VALUES["values"][:, : output.length]})
    jsonschema.validate(prediction, output.json_schema())
    (moved,) = output.predictions({"values": VALUES["values"][:, : output.length] + np.float32(0.01)})
    assert output.agree(prediction, moved, 0.02)
    assert not output.agree(prediction, moved, 0.001)
    assert not output.agree(prediction, {"values": {}}, 1.0)


def test_a_unit_is_a_part_of_the_schema() -> None:
    numbers = TARGETS.json_schema()["properties"]["values"]["properties"]
    assert numbers["height"]["description"] == "The estimate. Unit: cm."
    assert TARGETS.columns_schema()["values.height"] == numbers["height"]


@pytest.mark.parametrize(
    "fields",
    [{"names": ("a",), "length": 2}, {"names": ("a", "a"), "length": 2}, {"units": ("cm",), "length": 1}],
    ids=["too few names", "a name twice", "units without names"],
)
def test_names_and_units_fit_the_numbers(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        VectorOutput(target="y", **fields)
