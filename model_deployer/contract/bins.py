"""The bins in which live values are counted, and the share that each of them had in training.

Both follow from what reference.json says of a feature or a prediction.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from model_deployer.contract.number_format import exact

#: Digits of an edge between bins: as many as people read.
_DIGITS = 6


def edges(seen: Mapping[str, Any]) -> list[float]:
    """The edges between the bins of a number, or of the length of a text: its deciles in training, each once.

    An edge belongs to the bin below it.
    """
    quantiles = seen["lengths"] if "lengths" in seen else seen["quantiles"]
    return sorted({_rounded(edge) for edge in quantiles[2:-1:2]})


def shares(seen: Mapping[str, Any]) -> dict[str, float]:
    """The bins in order, with the share of all training rows that fell into each.

    A bin of numbers carries its upper edge as its name, one of categories the category. Shares of numbers follow from
    twenty quantiles, and may be off by half of the step between them where many values are equal.
    """
    missing = seen.get("missing", 0.0)
    if "frequencies" in seen:
        found: dict[str, float] = {name: (1 - missing) * share for name, share in seen["frequencies"].items()}
        for name, share in (("other", (1 - missing) * seen["other"]), ("missing", missing)):
            # A category may be called so, and is then counted together with these.
            found[name] = found.get(name, 0.0) + share
        return found
    quantiles = [_rounded(value) for value in (seen["lengths"] if "lengths" in seen else seen["quantiles"])]
    ends = edges(seen)
    below = [0.0, *(_share_up_to(edge, quantiles) for edge in ends), 1.0]
    names = [*map(exact, ends), "+Inf"]
    inside = {name: (1 - missing) * (below[index + 1] - below[index]) for index, name in enumerate(names)}
    return inside | {"missing": missing}


def _share_up_to(edge: float, quantiles: Sequence[float]) -> float:
    """The share of values up to one of the quantiles.

    Where quantiles repeat, values do: the share then lies somewhere between the last quantile that is no larger and the
    next, and half-way is the best guess.
    """
    steps = len(quantiles) - 1
    last = bisect_right(quantiles, edge) - 1
    is_discrete = len(set(quantiles)) < len(quantiles)
    return min(1.0, (last + 0.5 * is_discrete) / steps) if last < steps else 1.0


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
