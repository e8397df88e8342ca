import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from model_deployer.contract.evaluation import Importance, MissingFeatures
from model_deployer.contract.features import Numeric
from model_deployer.training.evaluation.importance import importance
from model_deployer.training.evaluation.perturbation import MAX_ROWS, MAX_ROWS_PER_CALL
from model_deployer.training.evaluation.scored_rows import ScoredRows
from model_deployer.training.evaluation.sensitivity import missing_values
from tests.support.scored_rows import (
    QUANTITY,
    count_rows,
    predict_quantity,
    predict_two,
    quantile_rows,
    quantity_rows,
    true_probability,
    two_class_rows,
)

SCORED = [two_class_rows(3000), quantity_rows(3000), count_rows(3000), quantile_rows(3000)]


def by_name(result: Importance | MissingFeatures, attribute: str) -> dict[str, float]:
    return {entry.feature: getattr(entry, attribute) for entry in result.features}


@pytest.mark.parametrize("scored", SCORED)
def test_only_what_the_target_depends_on_is_important(scored: ScoredRows) -> None:
    """What the target depends on is important, and nothing else is."""
    result = importance(scored, 0)
    assert [entry.feature for entry in result.features][:2] == ["distance", "origin"]
    rises, spreads = by_name(result, "rise"), by_name(result, "spread")
    assert rises["distance"] > rises["origin"] > 3 * spreads["origin"] > 0
    assert [rises[name] for name in ("noise", "night", "when")] == [0, 0, 0]
    assert result.value == pytest.approx(scored.score(scored.losses))
    assert (result.loss, result.rows, result.repeats) == (scored.loss, 3000, 3)


def test_misleading_feature_is_not_important() -> None:
    """A feature that misleads the model has no positive importance."""
    scored = two_class_rows(3000, predict=lambda frame: predict_two(frame.with_columns(distance=frame["noise"])))
    rises = by_name(importance(scored, 0), "rise")
    assert abs(rises["noise"]) < 0.05
    assert rises["distance"] == 0


def test_the_seed_decides_and_the_result_is_json() -> None:
    scored = two_class_rows(500)
    result = importance(scored, 3)
    written = json.loads(json.dumps(result.to_json()))
    assert Importance.model_validate(written) == result == importance(scored, 3) != importance(scored, 4)


def test_the_error_of_shuffling_the_only_feature_is_known() -> None:
    values = np.random.default_rng(0).normal(size=4000)
    frame = pl.DataFrame({"x": values})
    scored = ScoredRows(
        lambda rows: {"value": rows["x"].to_numpy()[:, None]},
        frame,
        (Numeric(name="x"),),
        QUANTITY,
        values,
        np.ones(4000),
    )
    assert importance(scored, 0).features[0].rise == pytest.approx(np.sqrt(2), rel=0.05)


def test_rows_without_weight_are_not_asked_for() -> None:
    scored = two_class_rows(1000)
    weights = np.repeat([0.0, 1.0], 500)
    result = importance(replace(scored, weights=weights), 0)
    expected = importance(scored.take(np.arange(500, 1000)), 0)
    assert result == expected.model_copy(update={"features": result.features})
    assert result.rows == 500


def test_rows_asked_for_do_not_grow_with_features() -> None:
    """The model predicts few rows, for any number of features."""
    call_rows: list[int] = []

    def predict(frame: pl.DataFrame) -> dict[str, np.ndarray]:
        call_rows.append(frame.height)
        return {"value": frame["f7"].fill_nan(0.0).to_numpy()[:, None]}

    values = np.random.default_rng(0).normal(size=(6000, 300))
    frame = pl.DataFrame({f"f{number}": values[:, number] for number in range(300)})
    features = tuple(Numeric(name=name, missing="impute") for name in frame.columns)
    scored = ScoredRows(predict, frame, features, QUANTITY, values[:, 7], np.ones(6000))
    result = importance(scored, 0)
    assert result.features[0].feature == "f7"
    assert result.rows < 50
    assert max(call_rows) <= MAX_ROWS_PER_CALL
    assert sum(call_rows) == result.rows * (1 + 3 * 300)
    assert missing_values(scored, 0).features[0].feature == "f7"


def test_many_rows_are_sampled() -> None:
    assert importance(two_class_rows(MAX_ROWS + 1000), 0).rows == MAX_ROWS


@pytest.mark.parametrize("scored", [two_class_rows(2000), quantity_rows(2000)])
def test_what_is_missing_changes_the_answer_as_much_as_it_does(scored: ScoredRows) -> None:
    result = missing_values(scored, 0)
    changes = by_name(result, "change")
    assert set(changes) == {"distance", "night", "origin"}  # the others may not be null
    without = scored.frame.with_columns(distance=pl.lit(float("nan")))
    change = np.abs(true_probability(without) - true_probability(scored.frame)).mean()
    assert changes["distance"] == pytest.approx(change if "probabilities" in scored.answers else 3 * change)
    assert changes["night"] == by_name(result, "rise")["night"] == 0
    assert by_name(result, "rise")["distance"] > by_name(result, "rise")["origin"] > 0
    assert by_name(result, "missing")["origin"] == pytest.approx(0.05, abs=0.02)


def test_without_nullable_features_nothing_is_missing() -> None:
    scored = quantity_rows(100)
    assert missing_values(replace(scored, features=(Numeric(name="noise"),)), 0).features == ()


def test_rows_in_several_calls_are_answered_as_in_one() -> None:
    scored = quantity_rows(MAX_ROWS)
    assert predict_quantity(scored.frame)["value"].shape == (MAX_ROWS, 1)
    first, second = importance(scored, 1), importance(replace(scored, features=scored.features[::-1]), 1)
    assert by_name(first, "rise") == pytest.approx(by_name(second, "rise"))
