"""The plots of an evaluation, each as the bytes of a PNG file."""

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from model_deployer.contract.evaluation import (
    MODEL,
    Epoch,
    Evaluation,
    Importance,
    IntervalReliability,
    LearningCurve,
    MetricValue,
    ProbabilityReliability,
    QuantileReliability,
    Reliability,
    SliceResult,
)
from model_deployer.contract.metric_catalog import LOSS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: The most bars of a plot.
MOST_BARS = 15

#: Characters of a line, and lines of a name, the most that a plot has room for.
LINE, LINES = 40, 2

INK, ACCENT, MUTED, WARM = "#1f2933", "#2f6690", "#9aa5b1", "#b5533c"

#: What shares are observed, by what is promised.
_OBSERVED: Mapping[type, str] = {
    ProbabilityReliability: "share that came true",
    IntervalReliability: "share of truths in the interval",
    QuantileReliability: "share of truths at or below the value",
}

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


def draw(evaluation: Evaluation) -> dict[str, bytes]:
    """Those of the plots below that an evaluation has figures for, by the name of its part."""
    import matplotlib  # noqa: PLC0415 (slow, and needed only here)

    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # of a name in a script that the font does not have
        return {name: _png(figure) for name, figure in _figures(evaluation)}


def _figures(evaluation: Evaluation) -> Iterator[tuple[str, "Figure"]]:
    metrics = evaluation.metrics_of(MODEL)
    if evaluation.reliability:
        yield "reliability", _reliability(evaluation.reliability)
    if evaluation.slices:
        loss = LOSS[evaluation.task]
        yield "slices", _slices(evaluation.slices, loss, metrics.get(loss))
    if evaluation.importance:
        yield "importance", _importance(evaluation.importance)
    if isinstance(evaluation.curve, LearningCurve):
        yield "curve", _curve(evaluation.curve, metrics.get(evaluation.curve.loss))
    if evaluation.history:
        yield "history", _history(evaluation.history)


def _reliability(reliability: Reliability) -> "Figure":
    figure, axes = _figure(4.2)
    bins = reliability.bins
    predicted, low, high = [one.predicted for one in bins], [one.low for one in bins], [one.high for one in bins]
    if isinstance(reliability, ProbabilityReliability):
        ends = [side([*predicted, *low, *high]) for side in (min, max)]
        axes.plot(ends, ends, color=MUTED, linestyle="--", label="promised")
        whose = "the likeliest label" if reliability.label is None else f"'{_short(reliability.label)}'"
        axes.set_xlabel(f"predicted probability of {whose}")
    else:
        axes.axhline(reliability.nominal, color=MUTED, linestyle="--", label="promised")
        axes.set_xlabel("predicted value, mean of each fifth of the rows")
    axes.set_ylabel(_OBSERVED[type(reliability)])
    axes.vlines(predicted, low, high, color=ACCENT, alpha=0.5, lw=3)
    axes.plot(predicted, [one.observed for one in bins], color=ACCENT, marker="o", label="observed, 95 % interval")
    axes.legend()
    return figure


def _slices(slices: Sequence[SliceResult], loss: str, whole: MetricValue | None) -> "Figure":
    """The worst slices; ``whole`` is the loss of all rows."""
    slices = slices[:MOST_BARS]
    figure, axes = _bars([one.slice for one in slices])
    if whole:
        axes.axvline(whole.value, color=MUTED, linestyle="--", label="all rows")
        axes.legend(loc="best")
    for place, one in enumerate(slices):
        if one.low is not None and one.high is not None:
            axes.hlines(place, one.low, one.high, color=WARM, alpha=0.5, lw=3)
        axes.plot(one.loss, place, color=WARM, marker="o")
    axes.set_xlabel(f"{_words(loss)}, with its 95 % interval")
    return figure


def _importance(importance: Importance) -> "Figure":
    features = importance.features[:MOST_BARS]
    figure, axes = _bars([one.feature for one in features])
    rises, spreads, places = (
        [one.rise for one in features],
        [one.spread for one in features],
        range(len(features)),
    )
    axes.barh(places, rises, xerr=spreads, color=ACCENT, height=0.62, error_kw={"ecolor": INK, "elinewidth": 1})
    axes.set_xlabel(f"rise of {_words(importance.loss)} when the column is shuffled")
    return figure


def _curve(curve: LearningCurve, whole: MetricValue | None) -> "Figure":
    """The loss by the training rows; ``whole`` is that of the model of the report."""
    from matplotlib.ticker import NullLocator  # noqa: PLC0415

    figure, axes = _figure(3.6)
    points, ahead = curve.points, curve.next
    rows, losses = [one.rows for one in points], [one.loss for one in points]
    low, high = [one.low for one in points], [one.high for one in points]
    axes.fill_between(rows, low, high, color=ACCENT, alpha=0.15, lw=0)
    axes.plot(rows, losses, color=ACCENT, marker="o", label=f"{curve.model} refitted, 95 % interval")
    ticks = rows
    if rows[-1] == curve.rows:
        ends = losses[-1] - ahead.high, losses[-1] - ahead.low
        axes.vlines(ahead.rows, *ends, color=WARM, lw=3, label="what twice the rows may bring")
        ticks = [*rows, ahead.rows]
    if whole:
        axes.axhline(whole.value, color=MUTED, linestyle="--", label="the model of this report")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.set(xlabel="training rows", ylabel=_words(curve.loss))
    axes.legend()
    return figure


def _history(history: Sequence[Epoch]) -> "Figure":
    figure, axes = _figure(3.2)
    epochs = [one.epoch for one in history]
    best = min(history, key=lambda one: one.validation_loss)
    axes.plot(epochs, [one.train_loss for one in history], color=MUTED, label="training part")
    axes.plot(epochs, [one.validation_loss for one in history], color=ACCENT, label="validation part")
    axes.plot(best.epoch, best.validation_loss, color=WARM, marker="o", linestyle="", label="lowest")
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
