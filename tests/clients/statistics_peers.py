"""What crepes 0.9.1, mapie 1.6.0, online-fdr 1.0.0 and river 0.26.1 compute, for tests/monitoring/statistics.

In an environment with these versions: python tests/clients/statistics_peers.py > tests/monitoring/statistics/peers.json
"""

import json
import sys

import numpy as np
from crepes.martingales import SimpleJumper, semi_online_p_values
from mapie.exchangeability_testing.bounds import conjugate_mixture_empirical_bernstein_bound
from online_fdr.e_values import e_bh
from online_fdr.e_values.processes import BettingEProcess, MixtureLikelihoodRatioEProcess
from river.drift import ADWIN, PageHinkley

random = np.random.default_rng(0)


def crepes_numbers():
    """p-values of scores with ties, which are higher from the 90th on, and when the Simple Jumper reaches 100."""
    scores = np.round(np.concatenate([random.normal(size=90), random.normal(2.5, size=60)]), 1)
    p_values = semi_online_p_values(scores, seed=5)
    np.random.seed(5)
    return {
        "scores": scores.tolist(),
        "ties": np.random.rand(len(scores)).round(6).tolist(),
        "p_values": p_values.round(6).tolist(),
        "jumper_reaches_100": int(SimpleJumper().apply(p_values, c=100)),
    }


def mapie_numbers():
    """Lower confidence bounds of the share of errors, which rises from 0.1 to 0.3."""
    errors = (random.random(900) < np.where(np.arange(900) < 300, 0.1, 0.3)).astype(int)
    bounds = conjugate_mixture_empirical_bernstein_bound(errors.astype(float), v_opt=1, alpha=0.025, bound_side="lower")
    return {
        "errors": "".join(map(str, errors)),
        "lower": {n: round(float(bounds[n - 1]), 6) for n in (50, 300, 600, 900)},
    }


def online_fdr_numbers():
    """Rejections of e-BH, and the capital of betting processes."""
    cases = [random.lognormal(0, 2.5, size).round(3).tolist() for size in (1, 3, 10, 40)]
    losses = random.random(40).round(3).tolist()
    betting, mixture = BettingEProcess(0.3), MixtureLikelihoodRatioEProcess([np.log, lambda value: np.log(2 - value)])
    return {
        "e_bh": [{"e_values": each, "rejected": list(map(bool, e_bh(each, 0.1)))} for each in cases],
        "losses": losses,
        "capital": [round(betting.update(loss / 0.4 - 1), 9) for loss in losses],
        "mixture": [round(mixture.update(loss + 0.5), 9) for loss in losses],
    }


def river_numbers():
    """100 rows a day without a fault, whose days differ: the years with an alarm of tests for independent rows."""
    years = {"ADWIN": 0, "PageHinkley": 0}
    for year in range(10):
        source = np.random.default_rng(year)
        rates = np.clip(0.1 + 0.03 * source.standard_normal(365), 0, 1)
        errors = (source.random((365, 100)) < rates[:, None]).ravel()
        for name, detector in (("ADWIN", ADWIN()), ("PageHinkley", PageHinkley())):
            for error in errors.tolist():
                detector.update(float(error))
                if detector.drift_detected:
                    years[name] += 1
                    break
    return {"years": 10, "years_with_alarms": years}


json.dump(
    {
        "crepes": crepes_numbers(),
        "mapie": mapie_numbers(),
        "online_fdr": online_fdr_numbers(),
        "river": river_numbers(),
    },
    sys.stdout,
    indent=1,
)
