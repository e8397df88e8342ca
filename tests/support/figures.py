"""Figures of an evaluation.json, for tests that are about some of them."""

from typing import Any


def metric(value: float) -> dict[str, float]:
    """A metric whose interval is a tenth to either side."""
    return {"value": value, "low": value - 0.1, "high": value + 0.1}


def slice_result(name: str, rows: int, loss: float, **changes: Any) -> dict[str, Any]:
    """A slice; ``changes`` is what differs from one that was found among the features and is well calibrated."""
    known = {"slice": name, "rows": rows, "loss": loss, "gap": 0.0, "low": loss - 0.05, "high": loss + 0.05}
    calibration = {"calibration_error": 0.01, "calibration_chance": 0.02}
    return known | calibration | {"named": False, "learnt": True} | changes
