"""The door: an ASGI middleware that answers the service's own routes before BentoML's router sees them.

Everything else (the docs page, health, the client's schema, calls between services) falls through to BentoML, whose
refusals are put into the form of ours. Specification of the interface:
https://asgi.readthedocs.io/en/latest/specs/www.html
"""

import asyncio
import logging
import time
import traceback
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST

from contract.errors import (
    BodyTooLarge,
    MethodNotAllowed,
    NotFound,
    PredictionFailed,
    RequestError,
    RequestTimeout,
    UnsupportedMediaType,
)
from serving import openapi, problem
from serving.predictor import Predictor

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

logger = logging.getLogger("model_deployer")

_JSON = "application/json"
_FAILED = "the service failed; report it with the request id"


class _Disconnected(Exception):
    """The client went away before its request was complete."""


class Gateway:
    """Answers ``POST /predict``, ``GET /model``, ``GET /docs.json`` and ``GET /metrics``.

    Args:
        app: BentoML's application.
        predictor: What answers.
        is_dependency: Whether the caller is another service of the same deployment. Such calls are pickled and go to
            BentoML, which would load a pickle from anybody who reaches it; from anybody else it is refused here.
    """

    def __init__(self, app: App, predictor: Predictor, is_dependency: Callable[[], bool]) -> None:
        self._app = app
        self._predictor = predictor
        self._is_dependency = is_dependency
        self._limits = predictor.artifact.contract.limits
        description = msgspec.json.encode(_description(predictor))
        document = msgspec.json.encode(openapi.document(predictor.artifact))
        self._pages: dict[str, tuple[str, Callable[[], bytes]]] = {
            "/model": (_JSON, lambda: description),
            "/docs.json": (_JSON, lambda: document),
            "/metrics": (CONTENT_TYPE_LATEST, predictor.metrics.text),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI connection."""
        if scope["type"] != "http" or self._is_dependency():
            return await self._app(scope, receive, send)
        path: str = scope["path"]
        if path != "/predict" and path not in self._pages:
            return await self._app(scope, receive, _refusing(scope, send))
        return await self._respond(scope, _headers(scope), receive, send)

    async def _respond(self, scope: Scope, headers: dict[bytes, str], receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        request_id = _request_id(headers)
        extra: list[tuple[bytes, bytes]] = []
        try:
            media_type, body = await self._answer(scope, headers, receive)
            status = 200
        except _Disconnected:
            # Nobody reads it, but BentoML's timeout holds the request, and with it a stopping server, until an answer.
            await _send(send, 400, [], b"")
            return
        except Exception as error:
            refusal = error if isinstance(error, RequestError) else PredictionFailed(_FAILED)
            body, status, media_type = problem.problem(refusal, request_id), refusal.status, problem.MEDIA_TYPE
            extra = _error_headers(refusal)
            if status >= 500:
                _log(error, request_id)
        # Counted before it is sent, so that a client who has its answer finds it in the metrics.
        self._predictor.metrics.answered(scope["path"], status, time.perf_counter() - started)
        await _send(send, status, [*_entity(media_type, body, request_id), *extra], body)

    async def _answer(self, scope: Scope, headers: dict[bytes, str], receive: Receive) -> tuple[str, bytes]:
        page = self._pages.get(scope["path"])
        if page is not None:
            if scope["method"] not in ("GET", "HEAD"):
                raise MethodNotAllowed("GET, HEAD")
            media_type, content = page
            return media_type, content()
        if scope["method"] != "POST":
            raise MethodNotAllowed("POST")
        _check_media_type(scope, headers)
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._limits.timeout_seconds):
                body = await self._read(headers, receive)
        except TimeoutError:
            raise RequestTimeout(f"the body did not arrive within {self._limits.timeout_seconds:g} seconds") from None
        return _JSON, await self._predictor.answer(body, time.perf_counter() - started)

    async def _read(self, headers: dict[bytes, str], receive: Receive) -> bytes:
        announced = headers.get(b"content-length", "")
        if announced.isdigit() and int(announced) > self._limits.body_bytes:
            raise self._too_large()
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _Disconnected
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > self._limits.body_bytes:
                raise self._too_large()
            chunks.append(chunk)
            if not message.get("more_body", False):
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(f"the service takes at most {self._limits.body_bytes:,} bytes; send fewer rows a request")


def _refusing(scope: Scope, send: Send) -> Send:
    """A ``send`` for BentoML that turns its plain 404 and 405 into problems."""
    refused = False

    async def forward(message: Message) -> None:
        nonlocal refused
        if message["type"] == "http.response.start" and message["status"] in (404, 405):
            refused = True
            allow = dict(message.get("headers", ())).get(b"allow", b"").decode("latin-1")
            error = NotFound("the paths are in /docs.json") if message["status"] == 404 else MethodNotAllowed(allow)
            request_id = _request_id(_headers(scope))
            body = problem.problem(error, request_id)
            entity = _entity(problem.MEDIA_TYPE, body, request_id)
            await _send(send, error.status, [*entity, *_error_headers(error)], body)
        elif not refused:
            await send(message)

    return forward


def _headers(scope: Scope) -> dict[bytes, str]:
    return {name: value.decode("latin-1") for name, value in scope["headers"]}


def _entity(media_type: str, body: bytes, request_id: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"content-type", media_type.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"x-request-id", request_id.encode()),
    ]


async def _send(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _description(predictor: Predictor) -> dict[str, Any]:
    """What GET /model answers: what the model is, what it takes and gives, and how well it did on data it never saw."""
    manifest = predictor.artifact.manifest.model_dump(mode="json", exclude={"files", "format"})
    evaluation = predictor.artifact.evaluation
    return manifest | {"contract": predictor.artifact.contract.model_dump(mode="json"), "evaluation": evaluation}


def _check_media_type(scope: Scope, headers: dict[bytes, str]) -> None:
    if sum(name == b"content-type" for name, _ in scope["headers"]) > 1:
        raise UnsupportedMediaType("send one Content-Type")
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
    if error.status == 408:
        headers.append((b"connection", b"close"))
    if error.status == 503:
        headers.append((b"retry-after", b"1"))
    return headers


def _log(error: BaseException, request_id: str) -> None:
    """Where a failure happened, without its text: that may hold what the caller sent."""
    cause = error.__cause__ or error
    frames = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(cause.__traceback__)]
    logger.error("request failed", extra={"request_id": request_id, "error": type(cause).__name__, "at": frames[-5:]})
