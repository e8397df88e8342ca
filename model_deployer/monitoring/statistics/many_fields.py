"""Many fields of one model: which of them moved, and whether anything moved at all, within one budget of false alarms.

The e-values of the fields may depend on each other in any way. Their average is an e-process against the hypothesis
that no field moved. The e-BH procedure (Wang, Ramdas, "False discovery rate control with e-values", arXiv 2009.02824)
names the fields that moved. If it names any, the average is at least 1 / alpha: both share one budget. An alarm without
a name means that many fields moved a little.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_deployer.monitoring.statistics.evidence import Alarm, Evidence, Floats, average_evidence

#: The largest probability of any false alarm of a model in a year: one in 20 years, all its tests together.
ALPHA = 0.05

#: The share of each group of tests in the budget. The one that needs labels and pages a person has the largest.
SHARES: Mapping[str, float] = {
    "risk": 0.4,
    "fields": 0.2,
    "predictions": 0.2,
    "calibration": 0.1,
    "combinations": 0.1,
}


@dataclass(frozen=True)
class ManyFields:
    """What live periods say about the fields of a model together.

    Attributes:
        joint: The average of the e-processes of the fields.
        alarm: The first alarm of the average; None if there is none.
        e_values: The e-value of each field after the last period, by name.
        moved: The fields that e-BH names after the last period, the largest e-value first.
        moved_at_alarm: Those that it names after the period of the alarm.
    """

    joint: Evidence
    alarm: Alarm | None
    e_values: Mapping[str, float]
    moved: tuple[str, ...]
    moved_at_alarm: tuple[str, ...]


def budget(alpha: float = ALPHA, shares: Mapping[str, float] = SHARES) -> dict[str, float]:
    """Return the alpha of each group of tests, by name: the sum is at most the alpha of the model.

    Args:
        alpha: The largest probability of any false alarm in a year.
        shares: The shares of the groups. Groups that a model has no data for may be left out; the others then get more.
    """
    total = sum(shares.values())
    return {name: alpha * share / total for name, share in shares.items()}


def many_fields(evidence: Mapping[str, Evidence], alpha: float) -> ManyFields:
    """Return what the e-processes of several fields say together.

    Args:
        evidence: The e-process of each field over the same periods, by name; at least one.
        alpha: The largest probability of a false alarm: of the average, and of any name.
    """
    joint = average_evidence(list(evidence.values()))
    alarm = joint.alarm(alpha)
    e_values = {name: each.e_value for name, each in evidence.items()}
    then = {name: each.until(alarm.period).e_value for name, each in evidence.items()} if alarm else {}
    return ManyFields(joint, alarm, e_values, _named(e_values, alpha), _named(then, alpha))


def _named(e_values: Mapping[str, float], alpha: float) -> tuple[str, ...]:
    """Return the fields that e-BH names, the largest e-value first."""
    is_named = e_bh(np.array(list(e_values.values())), alpha)
    named = [name for name, is_rejected in zip(e_values, is_named, strict=True) if is_rejected]
    return tuple(sorted(named, key=lambda name: -e_values[name]))


def e_bh(e_values: Floats, alpha: float) -> NDArray[np.bool_]:
    """Return which hypotheses the e-BH procedure rejects, bool [hypotheses].

    With the largest k for which the k largest e-values are at least hypotheses / (k alpha), these k are rejected. The
    expected share of false rejections among all rejections is at most alpha.

    Args:
        e_values: The e-values, float64 [hypotheses].
        alpha: The limit of the share of false rejections.
    """
    ordered = np.sort(e_values)[::-1]
    is_enough = ordered * np.arange(1, len(ordered) + 1) >= len(ordered) / alpha
    rejected = int(np.flatnonzero(is_enough).max()) + 1 if is_enough.any() else 0
    return np.asarray(e_values >= ordered[rejected - 1]) if rejected else np.zeros(len(e_values), np.bool_)
