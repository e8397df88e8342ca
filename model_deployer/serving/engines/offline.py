"""Predictions without a server: the same validation and the same graph, for any number of rows."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain, compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.errors import ArtifactError, InvalidRows, Problem
from model_deployer.contract.image_file import require_pillow
from model_deployer.contract.outputs import Arrays
from model_deployer.serving.engines.batching import concatenate_columns
from model_deployer.serving.engines.engine import Engine
from model_deployer.serving.engines.onnx import OnnxEngine
from model_deployer.serving.engines.refusal import require_numbers
from model_deployer.serving.engines.source_process import OwnSourceEngine
from model_deployer.serving.rows.arrow import Column
from model_deployer.serving.rows.columns import ColumnBuilder, Columns
from model_deployer.serving.rows.tables import TableReader
from model_deployer.serving.rows.validation import Validator
from model_deployer.system.cpus import cpu_count

#: The rows of a table that are read at once.
BATCH_ROWS = 512

#: Rows that are not validated yet: JSON objects, or columns of the same length by field.
Rows = Sequence[Any] | Mapping[str, Column]


@dataclass(frozen=True)
class Part:
    """Some rows of a table.

    Attributes:
        numbers: The numbers of the rows within the table, counted from 0: int64 [rows], ascending.
        rows: The rows.
    """

    numbers: NDArray[np.int64]
    rows: Rows


@dataclass(frozen=True)
class Answers:
    """The answers to the rows of a table.

    Attributes:
        accepted: Which rows are answered, bool [rows].
        outputs: The graph's output tensors for these rows, in their order: float32 [answered rows, n].
        problems: The problems of each row that breaks the contract, by the number of the row.
    """

    accepted: NDArray[np.bool_]
    outputs: Arrays
    problems: Mapping[int, Sequence[Problem]]


class OfflineModel:
    """A model that predicts in this process.

    Args:
        artifact: The model.
        ignores_unknown: Whether fields that the model does not have are left out; otherwise they are refused.
        threads: The batches that are answered at the same time; None for all cores that the process may use.

    Raises:
        EnvironmentFault: if a field is an image, and Pillow is not installed.
    """

    def __init__(self, artifact: Artifact, *, ignores_unknown: bool = False, threads: int | None = None) -> None:
        require_pillow(artifact.contract.features)
        self._artifact = artifact
        self._validator = Validator(artifact.contract, ignores_unknown)
        self._read_table = TableReader(artifact.contract, ignores_unknown).table
        self._build_columns = ColumnBuilder(artifact.contract.features)
        self._engine: Engine = (
            OwnSourceEngine(artifact, artifact.runner)
            if artifact.runner
            else OnnxEngine(artifact.model, artifact.contract.output)
        )
        self._threads = ThreadPoolExecutor(
            1 if artifact.runner else threads or cpu_count(), thread_name_prefix="engine"
        )

    def answer(self, rows: Rows) -> Answers:
        """Validate and answer rows: JSON objects as clients send them, or columns."""
        return self.start([Part(np.arange(_count(rows)), rows)])()

    def start(self, parts: Sequence[Part]) -> Callable[[], Answers]:
        """Validate the rows of a table, and begin to answer them.

        Args:
            parts: Together, they have every row of the table once.

        Returns:
            A function that waits for the answers and returns them.
        """
        accepted = np.zeros(sum(len(part.numbers) for part in parts), dtype=bool)
        problems: dict[int, Sequence[Problem]] = {}
        valid = list(chain.from_iterable(self._validate(part, problems) for part in parts if len(part.numbers)))
        if not valid:
            return lambda: Answers(accepted, self._no_outputs(), problems)
        numbers = np.concatenate([numbers for numbers, _ in valid])
        accepted[numbers] = True
        columns = concatenate_columns([columns for _, columns in valid])
        if len(valid) > 1:
            order = np.argsort(numbers)
            columns = {name: array[order] for name, array in columns.items()}
        size = self._artifact.contract.batch_rows
        slices = [slice(start, start + size) for start in range(0, len(numbers), size)]
        batches = [
            self._threads.submit(self._run, {name: array[rows] for name, array in columns.items()}) for rows in slices
        ]
        numbers.sort()
        return lambda: _finish(accepted, problems, zip((numbers[rows] for rows in slices), batches, strict=True))

    def check_golden(self) -> None:
        """Check that the model reproduces its golden predictions, as a server does before it is ready.

        Raises:
            ArtifactError: if it does not reproduce them on this machine.
        """
        artifact, output = self._artifact, self._artifact.contract.output
        cases = list(artifact.golden())
        predictions = output.predictions(self.answer([case.row for case in cases]).outputs)
        tolerance = artifact.manifest.tolerance
        if len(predictions) < len(cases) or not all(
            output.agree(case.prediction, prediction, tolerance)
            for case, prediction in zip(cases, predictions, strict=True)
        ):
            raise ArtifactError(
                f"{artifact.tag} does not reproduce its golden predictions on this machine; do not use it: compare the "
                "onnxruntime versions, or make the model again on this platform"
            )

    def close(self) -> None:
        """Stop the threads; batches that did not start are left out."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._engine.close()

    def _validate(
        self, part: Part, problems: dict[int, Sequence[Problem]]
    ) -> Iterator[tuple[NDArray[np.int64], Columns]]:
        """Yield the valid rows, as their numbers and the graph's columns, and add the problems of the others."""
        try:
            yield part.numbers, self._valid_columns(part.rows)
        except InvalidRows as invalid:
            if invalid.total > len(invalid.problems) and len(part.numbers) > 1:  # not all of them are listed
                is_first_half = np.arange(len(part.numbers)) < len(part.numbers) // 2
                yield from self._validate(_select(part, is_first_half), problems)
                yield from self._validate(_select(part, ~is_first_half), problems)
                return
            refused = np.zeros(len(part.numbers), dtype=bool)
            for problem in invalid.problems:
                refused[problem.row] = True
                number = int(part.numbers[problem.row])
                problems[number] = (*problems.get(number, ()), problem)
            if not refused.all():
                yield from self._validate(_select(part, ~refused), problems)

    def _no_outputs(self) -> Arrays:
        output = self._artifact.contract.output
        return {name: np.empty((0, output.width), dtype=np.float32) for name in output.tensors}

    def _valid_columns(self, rows: Rows) -> Columns:
        if isinstance(rows, Mapping):
            return self._read_table(rows).columns
        return self._build_columns(self._validator.check(rows))

    def _run(self, columns: Columns) -> tuple[Arrays, Sequence[Problem]]:
        """Return the outputs of the rows that the model answers, and the problems of those that it refuses itself."""
        try:
            return require_numbers(self._engine.run(columns)), ()
        except InvalidRows as error:
            refused = [problem.row for problem in error.problems]
            left = np.delete(np.arange(len(next(iter(columns.values())))), refused)
            if not len(left):
                return self._no_outputs(), error.problems
            outputs, further = self._run({name: array[left] for name, array in columns.items()})
            return outputs, [*error.problems, *(replace(each, row=int(left[each.row])) for each in further)]


