"""The door: an ASGI middleware that answers the service's own routes before BentoML's router sees them.

Everything else (the docs page, health, the client's schema, calls between services) falls through to BentoML, whose
refusals are put into the form of ours.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, TypeVar

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST

from model_deployer.contract.errors import (
    ArtifactError,
    DeadlineExceeded,
    MethodNotAllowed,
    NotFound,
    PredictionFailed,
    RequestError,
    RequestTimeout,
    Unauthorized,
)
from model_deployer.serving.config.settings import Settings
from model_deployer.serving.http import asgi, headers, middleware, problem_details
from model_deployer.serving.http.access_log import CLIENT_CLOSED_REQUEST, AccessLog, RequestRecord
from model_deployer.serving.http.asgi import App, Message, Receive, Scope, Send
from model_deployer.serving.http.compression import decompress
from model_deployer.serving.http.connection import CONNECTION_KEY
from model_deployer.serving.http.deadlines import ClientDisconnected
from model_deployer.serving.http.headers import JSON, Headers
from model_deployer.serving.http.keys import ApiKeys
from model_deployer.serving.predictor import Predictor
from model_deployer.serving.protocols import openapi
from model_deployer.serving.protocols.protocol import Reply, Request, RouteMatch, build_router
from model_deployer.serving.protocols.registry import create_protocols

logger = logging.getLogger("model_deployer")

_PROBLEM = problem_details.MEDIA_TYPE.encode()
_TEXT = b"text/plain; charset=utf-8"

#: Methods whose requests have no body that means anything (RFC 9110).
_BODILESS = frozenset({"GET", "HEAD", "OPTIONS"})

Page = tuple[int, bytes, bytes]

R = TypeVar("R")


class Gateway:
    """Answers ``POST /predict``, ``GET /model``, ``GET /docs.json``, ``GET /metrics`` and ``GET /readyz``.

    Args:
        app: BentoML's application.
        predictor: What answers.
        settings: Which requests are logged.
        keys: Who is answered; None for everybody.
        is_dependency: Whether the caller is another service of the same deployment. Such calls are pickled and go to
            BentoML, which would load a pickle from anybody who reaches it; from anybody else it is refused here.
    """

    def __init__(
        self,
        app: App,
        predictor: Predictor,
        settings: Settings,
        keys: ApiKeys | None,
        is_dependency: Callable[[], bool],
    ) -> None:
        self._app = app
        self._predictor = predictor
        self._limits = predictor.artifact.contract.limits
        self._keys = keys
        self._journal = AccessLog(predictor.metrics, settings)
        protocols = create_protocols(settings.protocols, predictor)
        self._spoken = build_router(protocols)
        described = openapi.document(predictor.artifact, needs_key=keys is not None, protocols=protocols)
        document = (200, JSON, msgspec.json.encode(described))
        self._pages: dict[str, Callable[[], Page]] = {
            "/model": cache(lambda: (200, JSON, msgspec.json.encode(_description(predictor)))),
            "/docs.json": lambda: document,
            "/metrics": lambda: (200, CONTENT_TYPE_LATEST.encode(), predictor.metrics.text()),
            "/readyz": self._readiness,
        }
        self._paths = frozenset() if is_dependency() else frozenset({"/predict", *self._pages})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI connection."""
        if scope["type"] == "http" and self._paths:
            spoken = None if scope["path"] in self._paths else self._spoken(scope["method"], scope["path"])
            if spoken or scope["path"] in self._paths or not self._is_allowed(scope, dict(scope["headers"]), spoken):
                return await self._respond(scope, receive, send, spoken)
            send = self._watching(scope, send)
        elif scope["type"] == "lifespan":
            middleware.remove_unused_middleware(scope["app"])
        return await self._app(scope, receive, send)

    async def _respond(self, scope: Scope, receive: Receive, send: Send, spoken: RouteMatch | None) -> None:
        given: Headers = dict(scope["headers"])
        entry = RequestRecord(given, headers.request_id(given))
        answer = [(b"x-request-id", entry.request_id)]
        try:
            if not self._is_allowed(scope, given, spoken):
                raise Unauthorized("send your API key, as `Authorization: Bearer KEY` or `X-API-Key: KEY`")
            if spoken:
                reply = await self._translated(spoken, scope, given, receive)
                status, media_type, body = reply.status, reply.media_type, reply.body
                answer += reply.headers
            elif scope["path"] == "/predict":
                status, media_type, body = await self._predict(scope, given, receive)
            else:
                status, media_type, body = self._page(scope)
        except ClientDisconnected:
            status, media_type, body = CLIENT_CLOSED_REQUEST, _TEXT, b""
        except Exception as error:
            refusal = self._journal.refusal(entry, error)
            reply = _refusal(refusal, entry.request_id.decode(), spoken)
            status, media_type, body = reply.status, reply.media_type, reply.body
            answer += [*problem_details.headers(refusal), *reply.headers]
        protocol, label = (spoken.protocol.name, spoken.route.path) if spoken else ("native", self._route(scope))
        self._journal.write(entry, protocol, label, status, scope["method"])
        answer.append((b"content-type", media_type))
        if media_type.decode() in headers.TABLE_MEDIA_TYPES:
            answer.append((b"x-model", self._predictor.artifact.tag.encode()))
        await asgi.respond(send, status, answer, body)

    def _watching(self, scope: Scope, send: Send) -> Send:
        """A ``send`` for BentoML that counts its answers, and turns its plain 404 and 405 into problems."""
        began = time.perf_counter()
        refused = False

        async def forward(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start":
                status = message["status"]
                self._predictor.metrics.count_response(
                    "native", self._route(scope), status, time.perf_counter() - began
                )
                refused = status in (404, 405)
                if refused:
                    await _refuse(scope, send, message)
            if not refused:
                await send(message)

        return forward

    def _is_allowed(self, scope: Scope, given: Headers, spoken: RouteMatch | None) -> bool:
        is_open = spoken.route.is_open if spoken else scope["path"] in openapi.HEALTH_PATHS
        return self._keys is None or is_open or self._keys.allow(given)

    def _route(self, scope: Scope) -> str:
        return scope["path"] if scope["path"] in self._paths or scope["path"] in openapi.HEALTH_PATHS else "other"

    async def _predict(self, scope: Scope, given: Headers, receive: Receive) -> Page:
        if scope["method"] != "POST":
            raise MethodNotAllowed("POST")
        media_type, wanted = headers.media_type(given, scope["headers"]), headers.accepted_media_type(given)

        async def answer(body: bytes) -> Page:
            return 200, wanted.encode(), await self._predictor.answer(body, media_type, wanted)

        return await self._in_time(answer, scope, given, receive)

    async def _translated(self, spoken: RouteMatch, scope: Scope, given: Headers, receive: Receive) -> Reply:
        route, method = spoken.route, scope["method"]
        if method not in route.methods:
            raise MethodNotAllowed(", ".join(spoken.methods))

        async def answer(body: bytes) -> Reply:
            query = scope["query_string"].decode("latin-1")
            return await route.answer(Request(method, spoken.named, query, given, body))

        return await (answer(b"") if method in _BODILESS else self._in_time(answer, scope, given, receive))

    async def _in_time(
        self, answer: Callable[[bytes], Awaitable[R]], scope: Scope, given: Headers, receive: Receive
    ) -> R:
        """The answer to the body of a request, within the limits of the model and the time that the client allows."""
        headers.check_length(given, self._limits.body_bytes)
        seconds = headers.timeout_seconds(given, self._limits.timeout_seconds)
        body = None
        try:
            with self._predictor.deadlines.within(seconds, scope.get(CONNECTION_KEY)):
                if refusal := self._predictor.refusal(seconds):
                    raise refusal
                body = await self._body(given, receive)
                return await answer(body)
        except TimeoutError:
            raise _too_late(seconds, has_body=body is not None) from None

    async def _body(self, given: Headers, receive: Receive) -> bytes:
        body = await asgi.read(receive, self._limits.body_bytes)
        encoding = given.get(b"content-encoding", b"identity").decode("latin-1").lower()
        if encoding == "identity":
            return body
        return await asyncio.to_thread(decompress, body, encoding, self._limits.body_bytes)

    def _page(self, scope: Scope) -> Page:
        if scope["method"] not in ("GET", "HEAD"):
            raise MethodNotAllowed("GET, HEAD")
        return self._pages[scope["path"]]()

    def _readiness(self) -> Page:
        """Ready also where another engine stands in: the answers are the same, and nobody gains from refusing them."""
        if not self._predictor.ready:
            return 503, _TEXT, b"not ready\n"
        degraded = self._predictor.degraded
        return 200, _TEXT, f"degraded: {degraded}\n".encode() if degraded else b"ready\n"


def _refusal(error: RequestError, request_id: str, spoken: RouteMatch | None) -> Reply:
    """What a client reads who is refused: a problem, or what its protocol has for it."""
    if spoken is None:
        return Reply(problem_details.encode_problem(error, request_id), error.status, _PROBLEM)
    return spoken.protocol.refusal(error, request_id)


async def _refuse(scope: Scope, send: Send, message: Message) -> None:
    """Send the problem that stands for BentoML's refusal."""
    allow = dict(message.get("headers", ())).get(b"allow", b"").decode("latin-1")
    error = NotFound("the paths are in /docs.json") if message["status"] == 404 else MethodNotAllowed(allow)
    request_id = headers.request_id(dict(scope["headers"]))
    answer = [(b"content-type", _PROBLEM), (b"x-request-id", request_id), *problem_details.headers(error)]
    await asgi.respond(send, error.status, answer, problem_details.encode_problem(error, request_id.decode()))


def _description(predictor: Predictor) -> dict[str, Any]:
    """What GET /model answers: what the model is, what it takes and gives, and how well it did on data it never saw.

    The evaluation is read when this is first asked for, so that a model whose evaluation cannot be read is served.
    """
    artifact = predictor.artifact
    try:
        evaluation = artifact.evaluation.to_json()
    except ArtifactError as error:
        logger.error(str(error))
        raise PredictionFailed("the model's evaluation cannot be read; the service's log says why") from None
    manifest = artifact.manifest.model_dump(mode="json", exclude={"files", "format"})
    return manifest | {"contract": artifact.contract.model_dump(mode="json"), "evaluation": evaluation}


def _too_late(seconds: float, has_body: bool) -> RequestError:
    if has_body:
        return DeadlineExceeded(seconds)
    return RequestTimeout(f"the body did not arrive within {seconds:g} seconds")
