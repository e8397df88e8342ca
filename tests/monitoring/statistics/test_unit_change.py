import numpy as np
import pytest
from numpy.typing import NDArray

from model_deployer.monitoring.statistics.unit_change import unit_change

Floats = NDArray[np.float64]
BLOCKS = np.repeat(np.arange(20), 50)


def values(seed: int, size: int = 1000) -> Floats:
    return np.random.default_rng(seed).lognormal(2, 0.6, size)


QUANTILES = np.quantile(values(0, 20_000), np.linspace(0, 1, 21))
TEMPERATURES = np.quantile(np.random.default_rng(0).normal(12, 7, 20_000), np.linspace(0, 1, 21))


@pytest.mark.parametrize(
    ("factor", "name"),
    [
        (1000, "multiplied by 1,000"),
        (0.01, "divided by 100"),
        (10, "multiplied by 10"),
        (1.609344, "kilometres instead of miles"),
        (1 / 1.609344, "miles instead of kilometres"),
        (2.54, "centimetres instead of inches"),
        (0.3048, "metres instead of feet"),
        (0.45359237, "kilograms instead of pounds"),
        (60, "seconds instead of minutes"),
        (3600, "seconds instead of hours"),
        (-1, "the opposite sign"),
    ],
)
def test_changes_are_named(factor: float, name: str) -> None:
    change = unit_change(QUANTILES, factor * values(1), BLOCKS)
    assert change
    assert change.name == name
    assert change.factor == pytest.approx(factor)
    assert change.share > 0.9
    assert change.confidence > 0.9


def test_temperatures_have_an_offset() -> None:
    live = np.random.default_rng(1).normal(12, 7, 1000)
    fahrenheit, kelvins = (
        unit_change(TEMPERATURES, 1.8 * live + 32, BLOCKS),
        unit_change(TEMPERATURES, live + 273.15, BLOCKS),
    )
    assert fahrenheit
    assert fahrenheit.name == "degrees Fahrenheit instead of Celsius"
    assert kelvins
    assert kelvins.name == "kelvins instead of degrees Celsius"


def test_some_callers_with_another_unit() -> None:
    live = values(1)
    live[BLOCKS < 8] *= 1000
    change = unit_change(QUANTILES, live, BLOCKS)
    assert change
    assert change.name == "multiplied by 1,000"
    assert change.share == pytest.approx(0.4, abs=0.05)


@pytest.mark.parametrize("factor", [1.0, 1.05, 1.3, 0.85, 1.5])
def test_no_change_and_a_real_shift_have_no_name(factor: float) -> None:
    assert unit_change(QUANTILES, factor * values(1), BLOCKS) is None


def test_other_shapes_have_no_name() -> None:
    random = np.random.default_rng(0)
    assert unit_change(QUANTILES, np.full(1000, 7.0), BLOCKS) is None
    assert unit_change(QUANTILES, random.uniform(0, 50, 1000), BLOCKS) is None


def test_missing_and_constant_values() -> None:
    assert unit_change(QUANTILES, np.full(1000, np.nan), BLOCKS) is None
    assert unit_change(np.zeros(21), values(1), BLOCKS) is None
    live = 1000 * values(1)
    live[::3] = np.nan
    change = unit_change(QUANTILES, live, BLOCKS)
    assert change
    assert change.factor == 1000
