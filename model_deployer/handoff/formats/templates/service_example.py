"""Predictions of the running service, with Python alone.

    python examples/inference_example.py              # the example rows of sample_requests.json
    python examples/inference_example.py rows.json    # your own rows, a JSON list

The variable URL names the service, by default http://localhost:3000, and API_KEY its key if it requires one. A program
of your own is better off with a client of examples/clients: these have timeouts and send a request again.
"""

import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent.parent
TIMEOUT_SECONDS = 60


def main() -> None:
    """Print a prediction for each row."""
    if len(sys.argv) > 1:
        rows = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    else:
        samples = json.loads((PACKAGE / "examples" / "sample_requests.json").read_text(encoding="utf-8"))
        rows = [row for sample in samples["golden"][:3] for row in sample["request"]["rows"]]
    for prediction in predict(rows):
        print(json.dumps(prediction, ensure_ascii=False))


def predict(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a prediction for each row; the program ends with the answer of the service if it is an error."""
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get("API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    url = os.environ.get("URL", "http://localhost:3000")
    request = urllib.request.Request(f"{url}/predict", json.dumps({"rows": rows}).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            predictions: list[dict[str, Any]] = json.load(answer)["predictions"]
    except urllib.error.HTTPError as error:
        retry = error.headers.get("Retry-After")
        sys.exit(error.read().decode() + (f"\nSend it again after {retry} s." if retry else ""))
    except OSError as error:
        sys.exit(f"{url} does not answer: {error}; start the service, or name another one with the variable URL")
    return predictions


if __name__ == "__main__":
    main()
