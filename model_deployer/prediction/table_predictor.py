"""The predictions of a table, as a table with the columns of the service's answers."""

from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np
import polars as pl

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import DataError, Problem
from model_deployer.prediction.field_columns import FieldReader
from model_deployer.prediction.lag_columns import lag_columns
from model_deployer.prediction.training_table import spec_for
from model_deployer.serving.engines.offline import Answers, OfflineModel, problem_documents
from model_deployer.training.data.table_batches import renamed

#: Rows of a frame that are answered at a time, and numbers in them if a row has very many.
_SLICE_ROWS, _SLICE_ELEMENTS = 1 << 14, 1 << 25

#: The column with the problems of a row that the contract refuses.
ERROR = "error"


class TablePredictor:
    """Answers frames of one table.

    Args:
        model: The model.
        contract: Its contract.
        fields: Reads the columns of the table.
    """

    def __init__(self, model: OfflineModel, contract: Contract, fields: FieldReader) -> None:
        self._model = model
        self._output = contract.output
        self._fields = fields

    def start(self, frame: pl.DataFrame) -> Callable[[], pl.DataFrame]:
        """Begin to answer the rows of a frame.

        Returns:
            A function that waits for the answers and returns them: one row per row, with the columns of a table that
            the service answers, null for a row that is refused, and the column ``error``. It is null for an answered
            row, and else a JSON list with the field, code and message of each problem, as in the answer of the service.
        """
        answers = self._model.start(self._fields.parts(frame))
        return lambda: self._frame(answers())

    def _frame(self, answers: Answers) -> pl.DataFrame:
        frame = pl.DataFrame(dict(self._output.columns(answers.outputs)))
        if answers.accepted.all():
            return frame.with_columns(pl.lit(None, pl.String).alias(ERROR))
        positions = pl.Series(np.cumsum(answers.accepted) - 1).set(pl.Series(~answers.accepted), None)
        frame = pl.DataFrame({column.name: column.gather(positions) for column in frame})
        return frame.with_columns(_errors(answers.problems, len(answers.accepted)))


def _errors(problems: Mapping[int, Sequence[Problem]], rows: int) -> pl.Series:
    texts: list[str | None] = [None] * rows
    for row, row_problems in problems.items():
        texts[row] = msgspec.json.encode(problem_documents(row_problems)).decode()
    return pl.Series(ERROR, texts, pl.String)


def predict_frame(artifact: Artifact, model: OfflineModel, frame: pl.DataFrame) -> pl.DataFrame:
    """Predict the rows of a frame; see :meth:`TablePredictor.start`.

    Args:
        artifact: The model.
        model: The same, ready to answer.
        frame: A table like the one that the model was trained from, with at least one row.

    Raises:
        DataError: if the frame has no row, lacks a field that the contract requires, or the type of a column cannot
            hold the values of its field.
    """
    if not frame.height:
        raise DataError("the table has no rows")
    spec = spec_for(artifact, "table")
    frame = renamed(frame.lazy(), spec).collect()
    frame = frame.hstack(lag_columns(artifact, frame.columns, frame.select))
    fields = FieldReader(artifact.contract, frame.schema, spec.data.missing)
    predictor = TablePredictor(model, artifact.contract, fields)
    rows = max(1, min(_SLICE_ROWS, _SLICE_ELEMENTS // artifact.contract.row_elements))
    return pl.concat([predictor.start(part)() for part in frame.iter_slices(rows)])
