"""The pictures of a replay, each as the bytes of a PNG file."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from model_deployer.monitoring.candidate.replay_report import Changes, LossComparison, ReplayReport, SliceChange
from model_deployer.training.report.plots import ACCENT, INK, MAX_BARS, MUTED, WARM, empty_bars, empty_figure, render

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(report: ReplayReport) -> dict[str, bytes]:
    """Draw the pictures of a report.

    Returns:
        A PNG image by its name: ``loss``, ``differences``, ``slices``; those without content are left out.
    """
    return render(_pictures(report))


def _pictures(report: ReplayReport) -> Iterator[tuple[str, "Figure"]]:
    loss = next((loss for loss in report.losses if any(point.difference for point in loss.progress)), None)
    if loss and loss.blocks > 1:
        yield "loss", _loss(loss)
    if (changes := report.changes) and changes.mean_size:
        yield "differences", _differences(changes)
    if any(part.flip_share for part in report.slices):
        yield "slices", _slices(report)


def _loss(loss: LossComparison) -> "Figure":
    """Draw the difference of the loss and its confidence sequence as the blocks came."""
    picture, axes = empty_figure(3.2)
    blocks = [point.blocks for point in loss.progress]
    shown = max(2 * max(abs(point.difference) for point in loss.progress), 4 * loss.tolerance, 1e-9)
    low = [max(point.low, -shown) for point in loss.progress]
    high = [min(point.high, shown) for point in loss.progress]
    axes.fill_between(blocks, low, high, color=ACCENT, alpha=0.18, lw=0, label="confidence sequence")
    axes.plot(blocks, [point.difference for point in loss.progress], color=ACCENT, label="difference")
    axes.axhline(0, color=INK, lw=1)
    axes.axhline(loss.tolerance, color=WARM, lw=1, linestyle="--", label="tolerance")
    axes.set(xlabel="blocks of rows", ylabel="candidate minus champion", title=f"{loss.meaning}")
    axes.legend()
    return picture


def _differences(changes: Changes) -> "Figure":
    picture, axes = empty_figure(2.8)
    widths = [high - low for low, high in zip(changes.edges, changes.edges[1:], strict=False)]
    axes.bar(changes.edges[:-1], changes.shares, width=widths, align="edge", color=ACCENT)
    axes.axvline(0, color=MUTED, linestyle="--")
    axes.set(xlabel=changes.difference, ylabel="share of the rows")
    return picture


def _slices(report: ReplayReport) -> "Figure":
    slices = sorted(report.slices, key=_flip_share, reverse=True)[:MAX_BARS]
    picture, axes = empty_bars([part.slice for part in slices])
    axes.barh(range(len(slices)), [100 * _flip_share(part) for part in slices], color=ACCENT, height=0.62)
    if report.changes and report.changes.flip_share is not None:
        axes.axvline(100 * report.changes.flip_share, color=MUTED, linestyle="--", label="all rows")
        axes.legend()
    axes.set_xlabel("decisions that change, %")
    return picture


def _flip_share(part: SliceChange) -> float:
    return part.flip_share or 0.0
