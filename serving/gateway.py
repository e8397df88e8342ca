"""The door: an ASGI middleware that answers the service's own routes before BentoML's router sees them.

Everything else (the docs page, health, metrics, the client's schema, pickled calls between services) falls through to
BentoML. Specification of the interface: https://asgi.readthedocs.io/en/latest/specs/www.html
"""

import logging
import time
import traceback
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from contract.errors import BodyTooLarge, MethodNotAllowed, PredictionFailed, RequestError, UnsupportedMediaType
from serving import openapi, problem
from serving.predictor import Predictor

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

logger = logging.getLogger("model_deployer")

_JSON = "application/json"
_BENTOML_CALL = "application/vnd.bentoml+pickle"


class _Disconnected(Exception):
    """The client went away before its request was complete."""


class Gateway:
    """Answers ``POST /predict``, ``GET /model`` and ``GET /docs.json``."""

    def __init__(self, app: App, predictor: Predictor) -> None:
        self._app = app
        self._predictor = predictor
        self._body_bytes = predictor.artifact.contract.limits.body_bytes
        self._pages = {
            "/model": msgspec.json.encode(_description(predictor)),
            "/docs.json": msgspec.json.encode(openapi.document(predictor.artifact)),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI connection."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        path: str = scope["path"]
        if path != "/predict" and path not in self._pages:
            return await self._app(scope, receive, send)
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if headers.get(b"content-type") == _BENTOML_CALL:
            return await self._app(scope, receive, send)
        return await self._respond(scope, headers, receive, send)

    async def _respond(self, scope: Scope, headers: dict[bytes, str], receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        request_id = _request_id(headers)
        extra: list[tuple[bytes, bytes]] = []
        try:
            body = await self._answer(scope, headers, receive)
            status, media_type = 200, _JSON
        except _Disconnected:
            # Nobody reads it, but BentoML's timeout holds the request, and with it a stopping server, until an answer.
            await _send(send, 400, [], b"")
            return
        except RequestError as error:
            body, status, media_type = problem.problem(error, request_id), error.status, problem.MEDIA_TYPE
            extra = _error_headers(error)
            if status >= 500:
                _log(error, request_id)
        except Exception as error:
            failure = PredictionFailed("the service failed; report it with the request id")
            body, status, media_type = problem.problem(failure, request_id), failure.status, problem.MEDIA_TYPE
            _log(error, request_id)
        # Counted before it is sent, so that a client who has its answer finds it in the metrics.
        self._predictor.metrics.answered(scope["path"], status, time.perf_counter() - started)
        start = [
            (b"content-type", media_type.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"x-request-id", request_id.encode()),
            *extra,
        ]
        await _send(send, status, start, body)

    async def _answer(self, scope: Scope, headers: dict[bytes, str], receive: Receive) -> bytes:
        page = self._pages.get(scope["path"])
        if page is not None:
            if scope["method"] not in ("GET", "HEAD"):
                raise MethodNotAllowed("GET, HEAD")
            return page
        if scope["method"] != "POST":
            raise MethodNotAllowed("POST")
        _check_media_type(headers)
        return await self._predictor.answer(await self._read(headers, receive))

    async def _read(self, headers: dict[bytes, str], receive: Receive) -> bytes:
        announced = headers.get(b"content-length", "")
        if announced.isdigit() and int(announced) > self._body_bytes:
            raise self._too_large()
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _Disconnected
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > self._body_bytes:
                raise self._too_large()
            chunks.append(chunk)
            if not message.get("more_body", False):
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(f"the service takes at most {self._body_bytes:,} bytes; send fewer rows a request")


async def _send(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _description(predictor: Predictor) -> dict[str, Any]:
    """What GET /model answers: what the model is, what it takes and gives, and how well it did on data it never saw."""
    manifest = predictor.artifact.manifest.model_dump(mode="json", exclude={"files", "format"})
    evaluation = predictor.artifact.evaluation
    return manifest | {"contract": predictor.artifact.contract.model_dump(mode="json"), "evaluation": evaluation}


def _check_media_type(headers: dict[bytes, str]) -> None:
    media_type = headers.get(b"content-type", _JSON).partition(";")[0].strip().lower()
    if media_type != _JSON and not media_type.endswith("+json"):
        raise UnsupportedMediaType(f"send the rows as {_JSON}, with the header `Content-Type: {_JSON}`")
    if headers.get(b"content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("send the body uncompressed, without a Content-Encoding")


def _request_id(headers: dict[bytes, str]) -> str:
    """The client's own id where it is short and printable, else a new one."""
    given = headers.get(b"x-request-id", "")
    if 0 < len(given) <= 128 and given.isascii() and given.isprintable():
        return given
    return uuid.uuid4().hex


def _error_headers(error: RequestError) -> list[tuple[bytes, bytes]]:
    headers = [(b"allow", error.allow.encode())] if isinstance(error, MethodNotAllowed) else []
    if error.status == 503:
        headers.append((b"retry-after", b"1"))
    return headers


def _log(error: BaseException, request_id: str) -> None:
    """Where a failure happened, without its text: that may hold what the caller sent."""
    cause = error.__cause__ or error
    frames = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(cause.__traceback__)]
    logger.error("request failed", extra={"request_id": request_id, "error": type(cause).__name__, "at": frames[-5:]})
