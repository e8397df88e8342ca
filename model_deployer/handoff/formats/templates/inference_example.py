"""Predictions without a server, with ONNX Runtime and numpy.

    python examples/inference_example.py              # the example rows of sample_requests.json
    python examples/inference_example.py rows.json    # your own rows, a JSON list

The work is done by model/predictor.py, which checks rows as the service does.
"""

import json
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PACKAGE / "model"))

import predictor  # noqa: E402 (of the folder above)


def main() -> None:
    """Print a prediction for each row."""
    if len(sys.argv) > 1:
        rows = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    else:
        samples = json.loads((PACKAGE / "examples" / "sample_requests.json").read_text(encoding="utf-8"))
        rows = [row for sample in samples["golden"][:3] for row in sample["request"]["rows"]]
    try:
        predictions = predictor.load().predict(rows)
    except predictor.InvalidRows as error:
        sys.exit(str(error))
    for prediction in predictions:
        print(json.dumps(prediction, ensure_ascii=False))


if __name__ == "__main__":
    main()
