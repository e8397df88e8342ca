"""From the same rows with both answers to the report of a trial."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.trial import Source, Trial, overall
from model_deployer.monitoring.candidate import answer_changes
from model_deployer.monitoring.candidate.findings import Compared, Limits, findings
from model_deployer.monitoring.candidate.paired_rows import PairedRows
from model_deployer.monitoring.candidate.replay_report import (
    Latency,
    LeftOut,
    ReplayReport,
    SliceChange,
)
from model_deployer.monitoring.candidate.row_blocks import block_numbers, compare_losses, difference_interval
from model_deployer.monitoring.candidate.row_losses import RowLosses, labelled_rows, row_losses, worst_rise
from model_deployer.monitoring.candidate.traffic_slices import traffic_slices
from model_deployer.monitoring.slices import TrafficSlice


@dataclass(frozen=True)
class Origin:
    """How the rows of a comparison were answered.

    Attributes:
        source: By a replay, or in the shadow.
        rows_read: The captured rows that were read.
        left_out: Those that are not compared.
        latency: The latency; None if it was not measured.
        without: The fields that the models were asked without.
        notes: What a reader has to know about the rows.
    """

    source: Source
    rows_read: int
    left_out: tuple[LeftOut, ...] = ()
    latency: Latency | None = None
    without: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def compare(rows: PairedRows, origin: Origin, limits: Limits) -> ReplayReport:
    """Compare a candidate with the champion.

    Raises:
        UsageError: if there is no column for the blocks of ``limits``.
    """
    blocks = block_numbers(rows.table, limits.block)
    labelled = labelled_rows(rows)
    losses = list(row_losses(rows, labelled)) if labelled.size else []
    compared = Compared(
        losses=[
            compare_losses(loss, blocks[labelled], rows.weights[labelled], limits.tolerance, limits.alpha)
            for loss in losses
        ],
        changes=answer_changes.changes(rows),
        refusals=answer_changes.refusals(rows),
        latency=origin.latency,
        reproduction=answer_changes.reproduction(rows) if origin.source == "replay" else None,
        worst=worst_rise(rows),
        without=origin.without,
    )
    results = findings(compared, limits)
    times = rows.table["time"]
    trial = Trial(
        champion=rows.champion.tag,
        candidate=rows.candidate.tag,
        source=origin.source,
        made=datetime.now(UTC),
        rows=len(rows.table),
        labelled=len(labelled),
        verdict=overall(results),
        findings=results,
    )
    slices = _Slices(rows, blocks, labelled, losses[0] if losses else None, limits)
    return ReplayReport(
        trial=trial,
        first=times.min(),
        last=times.max(),
        rows_read=origin.rows_read,
        left_out=origin.left_out,
        block=limits.block,
        reproduction=compared.reproduction,
        changes=compared.changes,
        refusals=compared.refusals,
        losses=tuple(compared.losses),
        latency=origin.latency,
        slices=tuple(map(slices.change, traffic_slices(rows.table, rows.champion))),
        examples=tuple(answer_changes.examples(rows)),
        notes=(*origin.notes, *_label_notes(rows, labelled)),
    )


def _label_notes(rows: PairedRows, labelled: Sequence[int] | NDArray[np.intp]) -> Iterator[str]:
    received = len(rows.table) - rows.table["label"].null_count()
    if received > len(labelled):
        yield (
            f"{received - len(labelled):,} labelled rows do not count: a model refuses the row, or does not have the "
            "label"
        )


@dataclass(frozen=True)
class _Slices:
    """The changes in slices.

    Attributes:
        rows: All rows.
        blocks: The block of each row.
        labelled: The labelled rows.
        loss: Their loss; None without labels.
        limits: The limits of the comparison.
    """

    rows: PairedRows
    blocks: NDArray[np.int64]
    labelled: NDArray[np.intp]
    loss: RowLosses | None
    limits: Limits

    def change(self, part: TrafficSlice) -> SliceChange:
        """Return the change in a slice."""
        rows = self.rows
        both = rows.both & part.rows
        weights = rows.weights[both]
        sizes = np.abs(rows.differences[both])
        inside = part.rows[self.labelled] if self.loss else np.zeros(0, np.bool_)
        interval = self._interval(inside)
        return SliceChange(
            slice=part.name,
            rows=int(both.sum()),
            flip_share=None if rows.flips is None else answer_changes.share(rows.flips, both, rows.weights),
            mean_size=float(np.average(sizes, weights=weights)) if weights.sum() else 0.0,
            refusals=int((rows.new_refusals & part.rows).sum()),
            labelled=int(inside.sum()),
            loss=self._difference(inside),
            low=interval and interval[0],
            high=interval and interval[1],
        )

    def _difference(self, inside: NDArray[np.bool_]) -> float | None:
        """Return the mean difference of the loss of some labelled rows; None without any."""
        if self.loss is None or not inside.any():
            return None
        weights = self.rows.weights[self.labelled[inside]]
        return float(np.average((self.loss.candidate - self.loss.champion)[inside], weights=weights))

    def _interval(self, inside: NDArray[np.bool_]) -> tuple[float, float] | None:
        if self.loss is None or not inside.any():
            return None
        loss, indices = self.loss.of_rows(inside), self.labelled[inside]
        return difference_interval(loss, self.blocks[indices], self.rows.weights[indices], self.limits.alpha)
