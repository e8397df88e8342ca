import pytest

from model_deployer.training.fitting.decision_threshold import decision_threshold
from model_deployer.training.spec import Cost


@pytest.mark.parametrize(("false_positive", "false_negative", "threshold"), [(1, 1, 0.5), (1, 3, 0.25), (4, 1, 0.8)])
def test_the_dearer_a_miss_the_lower_the_threshold(
    false_positive: float, false_negative: float, threshold: float
) -> None:
    cost = Cost(false_positive=false_positive, false_negative=false_negative)
    assert decision_threshold(cost) == threshold
