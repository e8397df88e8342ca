"""The plots of an evaluation, each as the bytes of a PNG file."""

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from model_deployer.contract.evaluation import (
    MODEL,
    Decisions,
    Epoch,
    Evaluation,
    Importance,
    IntervalReliability,
    LearningCurve,
    MetricValue,
    ProbabilityReliability,
    QuantileReliability,
    Reliability,
    Residuals,
    SliceResult,
)
from model_deployer.contract.metric_catalog import LOSS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: The maximum number of bars in a plot.
MAX_BARS = 15

#: The maximum number of characters per line and of lines of a name in a plot.
MAX_LINE_CHARACTERS, MAX_LINES = 40, 4

#: The colours of text, data, references and highlights.
INK, ACCENT, MUTED, WARM = "#1f2933", "#2f6690", "#9aa5b1", "#b5533c"

#: The label of the axis of observed shares.
_OBSERVED: Mapping[type, str] = {
    ProbabilityReliability: "share of rows with this label",
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
    """Draw the plots of an evaluation.

    Returns:
        A PNG image by the name of the part of the evaluation, for each part that was measured.
    """
    return render(_plots(evaluation))


def render(plots: Iterator[tuple[str, "Figure"]]) -> dict[str, bytes]:
    """Return plots as PNG images by their names, all in one style.

    Args:
        plots: Yields the name and the figure of each; it is drawn as it is taken.
    """
    import matplotlib  # noqa: PLC0415 (slow, and needed only here)

    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a name may be in a script that the font does not have
        return {name: _png(figure) for name, figure in plots}


def _plots(evaluation: Evaluation) -> Iterator[tuple[str, "Figure"]]:
    metrics = evaluation.metrics_of(MODEL)
    if evaluation.reliability:
        yield "reliability", _reliability(evaluation.reliability)
    if evaluation.slices:
        loss = LOSS[evaluation.task]
        yield "slices", _slices(evaluation.slices, loss, metrics.get(loss))
    if evaluation.importance:
        yield "importance", _importance(evaluation.importance)
    if evaluation.decisions and evaluation.decisions.thresholds:
        yield "thresholds", _thresholds(evaluation.decisions)
    if evaluation.residuals:
        yield "errors", _errors(evaluation.residuals)
    if isinstance(evaluation.curve, LearningCurve):
        yield "curve", _curve(evaluation.curve, metrics.get(evaluation.curve.loss))
    if evaluation.history:
        yield "history", _history(evaluation.history)


def _reliability(reliability: Reliability) -> "Figure":
    figure, axes = empty_figure(4.2)
    bins = reliability.bins
    predicted, low, high = [part.predicted for part in bins], [part.low for part in bins], [part.high for part in bins]
    if isinstance(reliability, ProbabilityReliability):
        ends = [side([*predicted, *low, *high]) for side in (min, max)]
        axes.plot(ends, ends, color=MUTED, linestyle="--", label="perfectly calibrated")
        label = "the most likely label" if reliability.label is None else f"'{_short(reliability.label)}'"
        axes.set_xlabel(f"predicted probability of {label}")
    else:
        axes.axhline(reliability.nominal, color=MUTED, linestyle="--", label="nominal")
        axes.set_xlabel("predicted value, mean of each fifth of the rows")
    axes.set_ylabel(_OBSERVED[type(reliability)])
    axes.vlines(predicted, low, high, color=ACCENT, alpha=0.5, lw=3)
    axes.plot(predicted, [part.observed for part in bins], color=ACCENT, marker="o", label="observed, 95 % interval")
    axes.legend()
    return figure


def _slices(slices: Sequence[SliceResult], loss: str, loss_of_all: MetricValue | None) -> "Figure":
    """Draw the loss of the worst slices, and the loss of all rows for comparison."""
    slices = slices[:MAX_BARS]
    figure, axes = empty_bars([part.slice for part in slices])
    if loss_of_all:
        axes.axvline(loss_of_all.value, color=MUTED, linestyle="--", label="all rows")
        axes.legend(loc="best")
    for position, part in enumerate(slices):
        if part.low is not None and part.high is not None:
            axes.hlines(position, part.low, part.high, color=WARM, alpha=0.5, lw=3)
        axes.plot(part.loss, position, color=WARM, marker="o")
    axes.set_xlabel(f"{_words(loss)}, with its 95 % interval")
    return figure


def _importance(importance: Importance) -> "Figure":
    features = importance.features[:MAX_BARS]
    figure, axes = empty_bars([feature.feature for feature in features])
    rises, spreads = [feature.rise for feature in features], [feature.spread for feature in features]
    positions = range(len(features))
    axes.barh(positions, rises, xerr=spreads, color=ACCENT, height=0.62, error_kw={"ecolor": INK, "elinewidth": 1})
    axes.set_xlabel(f"rise of {_words(importance.loss)} when the column is shuffled")
    return figure


def _thresholds(decisions: Decisions) -> "Figure":
    """Draw the cost of the decisions by their threshold, and that of the cheapest constant decision."""
    figure, axes = empty_figure(3.2)
    points = decisions.thresholds
    axes.plot([point.threshold for point in points], [point.cost for point in points], color=ACCENT, marker="o")
    constant = decisions.constants[0]
    label = f"always '{_short(constant.label)}'"
    axes.axhline(constant.cost, color=MUTED, linestyle="--", label=label)
    axes.set(xlabel="decision threshold", ylabel="cost per row")
    axes.legend()
    return figure


def _errors(residuals: Residuals) -> "Figure":
    """Draw the mean true value by the mean predicted value, with the mean absolute error."""
    figure, axes = empty_figure(3.6)
    bins = residuals.bins
    predicted, observed = [part.predicted for part in bins], [part.observed for part in bins]
    ends = [side([*predicted, *observed]) for side in (min, max)]
    axes.plot(ends, ends, color=MUTED, linestyle="--", label="no error on average")
    errors = [part.error for part in bins]
    axes.errorbar(predicted, observed, yerr=errors, color=ACCENT, marker="o", label="mean, and mean absolute error")
    axes.set(xlabel="predicted value, mean of each fifth of the rows", ylabel="true value")
    axes.legend()
    return figure


def _curve(curve: LearningCurve, loss_of_model: MetricValue | None) -> "Figure":
    """Draw the loss by the number of training rows, and the loss of the model of the report for comparison."""
    from matplotlib.ticker import NullLocator  # noqa: PLC0415

    figure, axes = empty_figure(3.6)
    points, expected = curve.points, curve.next
    rows, losses = [point.rows for point in points], [point.loss for point in points]
    low, high = [point.low for point in points], [point.high for point in points]
    axes.fill_between(rows, low, high, color=ACCENT, alpha=0.15, lw=0)
    axes.plot(rows, losses, color=ACCENT, marker="o", label=f"{curve.model} on fewer rows, 95 % interval")
    ticks = rows
    if rows[-1] == curve.rows:
        ends = losses[-1] - expected.high, losses[-1] - expected.low
        axes.vlines(expected.rows, *ends, color=WARM, lw=3, label="expected with twice the rows")
        ticks = [*rows, expected.rows]
    if loss_of_model:
        axes.axhline(loss_of_model.value, color=MUTED, linestyle="--", label="the model of this report")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.set(xlabel="training rows", ylabel=_words(curve.loss))
    axes.legend()
    return figure


def _history(history: Sequence[Epoch]) -> "Figure":
    figure, axes = empty_figure(3.2)
    epochs = [epoch.epoch for epoch in history]
    best = min(history, key=lambda epoch: epoch.validation_loss)
    axes.plot(epochs, [epoch.train_loss for epoch in history], color=MUTED, label="training part")
    axes.plot(epochs, [epoch.validation_loss for epoch in history], color=ACCENT, label="validation part")
    axes.plot(best.epoch, best.validation_loss, color=WARM, marker="o", linestyle="", label="lowest")
    axes.set(xlabel="epoch", ylabel="loss")
    axes.legend()
    return figure


def empty_bars(names: Sequence[str]) -> tuple["Figure", "Axes"]:
    """Return an empty plot with one horizontal line per name, the first on top."""
    labels = _distinct([_short(name) for name in names])
    figure, axes = empty_figure(1.1 + sum(0.3 + 0.13 * label.count("\n") for label in labels))
    axes.set_yticks(range(len(names)), labels)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    return figure, axes


def empty_figure(height: float) -> tuple["Figure", "Axes"]:
    """Return an empty plot of this height in inches."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(7.2, height), layout="constrained")
    return figure, figure.subplots()


def _png(figure: "Figure") -> bytes:
    content = io.BytesIO()
    # By default, the metadata contain the version of matplotlib, so that equal plots would differ in their bytes.
    figure.savefig(content, format="png", dpi=160, metadata={"Software": None})
    return content.getvalue()


def _distinct(labels: Sequence[str]) -> list[str]:
    """Return the labels; those that are equal after they were shortened get their position in addition."""
    return [
        f"{label} ({position})" if labels.count(label) > 1 else label for position, label in enumerate(labels, start=1)
    ]


def _short(name: str) -> str:
    return "\n".join(wrap(name, MAX_LINE_CHARACTERS, max_lines=MAX_LINES, placeholder=" …"))


def _words(name: str) -> str:
    return name.replace("_", " ")
