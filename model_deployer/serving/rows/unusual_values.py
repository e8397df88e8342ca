"""Find the accepted values of a request that the reference rows do not have."""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.contract import Contract
from model_deployer.contract.features import Categorical, Feature, Integer, Numeric
from model_deployer.contract.reference import Distribution, NumberDistribution, Reference
from model_deployer.contract.value_warnings import MAX_LISTED_WARNINGS, ValueWarning, WarningCode
from model_deployer.serving.rows.columns import Columns

#: Returns which values of a field are unusual: bool [rows], from float64 or str objects [rows].
_Check = Callable[[NDArray[Any]], NDArray[np.bool_]]


class WarningFinder:
    """Finds unknown categories, and numbers outside the range of the reference rows.

    A category can only be recognized as unknown if the contract lists the categories of its field, and a number only if
    the model has a reference distribution.

    Args:
        contract: The contract of the model.
        reference: The content of reference.json; None if the model does not have it.
    """

    def __init__(self, contract: Contract, reference: Reference | None) -> None:
        distributions = reference.features if reference else {}
        self._checks = [
            (feature.name, code, check)
            for feature in contract.features
            for code, check in _checks(feature, distributions.get(feature.name))
        ]

    def __call__(self, columns: Columns) -> tuple[list[ValueWarning], int]:
        """Return the first warnings by row and field, and the number of all.

        Args:
            columns: The graph's inputs: one array per feature, [rows, *shape].
        """
        rows = [np.flatnonzero(check(columns[name][:, 0])) for name, _, check in self._checks]
        firsts = (
            ((row, index) for row in indices[:MAX_LISTED_WARNINGS].tolist()) for index, indices in enumerate(rows)
        )
        listed = sorted(chain.from_iterable(firsts))[:MAX_LISTED_WARNINGS]
        return [ValueWarning(row, *self._checks[index][:2]) for row, index in listed], sum(map(len, rows))


def _checks(feature: Feature, distribution: Distribution | None) -> Iterator[tuple[WarningCode, _Check]]:
    if isinstance(feature, Categorical) and feature.unknown == "accept" and feature.categories:
        yield "unknown_category", _is_unknown(feature.categories)
    match feature, distribution:
        case ((Numeric() | Integer()), NumberDistribution(quantiles=(low, *_, high))):
            yield "outside_training_range", _is_outside(low, high)


def _is_unknown(categories: tuple[str, ...]) -> _Check:
    known = frozenset((*categories, ""))  # a missing value is ""
    return lambda values: np.array([value not in known for value in values.tolist()], dtype=bool)


def _is_outside(low: float, high: float) -> _Check:
    return lambda values: (values < low) | (values > high)  # NaN, a missing value, is neither
