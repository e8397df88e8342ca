"""A text-embedding classifier, adopted from ONNX, answers over a real server."""

from pathlib import Path

import httpx
import numpy as np
import onnx
import onnxruntime
import pytest

from model_deployer.training.fit import fit
from tests.support.in_process import model_store
from tests.support.onnx_graphs import linear_graph, write_network_spec
from tests.support.processes import serve

LENGTH = 64


@pytest.mark.slow
def test_an_embedding_over_http(tmp_path: Path) -> None:
    onnx.save(linear_graph(LENGTH, 3, "Softmax"), tmp_path / "m.onnx")
    adopt, features = "  labels: [bug, praise, question]\n", "features: {embedding: {kind: vector}}\n"
    with model_store(tmp_path / "home"):
        fit(write_network_spec(tmp_path, "m.onnx", adopt, features=features))
    rows = np.random.default_rng(3).normal(size=(4, LENGTH))
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    expected = session.run(["y"], {"x": rows.astype(np.float32)})[0]
    body = {"rows": [{"embedding": row.tolist()} for row in rows]}
    short = {"rows": [{"embedding": [1.0] * (LENGTH - 1)}]}
    with serve([], tmp_path / "home", tmp_path / "log") as server:
        answer = httpx.post(f"{server.url}/predict", json=body)
        refused = httpx.post(f"{server.url}/predict", json=short)
    assert answer.status_code == 200, answer.text
    shares = [list(item["probabilities"].values()) for item in answer.json()["predictions"]]
    assert np.allclose(shares, expected, atol=1e-6)
    assert refused.status_code == 422
