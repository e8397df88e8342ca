import numpy as np
import polars as pl
import pytest

from model_deployer.contract.errors import DataError
from model_deployer.contract.features import Boolean, Categorical, Feature, Numeric, Text
from model_deployer.training.preprocessing.preprocessing import MAX_EMBEDDED_LEVELS, Preprocessor, fit_preprocessor
from model_deployer.training.preprocessing.text import TOPICS
from tests.support.reviews import reviews
from tests.support.tables import FEATURES, classes_of, scores, table


def test_levels_are_coded_and_rare_or_new_ones_are_unknown() -> None:
    frame = pl.DataFrame({"c": ["a"] * 6 + ["b"] * 6 + [""] * 6 + ["rare"]})
    preprocessor, inputs = fit_preprocessor(frame, [Categorical(name="c")], np.arange(19.0), None, 0)
    assert preprocessor.levels == {"c": ("", "a", "b")}
    assert inputs.codes[:, 0].tolist() == [2] * 6 + [3] * 6 + [1] * 6 + [0]
    assert preprocessor.transform(pl.DataFrame({"c": ["b", "new", ""]})).codes[:, 0].tolist() == [3, 0, 1]


def test_many_levels_become_the_shrunken_mean_of_the_target() -> None:
    levels = [f"l{number}" for number in range(MAX_EMBEDDED_LEVELS + 1) for _ in range(30)]
    target = np.array([float(level == "l7") for level in levels])
    preprocessor, inputs = fit_preprocessor(
        pl.DataFrame({"c": levels}), [Categorical(name="c")], target.astype(np.int64), 2, 0
    )
    prior = target.mean()
    known, unknown = preprocessor.transform(pl.DataFrame({"c": ["l7", "new"]})).numbers[:, 0].tolist()
    assert known == pytest.approx((30 + 20 * prior) / (30 + 20))
    assert unknown == pytest.approx(prior)
    assert inputs.numbers[target == 1].max().item() < known


def test_training_rows_get_no_hint_of_their_own_target() -> None:
    random = np.random.default_rng(0)
    frame = pl.DataFrame({"c": [f"l{number}" for number in range(1000)]})
    noise = random.normal(size=1000)
    preprocessor, inputs = fit_preprocessor(frame, [Categorical(name="c")], noise, None, 0)
    assert np.corrcoef(preprocessor.transform(frame).numbers[:, 0], noise)[0, 1] > 0.9
    assert np.corrcoef(inputs.numbers[:, 0], noise)[0, 1] < 0.1


def test_more_classes_than_two_give_a_number_each() -> None:
    frame = table(2000)
    preprocessor, inputs = fit_preprocessor(frame, FEATURES, classes_of(frame, 3), 3, 0)
    assert len(preprocessor.encoded["model_street"].columns) == 3
    assert inputs.numbers.shape == (2000, 2 + 3 + 1 + 1)


def test_it_survives_json_and_the_seed_decides() -> None:
    frame = table(1000)
    preprocessor, inputs = fit_preprocessor(frame, FEATURES, scores(frame), None, 0)
    assert Preprocessor.model_validate_json(preprocessor.model_dump_json()) == preprocessor
    again = fit_preprocessor(frame, FEATURES, scores(frame), None, 0)[1]
    other = fit_preprocessor(frame, FEATURES, scores(frame), None, 1)[1]
    assert np.array_equal(inputs.numbers, again.numbers, equal_nan=True)
    assert not np.array_equal(inputs.numbers, other.numbers, equal_nan=True)


def test_texts_become_numbers_beside_the_others() -> None:
    (review, goodness), (other, _) = reviews(500), reviews(500, seed=1)
    is_good = (goodness > 0).astype(np.float64)
    frame = pl.DataFrame({"review": review, "size": goodness, "other": other, "open": is_good})
    features: list[Feature] = [Text(name="review"), Numeric(name="size"), Text(name="other"), Boolean(name="open")]
    preprocessor, inputs = fit_preprocessor(frame, features, (goodness > 0).astype(np.int64), 2, 0)
    width = 2 + TOPICS
    assert list(preprocessor.texts) == ["review", "other"]
    assert inputs.numbers.shape == (500, 1 + 2 * width + 1)
    assert inputs.numbers[:, 1].isnan().tolist() == (review == "").to_list()
    assert inputs.numbers[:, -1].tolist() == frame["open"].to_list()
    cross_fitted = [2, 2 + width]  # the projections that are fitted on the target
    train, new = (
        np.delete(rows.numbers.numpy(), cross_fitted, axis=1) for rows in (inputs, preprocessor.transform(frame))
    )
    assert np.array_equal(train, new, equal_nan=True)


def test_texts_without_a_shared_word_are_refused() -> None:
    """Nothing but texts that share no word is refused, with advice."""
    frame = pl.DataFrame({"t": [f"word{number}" for number in range(50)], "size": np.arange(50.0)})
    with pytest.raises(DataError, match=r"no word of t is in 5 or more training rows.*`kind: categorical`"):
        fit_preprocessor(frame, [Text(name="t")], np.arange(50.0), None, 0)
    preprocessor, inputs = fit_preprocessor(frame, [Text(name="t"), Numeric(name="size")], np.arange(50.0), None, 0)
    assert preprocessor.transform(frame).numbers.tolist() == inputs.numbers.tolist()
    assert inputs.numbers.shape == (50, 2)


@pytest.mark.parametrize(("name", "classes"), [("value", None), ("upper", None), ("probabilities", 2)])
def test_a_column_named_as_an_output_is_refused(name: str, classes: int | None) -> None:
    with pytest.raises(DataError, match=f"no feature can be called {name}"):
        fit_preprocessor(pl.DataFrame({name: [1.0]}), [Numeric(name=name)], np.zeros(1), classes, 0)


def test_a_column_may_be_called_rows() -> None:
    frame = pl.DataFrame({"rows": ["a"] * 5 + ["b"] * 5})
    preprocessor, _ = fit_preprocessor(frame, [Categorical(name="rows")], np.arange(10.0), None, 0)
    assert preprocessor.levels == {"rows": ("a", "b")}
