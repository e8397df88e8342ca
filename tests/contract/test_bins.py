import numpy as np
import pytest

from model_deployer.contract.bins import edges, shares

STEPS = np.linspace(0, 1, 21)


def seen(values: np.ndarray, missing: float = 0.0) -> dict[str, object]:
    return {"missing": missing, "quantiles": [float(quantile) for quantile in np.quantile(values, STEPS)]}


def test_continuous_numbers_fall_into_tenths() -> None:
    found = shares(seen(np.random.default_rng(0).normal(size=10_000)))
    assert len(found) == 11
    assert list(found)[-2:] == ["+Inf", "missing"]
    assert found.pop("missing") == 0
    assert list(found.values()) == pytest.approx([0.1] * 10)


@pytest.mark.parametrize("mean", [0.1, 1, 5, 20])
def test_of_counts_each_share_is_known_to_half_a_step(mean: float) -> None:
    values = np.random.default_rng(0).poisson(mean, 100_000)
    reference = seen(values)
    up_to = np.cumsum([share for name, share in shares(reference).items() if name != "missing"])
    assert sum(shares(reference).values()) == pytest.approx(1)
    for edge, share in zip(edges(reference), up_to, strict=False):
        assert share == pytest.approx(np.mean(values <= edge), abs=0.026)


def test_missing_values_take_their_share_of_all() -> None:
    found = shares(seen(np.arange(1000.0), missing=0.2))
    assert found["missing"] == 0.2
    assert sum(found.values()) == pytest.approx(1)


def test_a_field_without_values_is_missing_and_nothing_else() -> None:
    assert shares({"missing": 1.0, "quantiles": []}) == {"+Inf": 0.0, "missing": 1.0}
    assert shares({"missing": 1.0, "frequencies": {}, "other": 0.0}) == {"other": 0.0, "missing": 1.0}


def test_categories_keep_their_frequency_and_one_called_other_is_counted_with_the_others() -> None:
    found = shares({"missing": 0.5, "frequencies": {"a": 0.6, "other": 0.2}, "other": 0.2})
    assert found == pytest.approx({"a": 0.3, "other": 0.2, "missing": 0.5})


def test_lengths_of_a_text_are_numbers() -> None:
    assert list(shares({"missing": 0.0, "lengths": [float(step) for step in range(21)]}))[:2] == ["2", "4"]
