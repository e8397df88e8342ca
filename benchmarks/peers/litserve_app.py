"""LitServe with its batching, as in its documentation."""

import sys
from typing import Any

import litserve
import numpy as np

from benchmarks.mlp import NAMES
from benchmarks.peers.session import session


class Api(litserve.LitAPI):
    """Decode a request, predict a batch of them, encode an answer."""

    def setup(self, device: str) -> None:
        """Load the graph in the worker."""
        self.session = session()

    def decode_request(self, request: dict[str, Any]) -> Any:
        """Return one row of numbers, float32 [12]."""
        return np.array([request["rows"][0][name] for name in NAMES], dtype=np.float32)

    def predict(self, x: Any) -> Any:
        """Return the probabilities of a batch, float32 [rows, 2]."""
        (probabilities,) = self.session.run(None, {"x": np.stack(x)})
        return probabilities

    def encode_response(self, output: Any) -> dict[str, Any]:
        """Return one answer."""
        no, yes = output.tolist()
        return {"predictions": [{"no": no, "yes": yes}]}


if __name__ == "__main__":
    server = litserve.LitServer(Api(max_batch_size=64, batch_timeout=0.001), accelerator="cpu")
    server.run(port=int(sys.argv[1]), generate_client_file=False, log_level="error", num_api_servers=1)
