"""model/parity.json: how far the answers of each format of the model differ from those that are expected."""

import math

from pydantic import BaseModel, ConfigDict

#: The largest difference that is allowed, as :class:`Agreement` measures it: the same as from machine to machine.
TOLERANCE = 1e-5

#: The share of decisions that may flip although the numbers agree: rows that lie on the threshold.
MAX_FLIP_SHARE = 1e-4


class Agreement(BaseModel):
    """How far a format's answers are from those that are expected.

    Attributes:
        rows: Rows that were replayed.
        largest: The largest difference of a number: absolute for probabilities; for values relative to the value, or to
            the spread of the training target where that is larger.
        flips: Decisions that are others; None for a regression, which decides nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    largest: float
    flips: int | None


class Format(BaseModel):
    """One format of the model.

    Attributes:
        name: What it is called: "ONNX", "pickle", ...
        files: Its files, from the package's folder; none where it is withheld.
        about: What it is for, in a sentence.
        tolerance: The largest difference that is allowed.
        golden: Against the expected golden answers.
        test: On the whole test part; None where the table is not at hand.
        withheld: Why the package goes without it; None where it has it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    files: tuple[str, ...]
    about: str
    tolerance: float
    golden: Agreement | None = None
    test: Agreement | None = None
    withheld: str | None = None

    def judged(self, golden: Agreement, test: Agreement | None) -> "Format":
        """The same with what its replay found; withheld where that is beyond the tolerance."""
        replays = [each for each in (golden, test) if each]
        if not all(math.isfinite(each.largest) for each in replays):
            return self.model_copy(
                update={"withheld": "some of its answers are no numbers, or are missing", "files": ()}
            )
        largest, flips = max(each.largest for each in replays), sum(each.flips or 0 for each in replays)
        reason = None
        if largest > self.tolerance:
            reason = f"its answers differ by up to {largest:.2g}, and {self.tolerance:.2g} is allowed"
        elif flips > sum(each.rows for each in replays) * MAX_FLIP_SHARE:
            reason = f"{flips} of its decisions are others"
        files = () if reason else self.files
        return self.model_copy(update={"golden": golden, "test": test, "withheld": reason, "files": files})
