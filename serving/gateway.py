"""The door: an ASGI middleware that answers the service's own routes before BentoML's router sees them.

Everything else (the docs page, health, the client's schema, calls between services) falls through to BentoML, whose
refusals are put into the form of ours.
"""

import time
from collections.abc import Callable
from typing import Any

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST

from contract.errors import (
    DeadlineExceeded,
    MethodNotAllowed,
    NotFound,
    PredictionFailed,
    RequestError,
    RequestTimeout,
)
from serving import asgi, headers, logs, middleware, openapi, problem
from serving.asgi import App, Message, Receive, Scope, Send
from serving.deadlines import Gone
from serving.headers import JSON, Headers
from serving.predictor import Predictor

_FAILED = "the service failed; report it with the request id"
_PROBLEM = problem.MEDIA_TYPE.encode()

#: Nobody reads it: the client is gone. nginx made the number known.
_CLIENT_CLOSED_REQUEST = 499


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
        self._limits = predictor.artifact.contract.limits
        description = msgspec.json.encode(_description(predictor))
        document = msgspec.json.encode(openapi.document(predictor.artifact))
        self._pages: dict[str, tuple[bytes, Callable[[], bytes]]] = {
            "/model": (JSON, lambda: description),
            "/docs.json": (JSON, lambda: document),
            "/metrics": (CONTENT_TYPE_LATEST.encode(), predictor.metrics.text),
        }
        self._paths = frozenset() if is_dependency() else frozenset({"/predict", *self._pages})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI connection."""
        if scope["type"] == "http" and self._paths:
            if scope["path"] in self._paths:
                return await self._respond(scope, receive, send)
            send = _refusing(scope, send)
        elif scope["type"] == "lifespan":
            middleware.shed_idle(scope["app"])
        return await self._app(scope, receive, send)

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        given: Headers = dict(scope["headers"])
        answer = [(b"x-request-id", request_id := headers.request_id(given))]
        try:
            if scope["path"] == "/predict":
                media_type, body = JSON, await self._predict(scope, given, receive)
            else:
                media_type, body = self._page(scope)
            status = 200
        except Gone:
            status, media_type, body = _CLIENT_CLOSED_REQUEST, JSON, b""
        except Exception as error:
            refusal = error if isinstance(error, RequestError) else PredictionFailed(_FAILED)
            status, media_type, body = refusal.status, _PROBLEM, problem.problem(refusal, request_id.decode())
            answer += _error_headers(refusal)
            if status >= 500:
                logs.failure(error, request_id.decode())
        # Counted before it is sent, so that a client who has its answer finds it in the metrics.
        self._predictor.metrics.answered("native", scope["path"], status, time.perf_counter() - began)
        answer.append((b"content-type", media_type))
        await asgi.respond(send, status, answer, body)

    async def _predict(self, scope: Scope, given: Headers, receive: Receive) -> bytes:
        if scope["method"] != "POST":
            raise MethodNotAllowed("POST")
        headers.check_json(given, scope["headers"])
        headers.check_encoding(given)
        headers.check_length(given, self._limits.body_bytes)
        seconds = headers.seconds(given, self._limits.timeout_seconds)
        body = None
        try:
            with self._predictor.deadlines.within(seconds) as watch:
                self._predictor.admit(seconds)
                body = await asgi.read(receive, self._limits.body_bytes)
                watch.receive = receive
                return await self._predictor.answer(body)
        except TimeoutError:
            raise _too_late(seconds, has_body=body is not None) from None

    def _page(self, scope: Scope) -> tuple[bytes, bytes]:
        if scope["method"] not in ("GET", "HEAD"):
            raise MethodNotAllowed("GET, HEAD")
        media_type, content = self._pages[scope["path"]]
        return media_type, content()


def _refusing(scope: Scope, send: Send) -> Send:
    """A ``send`` for BentoML that turns its plain 404 and 405 into problems."""
    refused = False

    async def forward(message: Message) -> None:
        nonlocal refused
        if message["type"] == "http.response.start" and message["status"] in (404, 405):
            refused = True
            allow = dict(message.get("headers", ())).get(b"allow", b"").decode("latin-1")
            error = NotFound("the paths are in /docs.json") if message["status"] == 404 else MethodNotAllowed(allow)
            request_id = headers.request_id(dict(scope["headers"]))
            answer = [(b"content-type", _PROBLEM), (b"x-request-id", request_id), *_error_headers(error)]
            await asgi.respond(send, error.status, answer, problem.problem(error, request_id.decode()))
        elif not refused:
            await send(message)

    return forward


def _description(predictor: Predictor) -> dict[str, Any]:
    """What GET /model answers: what the model is, what it takes and gives, and how well it did on data it never saw."""
    manifest = predictor.artifact.manifest.model_dump(mode="json", exclude={"files", "format"})
    evaluation = predictor.artifact.evaluation
    return manifest | {"contract": predictor.artifact.contract.model_dump(mode="json"), "evaluation": evaluation}


def _too_late(seconds: float, has_body: bool) -> RequestError:
    if has_body:
        return DeadlineExceeded(seconds)
    return RequestTimeout(f"the body did not arrive within {seconds:g} seconds")


def _error_headers(error: RequestError) -> list[tuple[bytes, bytes]]:
    answer = [(b"allow", error.allow.encode())] if isinstance(error, MethodNotAllowed) else []
    if error.status == 408:
        answer.append((b"connection", b"close"))
    if error.status == 503:
        answer.append((b"retry-after", b"1"))
    return answer
