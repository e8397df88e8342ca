"""The predictions of a file of any size, in a file: read, answered and written in batches."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from model_deployer.contract.artifact import MANIFEST, Artifact, sha256
from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import DataError, Interrupted, UsageError
from model_deployer.contract.yaml_source import suggestion
from model_deployer.prediction.field_columns import FieldReader
from model_deployer.prediction.lag_columns import lag_columns
from model_deployer.prediction.table_predictor import ERROR, TablePredictor
from model_deployer.prediction.training_table import spec_for
from model_deployer.prediction.unfinished_table import UnfinishedTable, is_csv
from model_deployer.serving.engines.offline import BATCH_ROWS, OfflineModel
from model_deployer.training.data.table_batches import TableBatches, open_batches

#: Batches that are answered while the next ones are read.
_BATCHES_IN_PROGRESS = 2

#: A part is written when it has this number of rows, or after this number of seconds.
_PART_ROWS = 1 << 17
_PART_SECONDS = 10.0


@dataclass(frozen=True)
class FilePrediction:
    """Where the predictions of a file go, and how.

    Attributes:
        table: The file to read, or a glob of files.
        output: The file to write: Parquet or CSV.
        keep: Columns of the table that the output has, too, in front of the predictions.
        resume: Whether to continue an interrupted run, if there is one.
    """

    table: str
    output: Path
    keep: Sequence[str] = ()
    resume: bool = False


@dataclass(frozen=True)
class Summary:
    """What a run did.

    Attributes:
        answered: The number of rows with a prediction.
        refused: The number of rows that the contract refuses.
        absent: Optional fields that the table does not have.
        left_out: Columns of the table that were not used.
    """

    answered: int
    refused: int
    absent: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


#: Called with the number of rows that are written or being written, and of all rows; None if that is not known.
Progress = Callable[[int, int | None], None]


def predict_file(artifact: Artifact, job: FilePrediction, progress: Progress = lambda done, total: None) -> Summary:
    """Predict the rows of a file, in batches, so that its size does not matter.

    The output has one row for each row of the table, in their order: the columns of ``keep``, the columns of a table
    that the service answers, and ``error``; see :meth:`TablePredictor.start`. It is complete or absent.

    Args:
        artifact: The model.
        job: What to read and write.
        progress: Called after each batch.

    Raises:
        UsageError: if the output exists or cannot hold the predictions, or the job cannot be resumed.
        DataError: if the table cannot be read, or lacks a field that the contract requires.
        ArtifactError: if the model does not reproduce its golden predictions on this machine.
        Interrupted: if the user interrupts the run with Ctrl-C; the complete parts are kept.
    """
    contract, spec = artifact.contract, spec_for(artifact, job.table)
    table = open_batches(spec, Path())
    lagged = lag_columns(artifact, table.schema, lambda columns: pl.concat(table.read(columns, skip=0)))
    fields = FieldReader(contract, table.schema | lagged.schema, spec.data.missing)
    keep = _kept(job.keep, table.schema, contract)
    if contract.output.task == "embedding" and is_csv(job.output):
        raise UsageError(f"{job.output}: CSV cannot hold an embedding, which is a list; let the name end with .parquet")
    used = [name for name in table.schema if name in contract.names or name in keep] or list(table.schema)[:1]
    with closing(UnfinishedTable(job.output)) as unfinished, closing(OfflineModel(artifact)) as model:
        unfinished.begin(_identity(artifact, table, keep), resume=job.resume)
        progress(unfinished.rows, table.rows)
        model.check_golden()
        frames = _with_lags(table.read(used, unfinished.rows, BATCH_ROWS), lagged[unfinished.rows :])
        answers = _answers(frames, TablePredictor(model, contract, fields), keep)
        try:
            _write(answers, unfinished, lambda rows: progress(rows, table.rows))
            rows, answered = unfinished.rows, unfinished.count_nulls(ERROR)
            unfinished.finish()
        except KeyboardInterrupt:
            raise Interrupted(
                f"interrupted after {unfinished.rows:,} rows; the same command with --resume continues after them"
            ) from None
    left_out = tuple(name for name in table.schema if name not in used)
    return Summary(answered, rows - answered, tuple(fields.absent), left_out)


def _kept(keep: Sequence[str], schema: pl.Schema, contract: Contract) -> list[str]:
    """Return the columns to keep; a text with commas is a list of them, unless a column has this name.

    Raises:
        UsageError: if the table lacks one, or the output has another column of this name.
    """
    names = [name for text in keep for name in ([text] if text in schema else text.split(","))]
    for name in names:
        if name not in schema:
            raise UsageError(f"--keep: the table has no column '{name}'{suggestion(name, schema)}")
        if name in (ERROR, *contract.output.columns_schema()):
            raise UsageError(f"--keep: the output has another column '{name}'; rename the column of the table")
    return list(dict.fromkeys(names))


def _identity(artifact: Artifact, table: TableBatches, keep: list[str]) -> dict[str, Any]:
    files = [(str(path.absolute()), path.stat().st_size, path.stat().st_mtime_ns) for path in table.paths]
    return {
        "the model": [artifact.tag, sha256(artifact.path / MANIFEST)],
        "the files of the table": [list(file) for file in files],
        "the columns of --keep": keep,
    }


def _with_lags(frames: Iterator[pl.DataFrame], lagged: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Yield frames with the lags of their rows, which begin with the first row of ``lagged``."""
    first = 0
    for frame in frames:
        yield frame.hstack(lagged[first : first + frame.height]) if lagged.width else frame
        first += frame.height


def _answers(frames: Iterator[pl.DataFrame], predictor: TablePredictor, keep: list[str]) -> Iterator[pl.DataFrame]:
    """Yield the rows of the output; while the graph runs, the next batches are read."""
    begun: deque[tuple[pl.DataFrame, Callable[[], pl.DataFrame]]] = deque()
    for frame in frames:
        begun.append((pl.DataFrame({name: frame[name] for name in keep}), predictor.start(frame)))
        if len(begun) > _BATCHES_IN_PROGRESS:
            yield _joined(*begun.popleft())
    while begun:
        yield _joined(*begun.popleft())


def _joined(kept: pl.DataFrame, answers: Callable[[], pl.DataFrame]) -> pl.DataFrame:
    return kept.hstack(answers()) if kept.width else answers()


def _write(frames: Iterator[pl.DataFrame], unfinished: UnfinishedTable, advanced: Callable[[int], None]) -> None:
    part: list[pl.DataFrame] = []
    rows, began = 0, time.monotonic()
    for frame in frames:
        part.append(frame)
        rows += frame.height
        advanced(unfinished.rows + rows)
        if rows >= _PART_ROWS or time.monotonic() - began > _PART_SECONDS:
            unfinished.add(pl.concat(part))
            part, rows, began = [], 0, time.monotonic()
    if part:
        unfinished.add(pl.concat(part))
    if not unfinished.rows:
        raise DataError("the table has no rows")
