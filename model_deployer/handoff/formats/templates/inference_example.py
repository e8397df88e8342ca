"""Predictions without a server: ONNX Runtime and numpy are enough.

    python examples/inference_example.py              # the example rows of sample_requests.json
    python examples/inference_example.py rows.json    # a JSON list of rows of your own

As a module: ``from inference_example import Model; Model().predict([{...}])``. The service checks rows against the
contract before it predicts; here nothing does, so send rows as docs/INTEGRATION_GUIDE.md describes them.
"""

import json
import math
import pickle
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

PACKAGE = Path(__file__).resolve().parent.parent
METADATA = json.loads((PACKAGE / "model" / "model_metadata.json").read_text(encoding="utf-8"))
FEATURES, OUTPUT = METADATA["contract"]["features"], METADATA["contract"]["output"]
STEM = f"model_v{METADATA['manifest']['version']}"

Arrays = Mapping[str, "np.ndarray[Any, Any]"]


def columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, "np.ndarray[Any, Any]"]:
    """The rows as the graph takes them: one array [rows, 1] a field, a missing number as NaN, a missing text as ""."""
    return {
        feature["name"]: np.array([[raw(feature, row.get(feature["name"]))] for row in rows], dtype=dtype(feature))
        for feature in FEATURES
    }


def dtype(feature: Mapping[str, Any]) -> type:
    """The type of a field's array."""
    return object if feature["dtype"] == "string" else np.float64


def raw(feature: Mapping[str, Any], value: Any) -> Any:
    """A value of JSON as the graph takes it; a time is counted in seconds since 1970-01-01T00:00:00."""
    if value is None:
        return "" if feature["dtype"] == "string" else math.nan
    if feature["kind"] == "datetime":
        time = datetime.fromisoformat(value.replace("Z", "+00:00"))
        return (time if time.tzinfo else time.replace(tzinfo=timezone.utc)).timestamp()  # noqa: UP017 (Python 3.10 too)
    return value


def predictions(arrays: Arrays) -> list[dict[str, Any]]:
    """The graph's answers as the service writes them, one a row."""
    if OUTPUT["kind"] == "regression":
        names = ("value", "lower", "upper")
        return [dict(zip(names, row)) for row in zip(*(arrays[name][:, 0].tolist() for name in names))]  # noqa: B905
    return [prediction(row) for row in arrays["probabilities"]]


def prediction(row: "np.ndarray[Any, Any]") -> dict[str, Any]:
    """The decision from the probabilities of a row, and with more than two labels the set of those to be expected."""
    labels = OUTPUT["labels"]
    chosen = int(row.argmax()) if OUTPUT["threshold"] is None else int(row[1] >= np.float32(OUTPUT["threshold"]))
    found = {"decision": labels[chosen], "probabilities": dict(zip(labels, row.tolist()))}  # noqa: B905
    if OUTPUT["set_threshold"] is not None:
        least = min(np.float32(OUTPUT["set_threshold"]), row.max())
        found["set"] = [label for label, probability in zip(labels, row) if probability >= least]  # noqa: B905
    return found


class Model:
    """The model in this process."""

    def __init__(self) -> None:
        self.session = onnxruntime.InferenceSession(PACKAGE / "model" / f"{STEM}.onnx")

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """One prediction a row."""
        names = [output.name for output in self.session.get_outputs()]
        return predictions(dict(zip(names, self.session.run(names, columns(rows)))))  # noqa: B905


class PickledModel:
    """The same from preprocessor.pkl and the model's pickle, each of which opens as a session of ONNX Runtime."""

    def __init__(self) -> None:
        self.preprocessor = load("preprocessor.pkl")
        self.model = load(f"{STEM}.pkl")

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """One prediction a row."""
        numbers = run(self.preprocessor, columns(rows))
        return predictions(run(self.model, numbers))


def load(name: str) -> Any:
    """What a pickle of this package holds."""
    with (PACKAGE / "model" / name).open("rb") as file:
        return pickle.load(file)


def run(session: Any, arrays: Arrays) -> dict[str, "np.ndarray[Any, Any]"]:
    """The answers of a session, by name."""
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(arrays))))  # noqa: B905


def main() -> None:
    """Print a prediction for each row."""
    if len(sys.argv) > 1:
        rows = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    else:
        samples = json.loads((PACKAGE / "examples" / "sample_requests.json").read_text(encoding="utf-8"))
        rows = [row for sample in samples["golden"][:3] for row in sample["request"]["rows"]]
    for answer in Model().predict(rows):
        print(json.dumps(answer, ensure_ascii=False))


if __name__ == "__main__":
    main()
