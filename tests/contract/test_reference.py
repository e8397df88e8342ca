from typing import Any

import numpy as np
import pytest

from model_deployer.contract.errors import ArtifactError
from model_deployer.contract.reference import (
    CategoryDistribution,
    NumberDistribution,
    Reference,
    TextDistribution,
)
from tests.support import tiny

STEPS = np.linspace(0, 1, 21)


def distribution_of(values: np.ndarray, missing: float = 0.0) -> NumberDistribution:
    return NumberDistribution(missing=missing, quantiles=tuple(np.quantile(values, STEPS).tolist()))


def test_continuous_numbers_fall_into_tenths() -> None:
    shares = distribution_of(np.random.default_rng(0).normal(size=10_000)).shares()
    assert len(shares) == 11
    assert list(shares)[-2:] == ["+Inf", "missing"]
    assert shares.pop("missing") == 0
    assert list(shares.values()) == pytest.approx([0.1] * 10)


@pytest.mark.parametrize("mean", [0.1, 1, 5, 20])
def test_of_counts_each_share_is_known_to_half_a_step(mean: float) -> None:
    values = np.random.default_rng(0).poisson(mean, 100_000)
    distribution = distribution_of(values)
    up_to = np.cumsum([share for name, share in distribution.shares().items() if name != "missing"])
    assert sum(distribution.shares().values()) == pytest.approx(1)
    for edge, share in zip(distribution.edges, up_to, strict=False):
        assert share == pytest.approx(np.mean(values <= edge), abs=0.026)


def test_missing_values_take_their_share_of_all() -> None:
    shares = distribution_of(np.arange(1000.0), missing=0.2).shares()
    assert shares["missing"] == 0.2
    assert sum(shares.values()) == pytest.approx(1)


def test_a_field_without_values_is_missing_and_nothing_else() -> None:
    assert NumberDistribution(missing=1.0, quantiles=()).shares() == {"+Inf": 0.0, "missing": 1.0}
    assert CategoryDistribution(missing=1.0, frequencies={}, other=0.0).shares() == {"other": 0.0, "missing": 1.0}


def test_categories_keep_their_frequency_and_one_called_other_is_counted_with_the_others() -> None:
    """Categories keep their frequency; a category that is called "other" is counted with the others."""
    shares = CategoryDistribution(missing=0.5, frequencies={"a": 0.6, "other": 0.2}, other=0.2).shares()
    assert shares == pytest.approx({"a": 0.3, "other": 0.2, "missing": 0.5})


def test_lengths_of_a_text_are_numbers() -> None:
    lengths = tuple(float(step) for step in range(21))
    assert list(TextDistribution(missing=0.0, lengths=lengths).shares())[:2] == ["2", "4"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": {"temp": {"missing": 0.1}}}, "features.temp.quantiles: the field is missing"),
        ({"features": {"temp": {"lengths": [1, "x"]}}}, "features.temp.lengths.1: expected a valid number"),
        ({"features": {"origin": {"frequencies": {}}}}, "features.origin.other: the field is missing"),
        ({"features": {"origin": 7}}, "features.origin: expected an object"),
        ({"predictions": None}, "predictions: expected a"),
    ],
)
def test_a_field_that_does_not_fit_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtifactError) as caught:
        Reference.parse(tiny.REFERENCE | change, "m/reference.json", "train it again")
    assert str(caught.value).startswith(f"m/reference.json: {message}")
    assert str(caught.value).endswith("; train it again")
