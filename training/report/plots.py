"""The plots of an evaluation, each as the bytes of a PNG file."""

import io
import warnings
from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from model_deployer.contract.evaluations import LOSS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: The most bars of a plot.
MOST_BARS = 15

#: Characters of a line, and lines of a name, the most that a plot has room for.
LINE, LINES = 40, 2

INK, ACCENT, MUTED, WARM = "#1f2933", "#2f6690", "#9aa5b1", "#b5533c"

#: What shares of truths are promised, by their name in ``reliability``.
_PROMISES = {"coverage": "share of truths in the interval", "share_below": "share of truths at or below the value"}

_STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 10,
    "grid.color": "#e4e7eb",
    "legend.frameon": False,
    "text.color": INK,
    "text.parse_math": False,  # a "$" in a name is a dollar
    "xtick.color": "#52606d",
    "ytick.color": "#52606d",
}


def draw(evaluation: Mapping[str, Any]) -> dict[str, bytes]:
    """Those of the plots below that an evaluation.json has figures for, by the name of its part."""
    import matplotlib  # noqa: PLC0415 (slow, and needed only here)

    plots = {
        "reliability": _reliability,
        "slices": _slices,
        "importance": _importance,
        "curve": _curve,
        "history": _history,
    }
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # of a name in a script that the font does not have
        return {name: _png(plot(evaluation)) for name, plot in plots.items() if _has(evaluation, name)}


def _has(evaluation: Mapping[str, Any], name: str) -> bool:
    return bool(evaluation.get(name)) and "reason" not in evaluation[name]


def _reliability(evaluation: Mapping[str, Any]) -> "Figure":
    figure, axes = _figure(4.2)
    reliability = evaluation["reliability"]
    bins = reliability["bins"]
    predicted = [one["predicted"] for one in bins]
    if promise := next((name for name in _PROMISES if name in reliability), None):
        axes.axhline(reliability[promise], color=MUTED, linestyle="--", label="promised")
        axes.set(xlabel="predicted value, mean of each fifth of the rows", ylabel=_PROMISES[promise])
    else:
        label = reliability["label"]
        ends = [side(one[name] for one in bins for name in ("predicted", "low", "high")) for side in (min, max)]
        axes.plot(ends, ends, color=MUTED, linestyle="--", label="promised")
        whose = "the likeliest label" if label is None else f"'{_short(label)}'"
        axes.set(xlabel=f"predicted probability of {whose}", ylabel="share that came true")
    axes.vlines(predicted, [one["low"] for one in bins], [one["high"] for one in bins], color=ACCENT, alpha=0.5, lw=3)
    axes.plot(predicted, [one["observed"] for one in bins], color=ACCENT, marker="o", label="observed, 95 % interval")
    axes.legend()
    return figure


def _slices(evaluation: Mapping[str, Any]) -> "Figure":
    slices, loss = evaluation["slices"][:MOST_BARS], LOSS[evaluation["task"]]
    figure, axes = _bars([one["slice"] for one in slices])
    if whole := evaluation["metrics"].get("model", {}).get(loss):
        axes.axvline(whole["value"], color=MUTED, linestyle="--", label="all rows")
        axes.legend(loc="best")
    for place, one in enumerate(slices):
        if one["low"] is not None:
            axes.hlines(place, one["low"], one["high"], color=WARM, alpha=0.5, lw=3)
        axes.plot(one["loss"], place, color=WARM, marker="o")
    axes.set_xlabel(f"{_words(loss)}, with its 95 % interval")
    return figure


def _importance(evaluation: Mapping[str, Any]) -> "Figure":
    importance = evaluation["importance"]
    features = importance["features"][:MOST_BARS]
    figure, axes = _bars([one["feature"] for one in features])
    rises, spreads, places = (
        [one["rise"] for one in features],
        [one["spread"] for one in features],
        range(len(features)),
    )
    axes.barh(places, rises, xerr=spreads, color=ACCENT, height=0.62, error_kw={"ecolor": INK, "elinewidth": 1})
    axes.set_xlabel(f"rise of {_words(importance['loss'])} when the column is shuffled")
    return figure


def _curve(evaluation: Mapping[str, Any]) -> "Figure":
    from matplotlib.ticker import NullLocator  # noqa: PLC0415

    figure, axes = _figure(3.6)
    curve = evaluation["curve"]
    points, ahead = curve["points"], curve["next"]
    rows, losses, low, high = ([one[name] for one in points] for name in ("rows", "loss", "low", "high"))
    axes.fill_between(rows, low, high, color=ACCENT, alpha=0.15, lw=0)
    axes.plot(rows, losses, color=ACCENT, marker="o", label=f"{curve['model']} refitted, 95 % interval")
    ticks = rows
    if rows[-1] == curve["rows"]:
        ends = [losses[-1] - ahead[end] for end in ("high", "low")]
        axes.vlines(ahead["rows"], *ends, color=WARM, lw=3, label="what twice the rows may bring")
        ticks = [*rows, ahead["rows"]]
    if whole := evaluation["metrics"].get("model", {}).get(curve["loss"]):
        axes.axhline(whole["value"], color=MUTED, linestyle="--", label="the model of this report")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.set(xlabel="training rows", ylabel=_words(curve["loss"]))
    axes.legend()
    return figure


def _history(evaluation: Mapping[str, Any]) -> "Figure":
    history = evaluation["history"]
    figure, axes = _figure(3.2)
    epochs = [one["epoch"] for one in history]
    best = min(history, key=lambda one: one["validation_loss"])
    axes.plot(epochs, [one["train_loss"] for one in history], color=MUTED, label="training part")
    axes.plot(epochs, [one["validation_loss"] for one in history], color=ACCENT, label="validation part")
    axes.plot(best["epoch"], best["validation_loss"], color=WARM, marker="o", linestyle="", label="lowest")
    axes.set(xlabel="epoch", ylabel="loss")
    axes.legend()
    return figure


def _bars(names: Sequence[str]) -> tuple["Figure", "Axes"]:
    """A plot with a line for each name, the first on top."""
    shown = [_short(name) for name in names]
    figure, axes = _figure(1.1 + sum(0.3 + 0.13 * name.count("\n") for name in shown))
    axes.set_yticks(range(len(names)), shown)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    return figure, axes


def _figure(height: float) -> tuple["Figure", "Axes"]:
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(7.2, height), layout="constrained")
    return figure, figure.subplots()


def _png(figure: "Figure") -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=160, metadata={"Software": None})  # equal figures, equal bytes
    return content.getvalue()


def _short(name: str) -> str:
    return "\n".join(wrap(name, LINE, max_lines=LINES, placeholder=" …"))


def _words(name: str) -> str:
    return name.replace("_", " ")
