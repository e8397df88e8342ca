"""FastAPI with pydantic models that state the same ranges, under uvicorn."""

from typing import Annotated, Any

import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel, Field, create_model

from benchmarks.mlp import NAMES
from benchmarks.peers.session import session

SESSION = session()
fields: dict[str, Any] = {name: (Annotated[float, Field(ge=-5, le=5)], ...) for name in NAMES}
Row = create_model("Row", **fields)


class Rows(BaseModel):
    """The body of a request."""

    rows: list[Row]


class Prediction(BaseModel):
    """The prediction for one row."""

    decision: str
    probabilities: dict[str, float]


class Answer(BaseModel):
    """The body of an answer."""

    predictions: list[Prediction]


app = FastAPI()


@app.post("/predict")
async def predict(request: Rows) -> Answer:
    """Answer rows with probabilities and decisions."""
    matrix = np.array([[getattr(row, name) for name in NAMES] for row in request.rows], dtype=np.float32)
    (probabilities,) = SESSION.run(None, {"x": matrix})
    return Answer(
        predictions=[
            Prediction(decision="yes" if yes >= 0.5 else "no", probabilities={"no": no, "yes": yes})
            for no, yes in probabilities.tolist()
        ]
    )
