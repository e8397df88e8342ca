"""Calls of the method ``predict`` of the service: from another service of the deployment, or from the same process.

They reach no gateway. What it does for requests over HTTP besides reading them is done here: each call is counted,
logged and captured.
"""

import uuid
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from bentoml.exceptions import BentoMLException
from pydantic_core import to_json

from model_deployer.contract.errors import MalformedBody, RequestError
from model_deployer.serving.http import problem_details
from model_deployer.serving.http.access_log import AccessLog, Endpoint
from model_deployer.serving.http.request_record import RequestRecord, current_request
from model_deployer.serving.predictor import Predictor

_ENDPOINT = Endpoint("python", "/predict", "POST")


class ServiceCalls:
    """Answers calls with the predictions of one model.

    Args:
        predictor: The predictor of this process.
        access_log: Counts, logs and captures the calls.
    """

    def __init__(self, predictor: Predictor, access_log: AccessLog) -> None:
        self._predictor, self._access_log = predictor, access_log

    async def predict(self, rows: Sequence[Any]) -> dict[str, Any]:
        """Return the answer to rows, as over HTTP.

        Raises:
            BentoMLException: if the rows are refused. Its text is the problem document, and ``error_code`` the status.
        """
        record = RequestRecord({}, uuid.uuid4().hex.encode())
        token = current_request.set(record)
        try:
            answer: dict[str, Any] = msgspec.json.decode(await self._predictor.answer_in_time(_encode(rows)))
        except RequestError as error:
            self._access_log.write(record, _ENDPOINT, self._access_log.refusal(record, error).status)
            document = problem_details.encode_problem(error, request_id=record.request_id.decode()).decode()
            raise BentoMLException(document, error_code=HTTPStatus(error.status)) from None
        finally:
            current_request.reset(token)
        self._access_log.write(record, _ENDPOINT, HTTPStatus.OK)
        return answer


def _encode(rows: Sequence[Any]) -> bytes:
    """Return rows as the JSON body of a client. NaN stays NaN, so that it is refused as in other requests."""
    try:
        return to_json({"rows": rows}, inf_nan_mode="constants")
    except ValueError:
        raise MalformedBody("the rows have a value that JSON cannot represent") from None
