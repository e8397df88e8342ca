"""The model as a torch program, with its weights from the safetensors file.

    pip install -r requirements.txt -r model/requirements-torch.txt
    python model/torch_model.py        # replays the golden requests

``TorchModel()(arrays)`` takes what ``transform`` of preprocessor.pkl returns, numbers (float64 [rows, n]) and codes
(int64 [rows, m]), and returns the outputs of the model by name. If the model contains trees or another estimator in
addition to the network, the program has two parts, with the estimator between them as an ONNX graph. The parts are
ordinary torch modules, for example for further training: ``TorchModel().parts``.
"""

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from safetensors.torch import load_file

FOLDER = Path(__file__).resolve().parent
METADATA = json.loads((FOLDER / "model_metadata.json").read_text(encoding="utf-8"))
STEM = f"model_v{METADATA['manifest']['version']}"
OUTPUTS = (
    ["probabilities"] if METADATA["contract"]["output"]["kind"] == "classification" else ["value", "lower", "upper"]
)


class TorchModel:
    """The program with its weights."""

    def __init__(self) -> None:
        weights = load_file(FOLDER / f"{STEM}.safetensors")
        estimator = FOLDER / f"{STEM}_estimator.onnx"
        self.estimator = onnxruntime.InferenceSession(estimator) if estimator.exists() else None
        self.parts = [load_part(name, weights) for name in (["_before", "_after"] if self.estimator else [""])]

    @torch.no_grad()
    def __call__(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """Return the outputs of the model by name, for the outputs of the preprocessor."""
        numbers, codes = (torch.from_numpy(array) for array in arrays.values())
        outputs = self.parts[0](numbers=numbers, codes=codes)
        if self.estimator:
            network_answers, columns = outputs
            (scores,) = self.estimator.run(["scores"], {"columns": columns.numpy()})
            outputs = self.parts[1](answers=network_answers, scores=torch.from_numpy(scores))
        return {name: output.numpy() for name, output in zip(OUTPUTS, outputs, strict=True)}


def load_part(name: str, weights: Mapping[str, Any]) -> Any:
    """Load one part of the program, with its weights."""
    module = torch.export.load(FOLDER / f"{STEM}{name}.pt2").module()
    module.load_state_dict({key: weights[key] for key in module.state_dict()})
    return module


def main() -> None:
    """Replay the golden requests and print the largest difference from the expected answers."""
    import predictor  # noqa: PLC0415 (of this folder)

    samples = json.loads((FOLDER.parent / "examples" / "sample_requests.json").read_text(encoding="utf-8"))
    cases = [*samples["golden"], *samples["edge"]]
    rows = [row for case in cases for row in case["request"]["rows"]]
    expected = [prediction for case in cases for prediction in case["answer"]["predictions"]]
    preprocessor = pickle.loads((FOLDER / "preprocessor.pkl").read_bytes())
    actual = predictor.predictions(METADATA["contract"]["output"], TorchModel()(preprocessor.transform(rows)))
    differences = (
        np.subtract(numbers(expected_prediction), numbers(prediction))
        for expected_prediction, prediction in zip(expected, actual, strict=True)
    )
    largest = max(float(np.max(np.abs(difference))) for difference in differences)
    print(f"{len(rows)} rows, at most {largest:.2g} from the expected answers")


def numbers(prediction: Mapping[str, Any]) -> list[float]:
    """Return the numbers of a prediction."""
    return list(prediction.get("probabilities", prediction).values())


if __name__ == "__main__":
    main()
