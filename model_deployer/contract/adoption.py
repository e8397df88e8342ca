"""The evidence that a model that was trained elsewhere answers as its source: a part of evaluation.json."""

from collections.abc import Mapping
from typing import Literal

from model_deployer.contract.document import JsonObject


class DifferingRow(JsonObject):
    """A row that the source and the served model answer differently.

    Attributes:
        case: Which row it is: a row of the table by its number, or the values that a probe row was built from.
        difference: The largest difference of a number of the answer, as in :class:`Equality`.
        source, served: The decision of each for a classification, else its value, as text; of several numbers, the
            one that differs most, with its name or its position.
    """

    case: str
    difference: float
    source: str
    served: str


class Equality(JsonObject):
    """The comparison of the source with the served model.

    A difference of probabilities is absolute. A difference of values is divided by their standard deviation in the
    table (without a table, by a value that is small among those of the probe rows) or, above it, by the value. Each of
    several targets has its own standard deviation, and the numbers of an embedding have one in common. Probe
    rows are built from the model: each threshold and the numbers next to it, each category, missing, unknown and
    extreme values; images of one colour, of gradients and of noise.

    Attributes:
        table_rows: The rows of the table that both answered.
        probe_rows: The probe rows that both answered.
        refused: The rows that the contract accepts and the source refuses with an error; they are not compared.
        refusals: For the kinds of errors of the source, how many rows it refused with them.
        tolerance: The largest allowed difference.
        largest: The largest difference found.
        largest_absolute: The largest difference of several numbers in their own units; None for one value, for
            probabilities, and in early models of this format.
        differing: The number of rows with a larger difference than allowed.
        flips: The number of rows with another decision; None for a value.
        rows: The rows with the largest differences beyond the tolerance and those with another decision, at most 20.
    """

    table_rows: int
    probe_rows: int
    refused: int
    refusals: Mapping[str, int]
    tolerance: float
    largest: float
    largest_absolute: float | None = None
    differing: int
    flips: int | None
    rows: tuple[DifferingRow, ...]

    @property
    def is_proved(self) -> bool:
        """Whether no row has a difference beyond the tolerance or another decision, and rows were compared."""
        return not self.differing and not self.flips and self.table_rows + self.probe_rows > 0


class Recalibration(JsonObject):
    """New probabilities, or a new interval, of a model of the store, from labelled rows of its traffic.

    Attributes:
        rows: The number of labelled rows that they were fitted on.
        first, last: The times of the first and the last of these rows, ISO 8601.
        slope: The factor of the log-odds, or of the logarithms of more than two probabilities; None for an interval.
        intercept: The change of the log-odds of the second of two labels; None for an interval.
        factor: The factor of the width of the interval; None for probabilities.
    """

    rows: int
    first: str
    last: str
    slope: float | None = None
    intercept: float | None = None
    factor: float | None = None


class Adoption(JsonObject):
    """Where a model that was trained elsewhere comes from, and how it is served.

    Attributes:
        source: The name of the file or folder as model.yaml has it.
        digest: ``sha256:`` and the digest of its files.
        format: The kind of the source, such as ``joblib`` or ``XGBoost JSON``.
        estimator: The import path of the class of the model; None if the format has none.
        stored_with: The versions of libraries that the source names, by library.
        answered_with: The versions that the source answered with in the comparison; empty if it was not asked.
        served_by: ``graph``: as an ONNX graph in the server; ``runner``: by the source itself, in a process of its own.
        reason: Why it is not served as a graph; None if it is.
        notes: What differs between the environment that answered and the versions that the source names, as sentences.
        seen: Whether the source was trained on rows of the evaluation table, as model.yaml says; None if not said.
        equality: The comparison; None if the source was not asked.
        recalibration: If the source is a model of the store that was calibrated again: how. Otherwise None.
    """

    source: str
    digest: str
    format: str
    estimator: str | None
    stored_with: Mapping[str, str]
    answered_with: Mapping[str, str]
    served_by: Literal["graph", "runner"]
    reason: str | None = None
    notes: tuple[str, ...] = ()
    seen: bool | None = None
    equality: Equality | None = None
    recalibration: Recalibration | None = None
