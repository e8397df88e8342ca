"""model/parity.json: each format of the model, replayed on the golden requests and on the test part."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from model_deployer.contract.artifact import write_json
from model_deployer.contract.outputs import Arrays, Classification, Output

#: From the columns of some rows, as model.onnx takes them, to the output tensors.
Answer = Callable[[Mapping[str, NDArray[Any]]], Arrays]

#: Rows that are replayed at once.
CHUNK = 4_096

#: The largest difference that is allowed, as :class:`Agreement` measures it: the same as from machine to machine.
TOLERANCE = 1e-5

#: The share of decisions that may flip although the numbers agree: rows that lie on the threshold.
ON_THE_THRESHOLD = 1e-4


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
        elif flips > sum(each.rows for each in replays) * ON_THE_THRESHOLD:
            reason = f"{flips} of its decisions are others"
        files = () if reason else self.files
        return self.model_copy(update={"golden": golden, "test": test, "withheld": reason, "files": files})


def write_parity(path: Path, formats: Sequence[Format]) -> None:
    """Write parity.json."""
    write_json(path, {"formats": [each.model_dump(mode="json") for each in formats]})


def agreement(output: Output, expected: Arrays, found: Arrays, scale: float) -> Agreement:
    """Hold output tensors against those that are expected.

    Args:
        output: What they mean.
        expected: The tensors by name.
        found: The same of the same rows.
        scale: Numbers larger than it are compared relative to their size.
    """
    largest = max((_largest(expected[name], found[name], scale) for name in output.tensors), default=0.0)
    rows = len(expected[output.tensors[0]])
    if not isinstance(output, Classification) or not math.isfinite(largest):
        return Agreement(rows=rows, largest=largest, flips=None)
    before, after = (output.columns(arrays)["decision"] for arrays in (expected, found))
    flips = sum(one != other for one, other in zip(before, after, strict=True))
    return Agreement(rows=rows, largest=largest, flips=flips)


def _largest(expected: NDArray[Any], found: NDArray[Any], scale: float) -> float:
    if expected.shape != found.shape:
        return float("inf")
    exact = expected.astype(np.float64)
    return float(np.max(np.abs(found - exact) / np.maximum(scale, np.abs(exact)), initial=0.0))


def in_chunks(answer: Answer, columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The answers to any number of rows."""
    parts = [answer(chunk) for chunk in _chunks(columns)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _chunks(columns: Mapping[str, NDArray[Any]]) -> Iterator[dict[str, NDArray[Any]]]:
    rows = len(next(iter(columns.values())))
    for first in range(0, max(1, rows), CHUNK):
        yield {name: array[first : first + CHUNK] for name, array in columns.items()}


def expected_arrays(output: Output, predictions: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[np.float32]]:
    """Predictions as a client reads them, as the tensors they came from."""
    if isinstance(output, Classification):
        rows = [[each["probabilities"][label] for label in output.labels] for each in predictions]
        return {"probabilities": np.array(rows, dtype=np.float32)}
    return {name: np.array([[each[name]] for each in predictions], dtype=np.float32) for name in output.tensors}
