from typing import Any, get_args

import pytest

from model_deployer.contract.evaluations import HIGHER_IS_BETTER, LOSS, LOWER_IS_BETTER, metric_changes, slice_changes
from model_deployer.training.spec import MetricName


def evaluation(name: str, value: float) -> dict[str, Any]:
    return {"metrics": {"model": {name: {"value": value, "low": value - 0.1, "high": value + 0.1}}}}


@pytest.mark.parametrize(
    ("name", "old", "new", "verdict"),
    [
        ("log_loss", 0.5, 0.6, "within the noise"),
        ("log_loss", 0.5, 0.8, "worse"),
        ("log_loss", 0.8, 0.5, "better"),
        ("accuracy", 0.5, 0.8, "better"),
        ("accuracy", 0.8, 0.5, "worse"),
        ("coverage", 0.5, 0.9, "higher"),
        ("coverage", 0.9, 0.5, "lower"),
    ],
)
def test_a_metric_changed_where_the_intervals_lie_apart(name: str, old: float, new: float, verdict: str) -> None:
    (change,) = metric_changes(evaluation(name, old), evaluation(name, new)).values()
    assert change.verdict == verdict
    assert (change.old["value"], change.new["value"]) == (old, new)


def test_every_metric_but_a_promised_share_has_a_direction() -> None:
    measured = set(get_args(MetricName))
    assert measured - HIGHER_IS_BETTER - LOWER_IS_BETTER == {"coverage", "share_below"}
    assert not HIGHER_IS_BETTER & LOWER_IS_BETTER
    assert set(LOSS.values()) <= LOWER_IS_BETTER


def test_metrics_of_one_evaluation_alone_are_left_out() -> None:
    assert metric_changes(evaluation("rmse", 1), evaluation("log_loss", 1)) == {}
    assert metric_changes({"metrics": {}}, evaluation("log_loss", 1)) == {}


def test_slices_of_both_evaluations_are_compared_the_worst_change_first() -> None:
    old = {"slices": [{"slice": name, "rows": 100, "loss": loss} for name, loss in (("a", 0.5), ("b", 0.5), ("c", 1))]}
    new = {"slices": [{"slice": name, "rows": 90, "loss": loss} for name, loss in (("b", 0.9), ("a", 0.4), ("d", 1))]}
    first, second = slice_changes(old, new)
    assert (first.slice, first.old, first.new, first.old_rows, first.new_rows) == ("b", 0.5, 0.9, 100, 90)
    assert second.slice == "a"
    assert slice_changes(old, {}) == []
