"""Models of other versions of the libraries answer as these versions did; ``stored_models.py`` made the files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_deployer.adoption.graph.trees.catboost_model import read_catboost
from model_deployer.adoption.source.pickle_file import read_pickle
from model_deployer.adoption.stored_object import StoredObject
from tests.adoption.graph.trees.graphs import assert_equal, write
from tests.adoption.graph.trees.stored_models import FOLDER, read_file

CASES = [
    pytest.param(case, id=f"{path.name.removesuffix('.json.xz')} {case['name']}")
    for path in sorted(FOLDER.glob("*.json.xz"))
    for case in read_file(Path(path))
]


@pytest.mark.parametrize("case", CASES)
def test_stored_models(case: dict[str, Any]) -> None:
    model = read_pickle(case["content"]) if case["pickle"] else read_catboost(case["content"])
    assert isinstance(model, StoredObject)
    graph = write(model, list(case["rows"]))
    got = graph.predict(case["rows"])
    assert_equal(got, case["answers"])
    if case["decisions"] is not None:
        assert np.array_equal(graph.decisions(case["rows"]).astype(str), np.array(case["decisions"]).astype(str))
