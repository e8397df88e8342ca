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
    chance,
    exam_of_count,
    exam_of_quantile,
    exam_of_quantity,
    exam_of_two,
    quantity,
    two,
)

EXAMS = [exam_of_two(3000), exam_of_quantity(3000), exam_of_count(3000), exam_of_quantile(3000)]


def by_name(found: Importance | MissingFeatures, figure: str) -> dict[str, float]:
    return {entry.feature: getattr(entry, figure) for entry in found.features}


@pytest.mark.parametrize("judged", EXAMS)
def test_only_what_the_target_depends_on_is_important(judged: ScoredRows) -> None:
    """What the target depends on is important, and nothing else is."""
    found = importance(judged, 0)
    assert [entry.feature for entry in found.features][:2] == ["distance", "origin"]
    rises, spreads = by_name(found, "rise"), by_name(found, "spread")
    assert rises["distance"] > rises["origin"] > 3 * spreads["origin"] > 0
    assert [rises[name] for name in ("noise", "night", "when")] == [0, 0, 0]
    assert found.value == pytest.approx(judged.score(judged.losses))
    assert (found.loss, found.rows, found.repeats) == (judged.loss, 3000, 3)


def test_misleading_feature_is_not_important() -> None:
    """A feature that misleads the model has no positive importance."""
    judged = exam_of_two(3000, predict=lambda frame: two(frame.with_columns(distance=frame["noise"])))
    rises = by_name(importance(judged, 0), "rise")
    assert abs(rises["noise"]) < 0.05
    assert rises["distance"] == 0


def test_the_seed_decides_and_the_result_is_json() -> None:
    judged = exam_of_two(500)
    found = importance(judged, 3)
    written = json.loads(json.dumps(found.to_json()))
    assert Importance.model_validate(written) == found == importance(judged, 3) != importance(judged, 4)


def test_the_error_of_shuffling_the_only_feature_is_known() -> None:
    values = np.random.default_rng(0).normal(size=4000)
    frame = pl.DataFrame({"x": values})
    judged = ScoredRows(
        lambda rows: {"value": rows["x"].to_numpy()[:, None]},
        frame,
        (Numeric(name="x"),),
        QUANTITY,
        values,
        np.ones(4000),
    )
    assert importance(judged, 0).features[0].rise == pytest.approx(np.sqrt(2), rel=0.05)


def test_rows_without_weight_are_not_asked_for() -> None:
    judged = exam_of_two(1000)
    weights = np.repeat([0.0, 1.0], 500)
    found = importance(replace(judged, weights=weights), 0)
    taken = importance(judged.take(np.arange(500, 1000)), 0)
    assert found == taken.model_copy(update={"features": found.features})
    assert found.rows == 500


def test_rows_asked_for_do_not_grow_with_features() -> None:
    """However many features there are, the model is asked for few rows."""
    asked: list[int] = []

    def predict(frame: pl.DataFrame) -> dict[str, np.ndarray]:
        asked.append(frame.height)
        return {"value": frame["f7"].fill_nan(0.0).to_numpy()[:, None]}

    values = np.random.default_rng(0).normal(size=(6000, 300))
    frame = pl.DataFrame({f"f{number}": values[:, number] for number in range(300)})
    features = tuple(Numeric(name=name, missing="impute") for name in frame.columns)
    judged = ScoredRows(predict, frame, features, QUANTITY, values[:, 7], np.ones(6000))
    found = importance(judged, 0)
    assert found.features[0].feature == "f7"
    assert found.rows < 50
    assert max(asked) <= MAX_ROWS_PER_CALL
    assert sum(asked) == found.rows * (1 + 3 * 300)
    assert missing_values(judged, 0).features[0].feature == "f7"


def test_many_rows_are_sampled() -> None:
    assert importance(exam_of_two(MAX_ROWS + 1000), 0).rows == MAX_ROWS


@pytest.mark.parametrize("judged", [exam_of_two(2000), exam_of_quantity(2000)])
def test_what_is_missing_changes_the_answer_as_much_as_it_does(judged: ScoredRows) -> None:
    found = missing_values(judged, 0)
    changes = by_name(found, "change")
    assert set(changes) == {"distance", "night", "origin"}  # the others may not be null
    without = judged.frame.with_columns(distance=pl.lit(float("nan")))
    moved = np.abs(chance(without) - chance(judged.frame)).mean()
    assert changes["distance"] == pytest.approx(moved if "probabilities" in judged.answers else 3 * moved)
    assert changes["night"] == by_name(found, "rise")["night"] == 0
    assert by_name(found, "rise")["distance"] > by_name(found, "rise")["origin"] > 0
    assert by_name(found, "missing")["origin"] == pytest.approx(0.05, abs=0.02)


def test_without_nullable_features_nothing_is_missing() -> None:
    judged = exam_of_quantity(100)
    assert missing_values(replace(judged, features=(Numeric(name="noise"),)), 0).features == ()


def test_rows_in_several_calls_are_answered_as_in_one() -> None:
    judged = exam_of_quantity(MAX_ROWS)
    assert quantity(judged.frame)["value"].shape == (MAX_ROWS, 1)
    first, second = importance(judged, 1), importance(replace(judged, features=judged.features[::-1]), 1)
    assert by_name(first, "rise") == pytest.approx(by_name(second, "rise"))
