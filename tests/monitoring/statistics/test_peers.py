"""Numbers of other libraries, which tests/clients/statistics_peers.py computed once."""

import json
from pathlib import Path

import numpy as np
import pytest

from model_deployer.monitoring.statistics.blocks import Blocks
from model_deployer.monitoring.statistics.evidence import log_mean, mixed_evidence
from model_deployer.monitoring.statistics.exchangeability import conformal_p_values, exchangeability
from model_deployer.monitoring.statistics.many_fields import e_bh
from model_deployer.monitoring.statistics.risk import Promise, bounded_interval, risk

PEERS = json.loads((Path(__file__).parent / "peers.json").read_text())


def test_conformal_p_values_are_those_of_crepes() -> None:
    peer = PEERS["crepes"]
    scores, ties = np.array(peer["scores"]), np.array(peer["ties"])
    p_values = conformal_p_values(scores[:60], scores[60:], ties[60:])
    assert p_values == pytest.approx(peer["p_values"][60:], abs=1e-5)


def test_a_change_is_found_about_as_fast_as_by_the_simple_jumper() -> None:
    """The change is at score 90. The limit is 100 for both; ours holds for a change at any time of a year."""
    peer = PEERS["crepes"]
    scores = np.array(peer["scores"])
    (alarm, *_) = exchangeability(scores[:60], scores[60:], 0.01, seed=0).alarms
    assert 90 < 60 + alarm.period <= peer["jumper_reaches_100"] + 10


def test_bounds_of_a_risk_are_tighter_than_those_of_mapie() -> None:
    """Both hold at any look with the same probability; that of a changed risk is of the rows since the change."""
    errors = np.array(list(map(float, PEERS["mapie"]["errors"])))
    for rows, lower in PEERS["mapie"]["lower"].items():
        part = errors[: int(rows)]
        own, _ = bounded_interval(Blocks(part, np.ones(len(part))), 0.025)
        assert lower - 0.005 <= own <= part.mean()


def test_an_alarm_comes_before_the_bound_of_mapie_crosses() -> None:
    errors = np.array(list(map(float, PEERS["mapie"]["errors"])))
    alarm = risk(Blocks(errors, np.ones(900)), Promise(0.1, 0.05), 0.025, horizon=900).alarm
    assert alarm
    assert 300 < alarm.period < 600
    assert PEERS["mapie"]["lower"]["600"] < 0.17


def test_e_bh_is_that_of_online_fdr() -> None:
    for case in PEERS["online_fdr"]["e_bh"]:
        assert e_bh(np.array(case["e_values"]), 0.1).tolist() == case["rejected"]


def test_capital_of_bets_is_that_of_online_fdr() -> None:
    peer = PEERS["online_fdr"]
    losses = np.array(peer["losses"])
    capital = mixed_evidence(np.log1p(0.3 * (losses / 0.4 - 1))[:, None], horizon=1)
    assert np.exp(capital.log_values) == pytest.approx(peer["capital"], rel=1e-6)
    both = np.log(np.column_stack([losses + 0.5, 1.5 - losses])).cumsum(axis=0)
    assert np.exp(log_mean(both)) == pytest.approx(peer["mixture"], rel=1e-6)


def test_tests_of_independent_rows_raise_false_alarms_in_clustered_years() -> None:
    """The same ten years, whose days differ: river's tests alarm in most of them, blocks of days in none."""
    peer = PEERS["river"]
    assert peer["years"] == 10
    assert min(peer["years_with_alarms"].values()) > 5
    for year in range(10):
        random = np.random.default_rng(year)
        rates = np.clip(0.1 + 0.03 * random.standard_normal(365), 0, 1)
        days = (random.random((365, 100)) < rates[:, None]).mean(axis=1)
        assert risk(Blocks(days, np.full(365, 100.0)), Promise(0.1, 0.02), 0.05).alarm is None
