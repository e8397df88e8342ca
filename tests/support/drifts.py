"""A replay of a table that never was, for references that are written by hand."""

from collections.abc import Mapping
from typing import Any

from model_deployer.contract.reference import Distribution, Reference

MIN_ROWS = 1_000

THRESHOLD = 0.25

_PART = {"unit": "day", "days": 30, "days_with_alerts": 0}


def with_drift(reference: Mapping[str, Any]) -> dict[str, Any]:
    """A reference with a replay: the most unusual days are as expected, and a constant value is found."""
    read = Reference.model_validate(reference)
    features, predictions = (
        {name: _replayed(distribution) for name, distribution in distributions.items()}
        for distributions in (read.features, read.predictions)
    )
    drift = {"min_rows": MIN_ROWS, "training": _PART, "test": _PART}
    return {**reference, "drift": drift | {"features": features, "predictions": predictions}}


def _replayed(distribution: Distribution) -> dict[str, Any]:
    shares = distribution.shares()
    rarest = min(shares, key=lambda bin: shares[bin])
    constant = dict.fromkeys(shares, 0.0) | {rarest: 1.0}
    training, test = ({"index": 0.0, "shares": dict(shares)} for _ in range(2))
    fault = {"fault": "constant", "is_refused": False, "index": 5.0, "rows": 100, "shares": constant}
    return {"threshold": THRESHOLD, "training": training, "test": test, "faults": [fault]}
