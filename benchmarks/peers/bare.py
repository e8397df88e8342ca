"""The ceiling: one ASGI function under uvicorn that decodes, runs the graph and encodes, without any checks."""

from typing import Any

import msgspec
import numpy as np

from benchmarks.mlp import NAMES
from benchmarks.peers.session import session

SESSION = session()
HEADERS = [(b"content-type", b"application/json")]


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer rows of twelve numbers with probabilities."""
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    rows = msgspec.json.decode(body)["rows"]
    matrix = np.array([[row[name] for name in NAMES] for row in rows], dtype=np.float32)
    (probabilities,) = SESSION.run(None, {"x": matrix})
    answer = msgspec.json.encode({"predictions": probabilities.tolist()})
    length = (b"content-length", str(len(answer)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [*HEADERS, length]})
    await send({"type": "http.response.body", "body": answer})
