import numpy as np
import pytest

from model_deployer.contract.outputs import Classification, Regression
from model_deployer.handoff.formats.parity import agreement, expected_arrays, predict_in_chunks
from model_deployer.package.formats import Format

LABELS = Classification(target="y", labels=("no", "yes"), positive="yes", threshold=0.5)
VALUE = Regression(target="y")


def probabilities(*second: float) -> dict[str, np.ndarray]:
    column = np.array(second, dtype=np.float32)[:, None]
    return {"probabilities": np.concatenate([1 - column, column], axis=1)}


def values(*numbers: float) -> dict[str, np.ndarray]:
    column = np.array(numbers, dtype=np.float32)[:, None]
    return {"value": column, "lower": column - 1, "upper": column + 1}


def a_format() -> Format:
    return Format(name="pickle", files=("model/a.pkl",), about="", tolerance=1e-5)


def test_largest_difference_and_flips_are_found() -> None:
    """The largest difference and the decisions that flip are found."""
    result = agreement(LABELS, probabilities(0.1, 0.499, 0.9), probabilities(0.1, 0.501, 0.9), 1.0)
    assert result.rows == 3
    assert result.flips == 1
    assert result.largest == pytest.approx(0.002, rel=1e-3)


def test_differences_are_relative_to_size_or_scale() -> None:
    """Large values are compared relative to their size, and small ones relative to the scale."""
    assert agreement(VALUE, values(1e6), values(1e6 + 1), 10.0).largest == pytest.approx(1e-6, rel=0.1)
    assert agreement(VALUE, values(0.0), values(0.001), 10.0).largest == pytest.approx(1e-4, rel=0.01)
    assert agreement(VALUE, values(0.0), values(0.001), 10.0).flips is None


def test_other_shapes_and_nan_never_agree() -> None:
    """Answers of another shape, or with NaN, never agree."""
    assert agreement(LABELS, probabilities(0.1, 0.2), probabilities(0.1), 1.0).largest == float("inf")
    not_a_number = agreement(LABELS, probabilities(0.1), probabilities(float("nan")), 1.0)
    replayed = a_format().with_replays(not_a_number, None)
    assert replayed.withheld
    assert replayed.golden is None


def test_a_format_that_disagrees_is_withheld_with_the_reason() -> None:
    exact = agreement(LABELS, probabilities(0.1), probabilities(0.1), 1.0)
    assert a_format().with_replays(exact, None).files == ("model/a.pkl",)
    inexact = agreement(LABELS, probabilities(0.1), probabilities(0.2), 1.0)
    replayed = a_format().with_replays(exact, inexact)
    assert replayed.files == ()
    assert replayed.withheld == "its answers differ by up to 0.1, and 1e-05 is allowed"


def test_predictions_become_the_tensors_they_came_from() -> None:
    for output, arrays in ((LABELS, probabilities(0.25, 0.75)), (VALUE, values(3.5))):
        restored = expected_arrays(output, output.predictions(arrays))
        assert all(np.array_equal(restored[name], arrays[name]) for name in output.tensors)


def test_rows_are_replayed_in_chunks() -> None:
    columns = {"x": np.arange(10_000.0)[:, None]}
    outputs = predict_in_chunks(lambda part: {"value": 2 * part["x"]}, columns)
    assert np.array_equal(outputs["value"], 2 * columns["x"])
