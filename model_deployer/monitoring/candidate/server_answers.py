"""Captured requests are sent to a running server at their recorded pace."""

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import httpx
import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.errors import EnvironmentFault, InvalidRows, Problem, UsageError
from model_deployer.contract.outputs import Classification, Output
from model_deployer.monitoring.candidate.captured_rows import CapturedRows
from model_deployer.monitoring.candidate.model_answers import ModelAnswers, empty_outputs
from model_deployer.monitoring.candidate.replay_report import Latency

#: The variable with the API key of a server.
API_KEY = "API_KEY"

_CONNECTIONS = 64

_TIMEOUT_SECONDS = 60.0


class _Request(NamedTuple):
    """A captured request.

    Attributes:
        rows: The indices of its captured rows.
        due: The seconds from the first request to this one, as recorded.
        milliseconds: The recorded time of its answer.
        is_partial: Whether only some of its rows were captured.
    """

    rows: list[int]
    due: float
    milliseconds: float
    is_partial: bool


class _Outcome(NamedTuple):
    """The answer to a request: its status, 0 if it was lost; its content; and the milliseconds since it was due."""

    status: int
    content: Mapping[str, Any]
    milliseconds: float


@dataclass(frozen=True)
class ServerReplay:
    """A running server that captured requests are sent to.

    Attributes:
        url: Its URL. If it requires an API key, that is in the variable ``API_KEY``.
        speed: How many times faster than recorded requests are sent.
    """

    url: str
    speed: float = 1.0

    def ask(self, model: Artifact, captured: CapturedRows) -> tuple[ModelAnswers, Latency]:
        """Send captured requests, and return the answers and their latency.

        Args:
            model: The model that the server must serve.
            captured: The rows, in the order of their time.

        Raises:
            UsageError: if the server serves another model, or requires an API key.
            EnvironmentFault: if it cannot be reached.
        """
        requests = _requests(captured.table)
        outcomes = asyncio.run(self._send_all(model, requests, captured.objects))
        answers = _collect(model.contract.output, len(captured.objects), requests, outcomes)
        return answers, _latency(requests, outcomes, self.speed)

    async def _send_all(
        self, model: Artifact, requests: Sequence[_Request], objects: Sequence[Mapping[str, Any]]
    ) -> list[_Outcome]:
        key = os.environ.get(API_KEY)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        limits = httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS)
        async with httpx.AsyncClient(
            base_url=self.url, headers=headers, limits=limits, timeout=_TIMEOUT_SECONDS
        ) as client:
            await _check_model(client, self.url, model)
            start = time.perf_counter()
            tasks = []
            for request in requests:
                due = start + request.due / self.speed
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                rows = [objects[index] for index in request.rows]
                tasks.append(asyncio.create_task(_send(client, rows, due)))
            return list(await asyncio.gather(*tasks))


async def _check_model(client: httpx.AsyncClient, url: str, model: Artifact) -> None:
    try:
        answer = await client.get("/model")
    except httpx.HTTPError:
        raise EnvironmentFault(f"no server answers at {url}; start it with `deployer serve {model.tag}`") from None
    if answer.status_code == 401:
        raise UsageError(f"the server at {url} requires an API key; set {API_KEY} in the environment")
    served = answer.json() if answer.status_code == 200 else {}
    tag = f"{served.get('name')}:{served.get('version')}"
    if tag != model.tag:
        raise UsageError(
            f"the server at {url} serves {tag}, not {model.tag}; start it with `deployer serve {model.tag}`"
        )


async def _send(client: httpx.AsyncClient, rows: Sequence[Mapping[str, Any]], due: float) -> _Outcome:
    try:
        answer = await client.post("/predict", json={"rows": rows})
        content = answer.json()
        status = answer.status_code
    except (httpx.HTTPError, ValueError):
        status, content = 0, {}
    return _Outcome(status, content, 1000 * (time.perf_counter() - due))


def _requests(table: pl.DataFrame) -> list[_Request]:
    """Return the captured requests in the order in which they came in."""
    grouped = (
        table.with_row_index("index")
        .group_by("request_id", "time", maintain_order=True)  # callers may send an id twice
        .agg(
            pl.col("index"),
            pl.col("milliseconds").first(),
            (pl.col("row").max() + 1 > pl.len()).alias("is_partial"),
        )
        .with_columns((pl.col("time").dt.timestamp("us") / 1e6 - pl.col("milliseconds") / 1e3).alias("start"))
        .sort("start")
    )
    first = grouped["start"][0] if len(grouped) else 0.0
    return [
        _Request(line["index"], line["start"] - first, line["milliseconds"], line["is_partial"])
        for line in grouped.to_dicts()
    ]


def _collect(output: Output, rows: int, requests: Sequence[_Request], outcomes: Sequence[_Outcome]) -> ModelAnswers:
    outputs = empty_outputs(output, rows)
    accepted, refused = np.zeros(rows, np.bool_), np.zeros(rows, np.bool_)
    problems: dict[int, Sequence[Problem]] = {}
    for request, outcome in zip(requests, outcomes, strict=True):
        if outcome.status == 200:
            accepted[request.rows] = True
            _fill(output, outputs, request.rows, outcome.content["predictions"])
        elif outcome.status == InvalidRows.status:
            refused[request.rows] = True
            problems |= _problems(request.rows, outcome)
    return ModelAnswers(outputs, accepted, refused, problems)


def _fill(
    output: Output,
    outputs: Mapping[str, NDArray[np.float32]],
    rows: Sequence[int],
    predictions: Sequence[Mapping[str, Any]],
) -> None:
    for row, prediction in zip(rows, predictions, strict=True):
        if isinstance(output, Classification):
            outputs["probabilities"][row] = [prediction["probabilities"][label] for label in output.labels]
        else:
            for name, array in outputs.items():
                array[row] = prediction[name]


def _problems(rows: Sequence[int], outcome: _Outcome) -> dict[int, Sequence[Problem]]:
    """Return why the rows of a request are refused: those that are listed. The others came with one of them."""
    problems: dict[int, Sequence[Problem]] = {}
    for error in outcome.content.get("errors", ()):
        index = rows[error["row"]]
        problem = Problem(error["row"], error.get("field"), error["code"], error["message"])
        problems[index] = (*problems.get(index, ()), problem)
    return problems


def _latency(requests: Sequence[_Request], outcomes: Sequence[_Outcome], speed: float) -> Latency:
    answered = [
        (outcome.milliseconds, request.milliseconds)
        for request, outcome in zip(requests, outcomes, strict=True)
        if outcome.status == 200
    ]
    actual, recorded = np.array(answered or [(0.0, 0.0)]).T
    return Latency(
        requests=len(requests),
        failures=sum(outcome.status not in (200, InvalidRows.status) for outcome in outcomes),
        speed=speed,
        p50=float(np.quantile(actual, 0.5)),
        p99=float(np.quantile(actual, 0.99)),
        recorded_p50=float(np.quantile(recorded, 0.5)),
        recorded_p99=float(np.quantile(recorded, 0.99)),
        partial=sum(request.is_partial for request in requests) / max(1, len(requests)),
    )
