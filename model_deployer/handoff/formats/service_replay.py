"""The served model as one of the formats: its answers to the golden requests and to the whole test part."""

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

#: Rows of one request.
ROWS = 1_000


def replay_service(url: str, artifact: Artifact, samples: Samples, test: HoldoutRows | None) -> Format:
    """Hold a server's answers against the golden ones, and over the test part against those of model.onnx.

    Raises:
        CheckFailed: They differ by more than the formats may.
    """
    golden = {case.case: case.prediction for case in artifact.golden()}
    answered = [*samples.golden, *samples.edge]
    found = [sample.answer["predictions"][0] for sample in answered]
    format_ = Format(
        name="service",
        files=("bento/",),
        about="The Bento, asked over HTTP.",
        tolerance=TOLERANCE,
    ).with_replays(
        _agreement(artifact, [golden[sample.case] for sample in answered], found),
        _on_test_part(url, artifact, test) if test and test.requests else None,
    )
    if format_.withheld:
        raise CheckFailed(f"the server does not answer as the model does: {format_.withheld}")
    return format_


def _on_test_part(url: str, artifact: Artifact, test: HoldoutRows) -> Agreement:
    rows = min(ROWS, artifact.contract.limits.rows)
    with connect(url) as client:
        found = [each for request in _chunks(test.requests, rows) for each in _predictions(client, request)]
    expected = {name: array[test.places] for name, array in test.expected.items()}
    return _agreement(artifact, artifact.contract.output.predictions(expected), found)


def _predictions(client: httpx.Client, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    response = client.post("/predict", json={"rows": rows})
    if response.status_code != httpx.codes.OK:
        raise CheckFailed(
            f"the server answers rows of the test part with {response.status_code}: {response.text[:200]}"
        )
    predictions: list[dict[str, Any]] = response.json()["predictions"]
    return predictions


def _agreement(artifact: Artifact, expected: Sequence[Any], found: Sequence[Any]) -> Agreement:
    output = artifact.contract.output
    before, after = expected_arrays(output, expected), expected_arrays(output, found)
    return agreement(output, before, after, artifact.manifest.tolerance / TOLERANCE)


def _chunks(rows: list[Any], size: int) -> Iterator[list[Any]]:
    for first in range(0, len(rows), size):
        yield rows[first : first + size]
