"""The model as a torch program, with its weights from the safetensors file.

    pip install -r requirements.txt -r model/requirements-torch.txt
    python model/torch_model.py        # replays the golden requests

``TorchModel()(arrays)`` takes the two arrays that preprocessor.pkl answers, numbers float64 [rows, n] and codes int64
[rows, m], and answers the outputs by name. Where the model holds trees or another estimator beside the network, the
program is in two parts with the estimator between them, which stays in ONNX. For further training, the parts are
ordinary torch modules: ``TorchModel().parts``.
"""

import json
import sys
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
    """The program, ready to answer."""

    def __init__(self) -> None:
        weights = load_file(FOLDER / f"{STEM}.safetensors")
        estimator = FOLDER / f"{STEM}_estimator.onnx"
        self.estimator = onnxruntime.InferenceSession(estimator) if estimator.exists() else None
        self.parts = [part(name, weights) for name in (["_before", "_after"] if self.estimator else [""])]

    @torch.no_grad()
    def __call__(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs by name, from what the preprocessor answers."""
        numbers, codes = (torch.from_numpy(array) for array in arrays.values())
        answers = self.parts[0](numbers=numbers, codes=codes)
        if self.estimator:
            network, columns = answers
            (scores,) = self.estimator.run(["scores"], {"columns": columns.numpy()})
            answers = self.parts[1](answers=network, scores=torch.from_numpy(scores))
        return {name: answer.numpy() for name, answer in zip(OUTPUTS, answers, strict=True)}


def part(name: str, weights: Mapping[str, Any]) -> Any:
    """One part of the program, with its weights."""
    module = torch.export.load(FOLDER / f"{STEM}{name}.pt2").module()
    module.load_state_dict({key: weights[key] for key in module.state_dict()})
    return module


def main() -> None:
    """Replay the golden requests and tell the largest difference from the expected answers."""
    sys.path.append(str(FOLDER.parent / "examples"))
    from inference_example import PACKAGE, columns, load, predictions, run  # noqa: PLC0415

    samples = json.loads((PACKAGE / "examples" / "sample_requests.json").read_text(encoding="utf-8"))
    cases = [*samples["golden"], *samples["edge"]]
    rows = [row for case in cases for row in case["request"]["rows"]]
    expected = [each for case in cases for each in case["answer"]["predictions"]]
    found = predictions(TorchModel()(run(load("preprocessor.pkl"), columns(rows))))
    pairs = zip(expected, found, strict=True)
    largest = max(float(np.max(np.abs(np.subtract(numbers(one), numbers(other))))) for one, other in pairs)
    print(f"{len(rows)} rows, at most {largest:.2g} from the expected answers")


def numbers(prediction: Mapping[str, Any]) -> list[float]:
    """The numbers of a prediction."""
    return list(prediction.get("probabilities", prediction).values())


if __name__ == "__main__":
    main()
