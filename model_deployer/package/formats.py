"""model/parity.json: how far the answers of each format of the model differ from the expected answers."""

import math

from pydantic import BaseModel, ConfigDict

#: The largest allowed difference, as :class:`Agreement` measures it: the same that is allowed between two machines.
TOLERANCE = 1e-5

#: The share of decisions that may differ although the numbers agree: those of rows on the decision threshold.
MAX_FLIP_SHARE = 1e-4


class Agreement(BaseModel):
    """How far a format's answers differ from the expected answers.

    Attributes:
        rows: The number of rows that were replayed.
        largest: The largest difference of a number: absolute for probabilities; for values relative to the value, or to
            the spread of the training target if that is larger.
        flips: The number of decisions that differ; None for a regression, which has no decisions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    largest: float
    flips: int | None


class Graph(BaseModel):
    """The graph of the model, and the runtime that replayed it.

    Attributes:
        ir_version: The version of ONNX's file format.
        operators: The version of each set of operators, by its name.
        runtime: The version of ONNX Runtime that replayed the graph.
        python: The version of Python that it ran in.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ir_version: int
    operators: dict[str, int]
    runtime: str
    python: str


class Format(BaseModel):
    """One format of the model.

    Attributes:
        name: "ONNX", "pickle", ...
        files: The format's files, relative to the package's folder; empty if the format is withheld.
        about: What the format is for, in a sentence.
        tolerance: The largest allowed difference.
        golden: The agreement on the golden requests.
        test: The agreement on all test rows; None if the table is not available.
        withheld: The reason why the package does not contain the format; None if it does.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    files: tuple[str, ...]
    about: str
    tolerance: float
    golden: Agreement | None = None
    test: Agreement | None = None
    withheld: str | None = None

    def with_replays(self, golden: Agreement, test: Agreement | None) -> "Format":
        """Return a copy with the agreement of its replays, and withhold the format if they exceed the tolerance."""
        replays = [agreement for agreement in (golden, test) if agreement]
        if not all(math.isfinite(agreement.largest) for agreement in replays):
            return self.model_copy(
                update={"withheld": "some of its answers are not numbers, or are missing", "files": ()}
            )
        largest = max(agreement.largest for agreement in replays)
        flips = sum(agreement.flips or 0 for agreement in replays)
        reason = None
        if largest > self.tolerance:
            reason = f"its answers differ by up to {largest:.2g}, and {self.tolerance:.2g} is allowed"
        elif flips > sum(agreement.rows for agreement in replays) * MAX_FLIP_SHARE:
            reason = f"{flips} of its decisions differ"
        files = () if reason else self.files
        return self.model_copy(update={"golden": golden, "test": test, "withheld": reason, "files": files})