def predict(artifact: Artifact, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any] | None]:
    """Predict rows as clients send them.

    Args:
        artifact: The model.
        rows: JSON objects, one per row, with a value for each field.

    Returns:
        One prediction per row, as :mod:`contract.outputs` describes it; None for a row that breaks the model's
        contract.
    """
    with closing(OfflineModel(artifact)) as model:
        answers = model.answer(rows)
    predictions = iter(artifact.contract.output.predictions(answers.outputs))
    return [next(predictions) if is_accepted else None for is_accepted in answers.accepted.tolist()]


def problem_documents(problems: Sequence[Problem]) -> list[dict[str, str | None]]:
    """Return the problems of a row as the service names them, without the number of the row."""
    return [{"field": problem.field, "code": problem.code, "message": problem.message} for problem in problems]


def _finish(
    accepted: NDArray[np.bool_],
    problems: dict[int, Sequence[Problem]],
    batches: Iterable[tuple[NDArray[np.int64], "Future[tuple[Arrays, Sequence[Problem]]]"]],
) -> Answers:
    """Wait for batches, each with the numbers of its rows, and leave out the rows that the model refuses itself."""
    outputs = []
    for numbers, batch in batches:
        arrays, refused = batch.result()
        outputs.append(arrays)
        for problem in refused:
            number = int(numbers[problem.row])
            accepted[number], problems[number] = False, (problem,)
    return Answers(accepted, concatenate_columns(outputs), problems)


def _count(rows: Rows) -> int:
    return len(next(iter(rows.values())).values) if isinstance(rows, Mapping) else len(rows)


def _select(part: Part, mask: NDArray[np.bool_]) -> Part:
    """Return the rows of a part for which the mask is true."""
    if not isinstance(part.rows, Mapping):
        return Part(part.numbers[mask], list(compress(part.rows, mask.tolist())))
    columns = {
        name: replace(
            column, values=column.values[mask], missing=None if column.missing is None else column.missing[mask]
        )
        for name, column in part.rows.items()
    }
    return Part(part.numbers[mask], columns)
