"""A source that was loaded in its cell, asked for its answers to rows."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.adoption.cell.cell_error import CellError
from model_deployer.adoption.cell.process import CellProcess
from model_deployer.adoption.cell.source_rows import output_tensors, source_columns
from model_deployer.adoption.equality.comparison import SourceAnswers
from model_deployer.adoption.interface import Interface, label_text
from model_deployer.adoption.tensor_column import tensor_values
from model_deployer.contract.features import Categorical, Feature, Image, NumberSequence, Tensor
from model_deployer.contract.image_file import read_image
from model_deployer.contract.outputs import Classification, Output
from model_deployer.contract.source_runner import SourceRunner

#: The number of rows in one message, and of numbers and pixels in all of them.
_ROWS, _ELEMENTS = 5_000, 50_000_000

#: The first row of a message, the answers, and the errors of refused rows.
_Part = tuple[int, Mapping[str, NDArray[Any]], Mapping[int, str]]


@dataclass(frozen=True)
class CellSource:
    """A loaded source with the contract that it answers by.

    Attributes:
        process: The process that has loaded it.
        runner: How it gets rows, and which of its answers counts.
        features: The fields, in the order of the source.
        output: The output of the contract.
    """

    process: CellProcess
    runner: SourceRunner
    features: Sequence[Feature]
    output: Output

    @property
    def versions(self) -> Mapping[str, str]:
        """The versions of the libraries that it answers with."""
        versions: Mapping[str, str] = self.process.description["versions"]
        return versions

    def in_accepted_form(self, frame: pl.DataFrame, interface: Interface) -> "CellSource":
        """Return the same source with rows in a form that it does not refuse.

        The forms are tried in this order: as the source chooses, as a data frame, and as a data frame in which texts,
        and numbers whose categories the source lists, are categories of pandas, as boosters want them.

        Args:
            frame: Some rows in the form of a graph's inputs.
            interface: What the source says of its inputs.
        """
        categories = {
            feature.name: feature.categories
            for feature in self.features
            if isinstance(feature, Categorical) and feature.categories
        }
        numbers = [field for field in interface.fields if field.kind == "number"]
        categories |= {field.name: field.categories for field in numbers if field.categories}
        updates: list[dict[str, Any]] = [{}]
        if self.runner.form is None:
            updates += [{"form": "frame"}, {"form": "frame", "categories": categories}]
        for update in updates:
            other = replace(self, runner=self.runner.model_copy(update=update))
            if len(other.ask(frame).refused) < frame.height:
                return other
        return self

    def ask(self, frame: pl.DataFrame) -> SourceAnswers:
        """Return its answers to conformed rows: Float64 with NaN, String with "", and the files of images.

        Raises:
            CellError: if it does not answer.
            CellError: if it answers in another form than the contract states.
        """
        try:
            return self._answers(list(self._parts(frame)))
        except ValueError as error:
            raise CellError(f"the source answers in a form that cannot be served: {error}") from None

    def width(self, frame: pl.DataFrame) -> int:
        """Return how many numbers it gives for each row.

        Raises:
            CellError: if it does not answer any of the rows with numbers.
        """
        for _, answers, _ in self._parts(frame):
            if self.runner.answer in answers and (values := answers[self.runner.answer]).dtype.kind in "biuf":
                return math.prod(values.shape[1:])
        raise CellError("the source does not answer these rows with numbers, so that their count is not known")

    def _answers(self, parts: Sequence[_Part]) -> SourceAnswers:
        refused = {start + row: error for start, _, errors in parts for row, error in errors.items()}
        numbers = np.concatenate([self._numbers(answers) for _, answers, _ in parts]).astype(np.float64)
        if self.runner.network is not None:  # a network answers NaN where other models raise an error
            unanswered = np.flatnonzero(np.isnan(numbers).any(axis=1)).tolist()
            refused = dict.fromkeys(unanswered, "the answer is not a number") | refused
        if not isinstance(self.output, Classification):
            return SourceAnswers(numbers, None, refused)
        names = self._names_of_labels(self.output)
        decisions = [text for _, answers, _ in parts for text in _decisions(answers, self.output, names)]
        return SourceAnswers(numbers, decisions, refused)

    def _names_of_labels(self, output: Classification) -> Mapping[str, str]:
        """Return what the contract calls each class of the source: model.yaml or a label encoder may rename them."""
        classes = self.process.description.get("classes") or ()
        names = [label_text(label) for label in classes]
        return dict(zip(names, output.labels, strict=True)) if len(names) == len(output.labels) else {}

    def predict(self, frame: pl.DataFrame) -> dict[str, NDArray[Any]]:
        """Return its answers as the output tensors of a graph, float32 [rows, n]; NaN in refused rows."""
        tensors = [
            output_tensors(self.output, answers, self.runner.answer, self.runner.half_width)
            for _, answers, _ in self._parts(frame)
        ]
        return {name: np.concatenate([part[name] for part in tensors]) for name in tensors[0]}

    def _parts(self, frame: pl.DataFrame) -> Iterator[_Part]:
        """Yield the first row of each message, the answers, and the errors of refused rows."""
        rows = max(1, min(_ROWS, _ELEMENTS // sum(feature.elements for feature in self.features)))
        for start in range(0, max(1, frame.height), rows):
            part = frame[start : start + rows]
            arrays = {feature.name: _array(feature, part[feature.name]) for feature in self.features}
            columns = source_columns(self.features, arrays)
            answers, errors = self.process.predict(columns, **self.runner.options)
            yield start, self._complete(answers, part.height), errors

    def _complete(self, answers: Mapping[str, NDArray[Any]], rows: int) -> Mapping[str, NDArray[Any]]:
        """Return answers also where the source refuses every row."""
        if answers:
            return answers
        return {"decision": np.full(rows, None), self.runner.answer: np.full((rows, self.output.width), np.nan)}

    def _numbers(self, answers: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        tensors = output_tensors(self.output, answers, self.runner.answer, None)
        if self.runner.answer == "decision":
            return tensors["probabilities"]
        values = answers[self.runner.answer]
        return values.reshape(len(values), -1)


def _array(feature: Feature, values: pl.Series) -> NDArray[Any]:
    if isinstance(feature, Image):
        pixels = [read_image(feature, content) for content in values]
        return np.array(pixels, np.uint8).reshape(-1, *feature.shape)
    if isinstance(feature, Tensor):
        return feature.column(tensor_values(values))
    if isinstance(feature, NumberSequence):
        return feature.column(values.to_list())
    return values.to_numpy()


def _decisions(answers: Mapping[str, NDArray[Any]], output: Classification, names: Mapping[str, str]) -> list[str]:
    if "decision" in answers:
        texts = ["" if label is None else label_text(label) for label in answers["decision"].reshape(-1).tolist()]
        return [names.get(text, text) for text in texts]
    return output.decisions({"probabilities": answers["probabilities"].astype(np.float32)})
