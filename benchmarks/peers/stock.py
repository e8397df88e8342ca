"""BentoML's adaptive batching with pydantic rows, as in its documentation."""

from typing import Annotated, Any

import bentoml
import numpy as np
from pydantic import Field, create_model

from benchmarks.mlp import NAMES
from benchmarks.peers.session import session

fields: dict[str, Any] = {name: (Annotated[float, Field(ge=-5, le=5)], ...) for name in NAMES}
Row = create_model("Row", **fields)


@bentoml.service
class Stock:
    """A service with one batchable method."""

    def __init__(self) -> None:
        self.session = session()

    @bentoml.api(batchable=True, max_batch_size=512, max_latency_ms=1000)
    def predict(self, rows: list[Row]) -> list[dict[str, float]]:
        """Return the probabilities of every row."""
        matrix = np.array([[getattr(row, name) for name in NAMES] for row in rows], dtype=np.float32)
        (probabilities,) = self.session.run(None, {"x": matrix})
        return [{"no": no, "yes": yes} for no, yes in probabilities.tolist()]
