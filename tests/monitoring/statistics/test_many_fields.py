import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_deployer.monitoring.statistics.evidence import Evidence
from model_deployer.monitoring.statistics.many_fields import budget, e_bh, many_fields

E_VALUES = st.lists(st.floats(0, 1e6), min_size=1, max_size=30).map(np.array)
ALPHAS = st.floats(0.001, 0.5)


@given(E_VALUES, ALPHAS)
def test_a_named_field_implies_an_alarm_of_the_average(e_values: np.ndarray, alpha: float) -> None:
    if e_bh(e_values, alpha).any():
        assert e_values.mean() >= 1 / alpha * (1 - 1e-9)


@given(E_VALUES, ALPHAS)
def test_e_bh_is_its_definition(e_values: np.ndarray, alpha: float) -> None:
    fields = len(e_values)
    sizes = [k for k in range(1, fields + 1) if np.sort(e_values)[-k] * k >= fields / alpha]
    named = e_bh(e_values, alpha)
    assert named.sum() == max(sizes, default=0)
    assert not named.any() or e_values[named].min() >= max(e_values[~named], default=0)


def test_many_fields_names_the_one_that_moved() -> None:
    evidence = {
        "age": Evidence(np.log([1, 1.0]), np.array([0, 0])),
        "income": Evidence(np.log([1, 5000.0]), np.array([0, 1])),
        "visits": Evidence(np.log([1, 0.5]), np.array([0, 0])),
    }
    result = many_fields(evidence, 0.01)
    assert result.moved == ("income",)
    assert result.alarm
    assert (result.alarm.period, result.alarm.since) == (1, 1)
    assert result.e_values["income"] == pytest.approx(5000)


def test_many_small_moves_alarm_without_a_name() -> None:
    evidence = {"a": Evidence(np.log([150.0]), np.array([0])), "b": Evidence(np.log([80.0]), np.array([0]))}
    result = many_fields(evidence, 0.01)
    assert result.alarm
    assert result.moved == ()


def test_the_budget_of_a_model_is_shared() -> None:
    assert sum(budget().values()) == pytest.approx(0.05)
    assert budget(0.1, {"fields": 1, "risk": 3}) == pytest.approx({"fields": 0.025, "risk": 0.075})
