"""No server at all: JSON to rows, rows through the graph, predictions to JSON, again and again."""

import json
import sys
import time

import msgspec
import numpy as np

from benchmarks.mlp import NAMES, ROW
from benchmarks.peers.session import session


def main(rows: int, seconds: float) -> None:
    """Loop for so long over a body of so many rows, and print how many rows that were a second."""
    run, body = session().run, json.dumps({"rows": [ROW] * rows}).encode()
    began, turns = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        decoded = msgspec.json.decode(body)["rows"]
        matrix = np.array([[row[name] for name in NAMES] for row in decoded], dtype=np.float32)
        (probabilities,) = run(None, {"x": matrix})
        msgspec.json.encode({"predictions": probabilities.tolist()})
        turns += 1
    print(rows * turns / (time.perf_counter() - began))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
