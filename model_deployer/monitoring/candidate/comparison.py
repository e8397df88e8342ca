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
    LossComparison,
    ReplayReport,
    SliceChange,
)
from model_deployer.monitoring.candidate.row_blocks import block_numbers, compare_losses
from model_deployer.monitoring.candidate.row_losses import RowLosses, labelled_rows, row_losses, worst_rise
from model_deployer.monitoring.candidate.traffic_slices import TrafficSlice, traffic_slices


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
        losses=[_compared_loss(loss, blocks[labelled], rows.weights[labelled], limits) for loss in losses],
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


def _compared_loss(
    loss: RowLosses, blocks: NDArray[np.int64], weights: NDArray[np.float64], limits: Limits
) -> LossComparison:
    return compare_losses(loss, blocks, weights, limits.tolerance, limits.alpha)


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
        compared = self._loss_in(part)
        has_interval = compared is not None and np.isfinite([compared.low, compared.high]).all()
        return SliceChange(
            slice=part.name,
            rows=int(both.sum()),
            flip_share=None if rows.flips is None else answer_changes.share(rows.flips, both, rows.weights),
            mean_size=float(np.average(sizes, weights=weights)) if weights.sum() else 0.0,
            refusals=int((rows.new_refusals & part.rows).sum()),
            labelled=compared.rows if compared else 0,
            loss=compared.difference if compared else None,
            low=compared.low if compared and has_interval else None,
            high=compared.high if compared and has_interval else None,
        )

    def _loss_in(self, part: TrafficSlice) -> LossComparison | None:
        inside = part.rows[self.labelled]
        if self.loss is None or not inside.any():
            return None
        loss = RowLosses(
            self.loss.name,
            self.loss.meaning,
            self.loss.champion[inside],
            self.loss.candidate[inside],
            self.loss.bound,
        )
        indices = self.labelled[inside]
        return _compared_loss(loss, self.blocks[indices], self.rows.weights[indices], self.limits)
