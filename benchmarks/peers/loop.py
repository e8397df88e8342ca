"""A loop without a server: it decodes JSON, runs the graph and encodes the predictions."""

import json
import sys
import time

import msgspec
import numpy as np

from benchmarks.mlp import NAMES, ROW
from benchmarks.peers.session import session


def main(rows: int, seconds: float) -> None:
    """Process a body with this number of rows for this number of seconds, and print the rows per second."""
    run, body = session().run, json.dumps({"rows": [ROW] * rows}).encode()
    start, turns = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        decoded = msgspec.json.decode(body)["rows"]
        matrix = np.array([[row[name] for name in NAMES] for row in decoded], dtype=np.float32)
        (probabilities,) = run(None, {"x": matrix})
        msgspec.json.encode({"predictions": probabilities.tolist()})
        turns += 1
    print(rows * turns / (time.perf_counter() - start))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
