"""What a learning curve says, for people."""

from collections.abc import Mapping
from typing import Any

from model_deployer.contract.number_format import number


def verdict(curve: Mapping[str, Any]) -> str:
    """Whether more rows would help: a sentence from the ``curve`` of an evaluation.json."""
    if "reason" in curve:
        return str(curve["reason"])
    last, following, loss = curve["last"], curve["next"], curve["loss"].replace("_", " ")
    gain, low, high = (number(last[name], 3) for name in ("gain", "low", "high"))
    said = f"the last doubling, to {curve['points'][-1]['rows']:,} rows, lowered it by {gain} ({low} to {high})"
    if following["measurable"]:
        ends = f"{number(following['low'], 3)} to {number(following['high'], 3)}"
        return f"{following['rows']:,} rows in place of {curve['rows']:,} may lower the {loss} by {ends}: {said}"
    most = f", though up to {high} is possible" if following["high"] > 0 else ""
    return f"no measurable gain in {loss} from more rows{most}: {said}"
