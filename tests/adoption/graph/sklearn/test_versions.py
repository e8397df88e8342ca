"""Models that other versions of scikit-learn wrote give the answers of those versions."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from model_deployer.adoption.graph.written_model import write_model
from model_deployer.adoption.source.pickle_file import read_pickle
from tests.adoption.graph.equality import assert_equal, decisions, feeds, run

FOLDER = Path(__file__).parent / "versions"


def entries() -> list[Any]:
    """Return a version, the name of a model, and the model with its answers."""
    result = []
    for path in sorted(FOLDER.glob("*.pickle.*")):
        content = read_pickle(path.read_bytes())
        assert isinstance(content, dict)
        version = path.name.removeprefix("scikit-learn-").partition(".pickle.")[0]
        result += [pytest.param(entry, id=f"{version}-{name}") for name, entry in content.items()]
    return result


@pytest.mark.parametrize("entry", entries())
def test_models_of_other_versions(entry: dict[str, Any]) -> None:
    """Values, probabilities and decisions are those that the version gave."""
    rows = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in entry["rows"].items()})
    written = write_model(read_pickle(entry["model"]), list(rows))
    kinds = {field.name: field.kind for field in written.fields if field.kind}
    outputs = dict(zip(written.outputs, run(written.onnx, feeds(rows, kinds)), strict=True))
    predicted = np.asarray(entry["predicted"])
    if written.labels is None:
        assert_equal(outputs["value"], predicted.reshape(-1, 1), rows)
        return
    if entry["probabilities"] is not None:
        assert_equal(outputs["probabilities"], entry["probabilities"], rows)
    positions = decisions(outputs, len(written.labels), written.threshold)
    assert [written.labels[position] for position in positions] == predicted.tolist()
