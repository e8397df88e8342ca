"""The service as one of the formats: its answers to the golden requests and to all test rows."""

from collections.abc import Iterator, Sequence
from typing import Any

import httpx

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.errors import CheckFailed
from model_deployer.handoff.formats.holdout import HoldoutRows
from model_deployer.handoff.formats.parity import agreement, expected_arrays
from model_deployer.package.formats import TOLERANCE, Agreement, Format
from model_deployer.package.samples import Samples
from model_deployer.system.http_client import connect

#: The number of rows per request.
ROWS = 1_000


def replay_service(url: str, artifact: Artifact, samples: Samples, test: HoldoutRows | None) -> Format:
    """Compare a server's answers with the golden predictions, and on the test rows with those of model.onnx.

    Args:
        url: The URL of the server.
        artifact: The model.
        samples: The server's answers to the golden requests.
        test: The test rows; None if the table is not available.

    Raises:
        CheckFailed: If the answers differ by more than the tolerance of the formats.
    """
    golden = {case.case: case.prediction for case in artifact.golden()}
    answered = [*samples.golden, *samples.edge]
    format_ = Format(
        name="service",
        files=("bento/",),
        about="The Bento, called over HTTP.",
        tolerance=TOLERANCE,
    ).with_replays(
        _agreement(
            artifact,
            expected=[golden[sample.case] for sample in answered],
            actual=[sample.answer["predictions"][0] for sample in answered],
        ),
        _on_test_rows(url, artifact, test) if test and test.requests else None,
    )
    if format_.withheld:
        raise CheckFailed(f"the server's answers differ from the model's: {format_.withheld}")
    return format_


def _on_test_rows(url: str, artifact: Artifact, test: HoldoutRows) -> Agreement:
    rows = min(ROWS, artifact.contract.limits.rows)
    with connect(url) as client:
        predictions = [
            prediction for request in _chunks(test.requests, rows) for prediction in _predictions(client, request)
        ]
    expected = {name: array[test.request_indexes] for name, array in test.expected.items()}
    return _agreement(artifact, artifact.contract.output.predictions(expected), predictions)


def _predictions(client: httpx.Client, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    response = client.post("/predict", json={"rows": rows})
    if response.status_code != httpx.codes.OK:
        raise CheckFailed(f"the server answers test rows with status {response.status_code}: {response.text[:200]}")
    predictions: list[dict[str, Any]] = response.json()["predictions"]
    return predictions


def _agreement(artifact: Artifact, expected: Sequence[Any], actual: Sequence[Any]) -> Agreement:
    output = artifact.contract.output
    scale = artifact.manifest.tolerance / TOLERANCE
    return agreement(output, expected_arrays(output, expected), expected_arrays(output, actual), scale)


def _chunks(rows: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
