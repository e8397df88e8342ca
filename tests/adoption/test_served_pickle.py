"""A pickle that was adopted as a graph: nothing of it is in the server."""

import pickle
from pathlib import Path

import httpx
import pandas
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from model_deployer.training.fit import fit
from tests.support.adoptions import buyers, write_spec
from tests.support.audited import Audit
from tests.support.in_process import model_store
from tests.support.processes import serve


@pytest.mark.slow
def test_its_server_imports_no_library_of_the_source_and_unpickles_nothing(tmp_path: Path) -> None:
    table = buyers().select("age", "income", "bought").drop_nulls()
    rows = pandas.DataFrame(table.select("age", "income").to_dict(as_series=False))
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, table["bought"].to_list())
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    table.write_csv(tmp_path / "table.csv")
    with model_store(tmp_path / "home"):
        fit(write_spec(tmp_path, "bought", source="model.pkl"))
    audit = Audit(tmp_path / "audit")
    with serve([], tmp_path / "home", tmp_path / "log", variables=audit.variables()) as server:
        answer = httpx.post(f"{server.url}/predict", json={"rows": rows.head(2).to_dict("records")})
        processes = [server.process.pid, *(worker.pid for worker in server.workers())]
    labels = [str(label) for label in model.predict(rows.head(2))]
    assert [prediction["decision"] for prediction in answer.json()["predictions"]] == labels
    assert len(processes) == 2
    for notes in map(audit.of, processes):
        assert notes.opened("model.onnx")
        assert (notes.unpickled(), notes.opened(".pkl"), notes.libraries()) == (set(), [], set())
