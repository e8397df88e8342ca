"""What a learning curve says, for people."""

from collections.abc import Mapping
from typing import Any


def verdict(curve: Mapping[str, Any]) -> str:
    """Whether more rows would help: a sentence from the ``curve`` of an evaluation.json."""
    if "reason" in curve:
        return str(curve["reason"])
    last, following, loss = curve["last"], curve["next"], curve["loss"].replace("_", " ")
    gain, low, high = (_figure(last[name]) for name in ("gain", "low", "high"))
    said = f"the last doubling, to {curve['points'][-1]['rows']:,} rows, lowered it by {gain} ({low} to {high})"
    if following["measurable"]:
        ends = f"{_figure(following['low'])} to {_figure(following['high'])}"
        return f"{following['rows']:,} rows in place of {curve['rows']:,} may lower the {loss} by {ends}: {said}"
    most = f", though up to {high} is possible" if following["high"] > 0 else ""
    return f"no measurable gain in {loss} from more rows{most}: {said}"


def _figure(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"
