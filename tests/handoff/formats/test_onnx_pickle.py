import pickle
import pickletools
from pathlib import Path

import joblib
import numpy as np
import onnxruntime

from model_deployer.handoff.formats.onnx_pickle import write_joblib, write_pickle
from tests.support import tiny


def test_a_pickle_opens_as_a_session_and_names_nothing_else(tmp_path: Path) -> None:
    graph = tiny.graph(tiny.CONTRACT).SerializeToString()
    write_pickle(graph, tmp_path / "model.pkl")
    write_joblib(graph, tmp_path / "model.joblib")
    row = {
        feature.name: np.array([["x"]], dtype=object) if feature.dtype == "string" else np.array([[1.0]])
        for feature in tiny.FEATURES
    }
    (expected,) = onnxruntime.InferenceSession(graph).run(None, row)
    for session in (pickle.loads((tmp_path / "model.pkl").read_bytes()), joblib.load(tmp_path / "model.joblib")):
        assert isinstance(session, onnxruntime.InferenceSession)
        assert np.array_equal(session.run(None, row)[0], expected)
    names = {
        argument
        for _, argument, _ in pickletools.genops((tmp_path / "model.pkl").read_bytes())
        if isinstance(argument, str)
    }
    assert names == {"onnxruntime.capi.onnxruntime_inference_collection", "InferenceSession"}
