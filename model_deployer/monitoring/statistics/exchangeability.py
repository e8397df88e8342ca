"""Whether live scores could be in any order with those of the reference: a conformal test martingale.

Each score gets a p-value among all earlier ones; as long as the scores are exchangeable, these are independent and
uniform, whatever the distribution of a score. Bets on small or large p-values are a martingale (Vovk et al., "Retrain
or not retrain: conformal test martingales for change-point detection", arXiv 2102.10439). It needs no bins and no model
of noise, but time: even the most unusual of n scores has a p-value of 1 / n only. Bets are bounded, so that no single
score raises an alarm. Rows of one day are not exchangeable with those of other days: score days then.
"""

from dataclasses import dataclass

import numpy as np

from model_deployer.monitoring.statistics.evidence import Alarm, Evidence, Floats, mixed_evidence

#: Bets of p ** (power - 1), and the lowest p-value that they pay for: a score pays at most 8 times the bet.
POWERS, LOWEST_P = (0.5, 0.2), 0.01

#: Bets on the slope of the density of p-values, which pay up to 1.9 times.
SLOPES = (0.5, 0.9)


@dataclass(frozen=True)
class Exchangeability:
    """What live scores say about exchangeability with the reference.

    Attributes:
        evidence: The martingale after each live score; it begins again at 1 after an alarm.
        p_values: The p-value of each live score, float64 [scores]: low for a score above most earlier ones.
        alarms: The alarms. After each, the test begins again, without a reference: later scores are compared with each
            other.
    """

    evidence: Evidence
    p_values: Floats
    alarms: tuple[Alarm, ...]


def exchangeability(
    reference: Floats, live: Floats, alpha: float, seed: int, *, only_high: bool = False
) -> Exchangeability:
    """Return the evidence that live scores are not exchangeable with the reference.

    Args:
        reference: The scores of the reference, float64 [scores]: of blocks such as days, or of independent rows. A
            score is any number, as the mean of a field, of a loss, or of the distance to the nearest rows of the table.
        live: The live scores, float64 [scores], in order of time, computed as those of the reference.
        alpha: The largest probability of a false alarm, from the beginning or an alarm on.
        seed: The seed that breaks ties.
        only_high: Whether only scores above the earlier ones count.
    """
    random = np.random.default_rng(seed)
    ties = random.random(len(live))
    alarms: list[Alarm] = []
    logs, starts, p_values = np.empty(len(live)), np.empty(len(live), np.int64), np.empty(len(live))
    known, begin = reference, 0
    while begin < len(live):
        p_values[begin:] = conformal_p_values(known, live[begin:], ties[begin:])
        evidence = mixed_evidence(_log_bets(p_values[begin:], only_high))
        logs[begin:], starts[begin:] = evidence.log_values, evidence.starts + begin
        alarm = evidence.alarm(alpha)
        if alarm is None:
            break
        alarms.append(Alarm(alarm.period + begin, alarm.since + begin))
        # The scores of the alarm itself were selected for being unusual; they say nothing about later ones.
        known, begin = live[:0], begin + alarm.period + 1
    return Exchangeability(Evidence(logs, starts), p_values, tuple(alarms))


def conformal_p_values(reference: Floats, live: Floats, ties: Floats) -> Floats:
    """Return the p-value of each live score among the reference, all earlier live scores, and itself, [scores].

    Args:
        reference: The scores that are known before, float64 [scores].
        live: The live scores, float64 [scores], in order of time.
        ties: A random number from 0 to 1 for each live score: the share of equal scores that count as higher.
    """
    p_values = np.empty(len(live))
    ordered = np.sort(reference)
    for index, score in enumerate(live):
        left, right = np.searchsorted(ordered, score, "left"), np.searchsorted(ordered, score, "right")
        higher, equal = len(ordered) - right, right - left + 1
        p_values[index] = (higher + ties[index] * equal) / (len(ordered) + 1)
        ordered = np.insert(ordered, left, score)
    return p_values


def _log_bets(p_values: Floats, only_low: bool) -> Floats:
    """Return the logarithms of bets on low, and unless ``only_low`` on high p-values, [scores, bets]."""
    both = np.stack([p_values] if only_low else [p_values, 1 - p_values], axis=1)[..., None]
    powers = np.array(POWERS)
    power_bets = np.log(powers) + (powers - 1) * np.log(np.maximum(both, LOWEST_P))
    slope_bets = np.log1p(np.array(SLOPES) * (1 - 2 * both))
    return np.concatenate([power_bets, slope_bets], axis=-1).reshape(len(p_values), -1)
