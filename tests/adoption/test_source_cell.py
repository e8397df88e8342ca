import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from model_deployer.adoption.cell.cell_error import CellError
from model_deployer.adoption.cell.environment import CellEnvironment
from model_deployer.adoption.cell.trust import digest_of
from model_deployer.adoption.source.detect import detect
from model_deployer.adoption.source_cell import open_cell

HERE = CellEnvironment(Path(sys.executable), {})

SCRIPT = """
import os, pickle, sys
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
class Double(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self
    def transform(self, X):
        return np.asarray(X) * 2
rows = np.arange(10.0).reshape(5, 2)
pickle.dump(make_pipeline(Double(), LinearRegression()).fit(rows, rows.sum(axis=1)), open(sys.argv[1], "wb"))
"""


def test_a_folder_answers_when_it_is_trusted(tmp_path: Path) -> None:
    """The script that defines a class of ``__main__`` is in the folder; it would fail if it ran again."""
    (tmp_path / "train.py").write_text(SCRIPT)
    subprocess.run([sys.executable, "train.py", "model.pkl"], cwd=tmp_path, check=True)
    source = detect(tmp_path)
    with pytest.raises(CellError, match="--trust"), open_cell(source, tmp_path, "sha256:0", HERE):
        pass
    with open_cell(source, tmp_path, digest_of(tmp_path), HERE) as cell:
        answers, refused = cell.process.predict({"a": np.array([1.0, 5.0]), "b": np.array([2.0, 7.0])})
    np.testing.assert_allclose(answers["value"], [3.0, 12.0])
    assert refused == {}
