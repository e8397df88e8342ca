from typing import get_args

from model_deployer.contract.metric_catalog import HIGHER_IS_BETTER, LOSS, LOWER_IS_BETTER
from model_deployer.training.spec import MetricName


def test_every_metric_but_a_promised_share_has_a_direction() -> None:
    names = set(get_args(MetricName))
    assert names - HIGHER_IS_BETTER - LOWER_IS_BETTER == {"coverage", "share_below"}
    assert not HIGHER_IS_BETTER & LOWER_IS_BETTER
    assert set(LOSS.values()) <= LOWER_IS_BETTER
