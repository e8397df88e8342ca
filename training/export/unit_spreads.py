"""How far the units of a table differ in each distribution: its days, or what stands for them, see Spreads."""

from collections.abc import Sequence

import numpy as np

from model_deployer.contract.features import Feature
from model_deployer.contract.reference import BinSpread, Distribution, Reference, Spreads
from model_deployer.contract.unit_spread import UnitSpread, spread_of_units
from model_deployer.training.export.table_units import TableUnits

#: The digits of a number after the point: a share of 50 % is then exact to 0.001 %.
_DIGITS = 5


def unit_spreads(features: Sequence[Feature], reference: Reference, units: TableUnits) -> Spreads:
    """Return how far the units of a table differ.

    Args:
        features: The features of the model.
        reference: The expected distributions.
        units: The units.
    """
    is_time = {feature.name for feature in features if feature.kind == "datetime"}
    by_feature = {name: _spread(units, name, each) for name, each in reference.features.items() if name not in is_time}
    by_prediction = {name: _spread(units, name, each) for name, each in reference.predictions.items()}
    any_spread = next(iter(by_prediction.values()))
    return Spreads(
        unit=units.unit,
        units=units.count,
        rows=any_spread.rows,
        freedom=any_spread.freedom,
        features={name: _stored(each) for name, each in by_feature.items()},
        predictions={name: _stored(each) for name, each in by_prediction.items()},
    )


def _spread(units: TableUnits, name: str, distribution: Distribution) -> UnitSpread:
    """Return the spread of a feature or prediction."""
    is_kept, bins = units.numbers >= 0, len(distribution.shares())
    cells = units.numbers[is_kept] * bins + units.codes(name, distribution)[is_kept]
    return spread_of_units(np.bincount(cells, minlength=units.count * bins).reshape(-1, bins))


def _stored(spread: UnitSpread) -> BinSpread:
    lowest, highest, noise = (
        tuple(np.round(each, _DIGITS).tolist()) for each in (spread.lowest, spread.highest, spread.noise)
    )
    return BinSpread(lowest=lowest, highest=highest, noise=noise)
