"""Models of one field: every protocol takes its values alone, and tensors of one column."""

import io
import json
from typing import Any

import httpx
import numpy as np
import pytest

from tests.serving.protocols import answers
from tests.serving.protocols.served import PREDICT, Served, served
from tests.support import tiny
from tests.support.servers import SharedServers

VALUES: dict[str, list[Any]] = {"distance": [2.0, 3000.0], "remark": ["great film", "JFK"]}


@pytest.fixture(scope="module", params=VALUES)
def model(request: pytest.FixtureRequest, servers: SharedServers) -> Any:
    """A model of one number, and one of one text."""
    (feature,) = (feature for feature in tiny.FEATURES if feature.name == request.param)
    with served(servers, tiny.OF_A_NUMBER.model_copy(update={"features": (feature,)})) as running:
        yield running


def test_values_are_rows(model: Served) -> None:
    (name,) = model.contract.names
    values, client = VALUES[name], model.client
    expected = answers.native(client, [{name: value} for value in values])

    def ask(path: str, document: Any) -> Any:
        answer = client.post(path, json=document)
        assert answer.status_code == 200, answer.text
        return answer.json()

    columns = [[value] for value in values]
    rows = [values, columns, [{name: value} for value in values], [{name: [value]} for value in values]]
    for instances in rows:
        for path in ("/v1/models/served:predict", PREDICT, "/invocations", "/predictions/served"):
            assert ask(path, {"instances": instances}) == {"predictions": expected}
        assert ask("/v1/models/served:predict", {"inputs": instances})["predictions"] == expected
        assert ask("/v1/models/served:regress", {"examples": instances}) == {
            "results": [each["value"] for each in expected]
        }
        assert ask("/invocations", {"inputs": instances}) == {"predictions": expected}
        assert ask("/invocations", instances) == {"predictions": expected}
        assert ask("/predictions/served", instances) == expected
        assert ask("/score", {"data": instances}) == ask("/score", {"input_data": instances}) == expected
    outputs = {key: [each[key] for each in expected] for key in expected[0]}
    for inputs in ({name: values}, {name: columns}):
        assert ask("/v1/models/served:predict", {"inputs": inputs}) == {"outputs": outputs}
        assert ask("/invocations", {"inputs": inputs}) == {"predictions": expected}
    assert ask("/v1/models/served:predict", {"inputs": values}) == {"outputs": outputs, "predictions": expected}
    assert ask("/predictions/served", values[0]) == ask("/predictions/served", {"data": values[0]}) == expected[0]
    assert ask("/score", {"input_data": {"columns": [0], "data": columns}}) == expected


def test_lines_and_arrays_are_values(model: Served) -> None:
    (name,) = model.contract.names
    expected = answers.native(model.client, [{name: value} for value in VALUES[name]])
    lines = "\n".join(map(json.dumps, VALUES[name])).encode()
    assert post(model.client, lines, "application/jsonlines").text.count("\n") == 2
    for array in (np.array(VALUES[name]), np.array(VALUES[name]).reshape(-1, 1)):
        file = io.BytesIO()
        np.save(file, array)
        assert post(model.client, file.getvalue(), "application/x-npy").json() == {"predictions": expected}


def post(client: httpx.Client, body: bytes, media_type: str) -> httpx.Response:
    return client.post("/invocations", content=body, headers={"Content-Type": media_type}).raise_for_status()
