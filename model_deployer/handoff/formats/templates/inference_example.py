"""Predictions without a server, with ONNX Runtime and numpy.

    python examples/inference_example.py              # the example rows of sample_requests.json
    python examples/inference_example.py rows.json    # your own rows, a JSON list

As a module: ``from inference_example import Model; Model().predict([{...}])``. Unlike the service, this program does
not validate rows, so they must be as docs/INTEGRATION_GUIDE.md describes them, with categories in the spelling of
model_metadata.json.
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
    """Convert rows to the inputs of the graph: one array of shape [rows, 1] per field."""
    return {
        feature["name"]: np.array(
            [[graph_value(feature, row.get(feature["name"]))] for row in rows], dtype=dtype(feature)
        )
        for feature in FEATURES
    }


def dtype(feature: Mapping[str, Any]) -> type:
    """Return the type of a field's array."""
    return object if feature["dtype"] == "string" else np.float64


def graph_value(feature: Mapping[str, Any], value: Any) -> Any:
    """Convert a JSON value to an input of the graph.

    A missing number becomes NaN, a missing text "", and a time the seconds since 1970-01-01T00:00:00.
    """
    if value is None:
        return "" if feature["dtype"] == "string" else math.nan
    if feature["kind"] == "datetime":
        time = datetime.fromisoformat(value.replace("Z", "+00:00"))
        return (time if time.tzinfo else time.replace(tzinfo=timezone.utc)).timestamp()  # noqa: UP017 (Python 3.10 too)
    return value


def predictions(arrays: Arrays) -> list[dict[str, Any]]:
    """Convert the outputs of the graph to predictions as the service returns them, one per row."""
    if OUTPUT["kind"] == "regression":
        names = ("value", "lower", "upper")
        return [dict(zip(names, row)) for row in zip(*(arrays[name][:, 0].tolist() for name in names))]  # noqa: B905
    return [prediction(row) for row in arrays["probabilities"]]


def prediction(row: "np.ndarray[Any, Any]") -> dict[str, Any]:
    """Return the prediction of a row from its probabilities: the decision and, with more than two labels, the set."""
    labels = OUTPUT["labels"]
    chosen = int(row.argmax()) if OUTPUT["threshold"] is None else int(row[1] >= np.float32(OUTPUT["threshold"]))
    result = {"decision": labels[chosen], "probabilities": dict(zip(labels, row.tolist()))}  # noqa: B905
    if OUTPUT["set_threshold"] is not None:
        threshold = min(np.float32(OUTPUT["set_threshold"]), row.max())
        result["set"] = [label for label, probability in zip(labels, row) if probability >= threshold]  # noqa: B905
    return result


class Model:
    """The model as one ONNX graph, in this process."""

    def __init__(self) -> None:
        self.session = onnxruntime.InferenceSession(PACKAGE / "model" / f"{STEM}.onnx")

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return one prediction per row."""
        names = [output.name for output in self.session.get_outputs()]
        return predictions(dict(zip(names, self.session.run(names, columns(rows)))))  # noqa: B905


class PickledModel:
    """The model from preprocessor.pkl and the model's pickle; each loads as a session of ONNX Runtime."""

    def __init__(self) -> None:
        self.preprocessor = load("preprocessor.pkl")
        self.model = load(f"{STEM}.pkl")

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return one prediction per row."""
        numbers = run(self.preprocessor, columns(rows))
        return predictions(run(self.model, numbers))


def load(name: str) -> Any:
    """Return the session in a pickle of this package."""
    with (PACKAGE / "model" / name).open("rb") as file:
        return pickle.load(file)


def run(session: Any, arrays: Arrays) -> dict[str, "np.ndarray[Any, Any]"]:
    """Return the outputs of a session by name."""
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(arrays))))  # noqa: B905


def main() -> None:
    """Print a prediction for each row."""
    if len(sys.argv) > 1:
        rows = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    else:
        samples = json.loads((PACKAGE / "examples" / "sample_requests.json").read_text(encoding="utf-8"))
        rows = [row for sample in samples["golden"][:3] for row in sample["request"]["rows"]]
    for row_prediction in Model().predict(rows):
        print(json.dumps(row_prediction, ensure_ascii=False))


if __name__ == "__main__":
    main()
