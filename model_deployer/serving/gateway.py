"""The gateway: an ASGI middleware that answers the service's own routes before BentoML's router sees them.

Start with :meth:`Gateway.__call__`. Requests to other paths (the documentation page, health, the client's schema, calls
between services) go on to BentoML; its plain 404 and 405 responses are replaced by problem documents.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, TypeVar

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette

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
from model_deployer.serving.protocols.protocol import UNKNOWN_PATH, Reply, Request, RouteMatch, build_router
from model_deployer.serving.protocols.registry import create_protocols

logger = logging.getLogger("model_deployer")

_PROBLEM = problem_details.MEDIA_TYPE.encode()
_TEXT = b"text/plain; charset=utf-8"

#: The methods whose requests have no meaningful body (RFC 9110).
_BODILESS_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

#: A response: its status, media type and body.
Response = tuple[int, bytes, bytes]

R = TypeVar("R")


class Gateway:
    """Answers the service's own routes and those of the protocols in the settings.

    Its own routes are ``POST /predict``, ``GET /model``, ``GET /docs.json``, ``GET /metrics`` and ``GET /readyz``.

    Args:
        app: BentoML's application, which answers all other paths.
        predictor: The predictor of the model.
        settings: The settings of the server.
        keys: The valid API keys; None if no key is required.
        is_dependency: Returns whether the callers are other services of the same deployment. Their calls are pickled
            and must go to BentoML. From other clients the gateway refuses pickles, which BentoML would load.
    """

    def __init__(
        self,
        app: App,
        predictor: Predictor,
        settings: Settings,
        keys: ApiKeys | None,
        is_dependency: Callable[[], bool],
    ) -> None:
        self.app = app
        self._predictor = predictor
        self._limits = predictor.artifact.contract.limits
        self._keys = keys
        self._access_log = AccessLog(predictor.metrics, settings)
        protocols = create_protocols(settings.protocols, predictor)
        self._find_route = build_router(protocols)
        document = openapi.document(
            predictor.artifact, keys is not None, protocols, ignores_unknown_fields=predictor.ignores_unknown_fields
        )
        document_page = (200, JSON, msgspec.json.encode(document))
        self._pages: dict[str, Callable[[], Response]] = {
            "/model": cache(lambda: (200, JSON, msgspec.json.encode(_describe_model(predictor)))),
            "/docs.json": lambda: document_page,
            "/metrics": lambda: (200, CONTENT_TYPE_LATEST.encode(), predictor.metrics.text()),
            "/readyz": self._readiness,
        }
        self._own_paths = frozenset() if is_dependency() else frozenset({"/predict", *self._pages})
        self._entry: App = self._answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an ASGI connection here, or pass it on to BentoML."""
        if scope["type"] == "lifespan":
            self._arrange_middleware(scope["app"])
        await self._entry(scope, receive, send)

    def _arrange_middleware(self, application: Starlette) -> None:
        middleware.remove_unused(application)
        if cors := middleware.take_cors(self):
            cors.app = self._answer
            self._entry = cors

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._own_paths:
            is_own = scope["path"] in self._own_paths
            match = None if is_own else self._find_route(scope["method"], scope["path"])
            if match or is_own or not self._is_authorized(scope, dict(scope["headers"]), match):
                return await self._respond(scope, receive, send, match)
            send = self._wrap_send(scope, send)
        return await self.app(scope, receive, send)

    async def _respond(self, scope: Scope, receive: Receive, send: Send, match: RouteMatch | None) -> None:
        """Answer a request: authorize it, compute the response or the error, count and log it, and send it."""
        request_headers: Headers = dict(scope["headers"])
        record = RequestRecord(request_headers, headers.request_id(request_headers))
        response_headers = [(b"x-request-id", record.request_id)]
        try:
            if not self._is_authorized(scope, request_headers, match):
                raise Unauthorized("send your API key, as `Authorization: Bearer KEY` or `X-API-Key: KEY`")
            if match:
                reply = await self._translate(match, scope, request_headers, receive)
                status, media_type, body = reply.status, reply.media_type, reply.body
                response_headers += reply.headers
            elif scope["path"] == "/predict":
                status, media_type, body = await self._predict(scope, request_headers, receive)
            else:
                status, media_type, body = self._get_page(scope)
        except ClientDisconnected:
            status, media_type, body = CLIENT_CLOSED_REQUEST, _TEXT, b""
        except Exception as error:
            refusal = self._access_log.refusal(record, error)
            reply = _error_reply(refusal, record.request_id.decode(), match)
            status, media_type, body = reply.status, reply.media_type, reply.body
            response_headers += [*problem_details.headers(refusal), *reply.headers]
        protocol, label = (match.protocol.name, match.route.path) if match else ("native", self._route_label(scope))
        self._access_log.write(record, protocol, label, status, scope["method"])
        response_headers.append((b"content-type", media_type))
        if media_type.decode() in headers.TABLE_MEDIA_TYPES:
            response_headers.append((b"x-model", self._predictor.artifact.tag.encode()))
        await asgi.respond(send, status, response_headers, body)

    # Predictions

    async def _predict(self, scope: Scope, request_headers: Headers, receive: Receive) -> Response:
        """Answer ``POST /predict``."""
        if scope["method"] != "POST":
            raise MethodNotAllowed("POST")
        media_type = headers.media_type(request_headers, scope["headers"])
        response_media_type = headers.accepted_media_type(request_headers)

        async def answer(body: bytes) -> Response:
            content = await self._predictor.answer(body, media_type, response_media_type)
            return 200, response_media_type.encode(), content

        return await self._within_deadline(answer, scope, request_headers, receive)

    async def _translate(self, match: RouteMatch, scope: Scope, request_headers: Headers, receive: Receive) -> Reply:
        """Answer a route of a protocol."""
        route, method = match.route, scope["method"]
        if not match.methods:
            raise NotFound(UNKNOWN_PATH)
        if method not in route.methods:
            raise MethodNotAllowed(", ".join(match.methods))

        async def answer(body: bytes) -> Reply:
            query = scope["query_string"].decode("latin-1")
            return await route.handler(Request(method, match.path_parameters, query, request_headers, body))

        if method in _BODILESS_METHODS:
            return await answer(b"")
        return await self._within_deadline(answer, scope, request_headers, receive)

    async def _within_deadline(
        self, answer: Callable[[bytes], Awaitable[R]], scope: Scope, request_headers: Headers, receive: Receive
    ) -> R:
        """Read the body and answer it, within the limits of the model and the time that the client allows."""
        headers.check_length(request_headers, self._limits.body_bytes)
        seconds = headers.timeout_seconds(request_headers, self._limits.timeout_seconds)
        body = None
        try:
            with self._predictor.deadlines.within(seconds, scope.get(CONNECTION_KEY)):
                if refusal := self._predictor.refusal(seconds):
                    raise refusal
                body = await self._read_body(request_headers, receive)
                return await answer(body)
        except TimeoutError:
            raise _timeout_error(seconds, has_body=body is not None) from None

    async def _read_body(self, request_headers: Headers, receive: Receive) -> bytes:
        body = await asgi.read(receive, self._limits.body_bytes)
        encoding = request_headers.get(b"content-encoding", b"identity").decode("latin-1").lower()
        if encoding == "identity":
            return body
        return await asyncio.to_thread(decompress, body, encoding, self._limits.body_bytes)

    # The other routes

    def _get_page(self, scope: Scope) -> Response:
        if scope["method"] not in ("GET", "HEAD"):
            raise MethodNotAllowed("GET, HEAD")
        return self._pages[scope["path"]]()

    def _readiness(self) -> Response:
        """Return 200 also while a fallback answers: its answers are the same, so refusing requests has no benefit."""
        if not self._predictor.ready:
            return 503, _TEXT, b"not ready\n"
        degraded = self._predictor.degraded
        return 200, _TEXT, f"degraded: {degraded}\n".encode() if degraded else b"ready\n"

    def _wrap_send(self, scope: Scope, send: Send) -> Send:
        """Return a ``send`` for BentoML that counts its responses, and replaces its plain 404 and 405 by problems."""
        start = time.perf_counter()
        is_replaced = False

        async def forward(message: Message) -> None:
            nonlocal is_replaced
            if message["type"] == "http.response.start":
                status, seconds = message["status"], time.perf_counter() - start
                self._predictor.metrics.count_response("native", self._route_label(scope), status, seconds)
                is_replaced = status in (404, 405)
                if is_replaced:
                    await _send_problem(scope, send, message)
            if not is_replaced:
                await send(message)

        return forward

    # Every route

    def _is_authorized(self, scope: Scope, request_headers: Headers, match: RouteMatch | None) -> bool:
        is_public = match.route.is_public if match else scope["path"] in openapi.HEALTH_PATHS
        return self._keys is None or is_public or self._keys.allow(request_headers)

    def _route_label(self, scope: Scope) -> str:
        """Return the route for the metrics: unknown paths share one label, so that labels stay few."""
        path: str = scope["path"]
        return path if path in self._own_paths or path in openapi.HEALTH_PATHS else "other"


def _error_reply(error: RequestError, request_id: str, match: RouteMatch | None) -> Reply:
    """Return the response for an error: a problem document, or the error format of the client's protocol."""
    if match is None:
        return Reply(problem_details.encode_problem(error, request_id), error.status, _PROBLEM)
    return match.protocol.refusal(error, request_id)


async def _send_problem(scope: Scope, send: Send, message: Message) -> None:
    """Send a problem document instead of BentoML's plain 404 or 405."""
    allow = dict(message.get("headers", ())).get(b"allow", b"").decode("latin-1")
    error = NotFound(UNKNOWN_PATH) if message["status"] == 404 else MethodNotAllowed(allow)
    request_id = headers.request_id(dict(scope["headers"]))
    response_headers = [(b"content-type", _PROBLEM), (b"x-request-id", request_id), *problem_details.headers(error)]
    await asgi.respond(send, error.status, response_headers, problem_details.encode_problem(error, request_id.decode()))


def _describe_model(predictor: Predictor) -> dict[str, Any]:
    """Return the content of ``GET /model``: the manifest, the contract and the evaluation on unseen data.

    The evaluation is read at the first request for it, so that a model is served even if its evaluation is unreadable.

    Raises:
        PredictionFailed: if the evaluation cannot be read.
    """
    artifact = predictor.artifact
    try:
        evaluation = artifact.evaluation.to_json()
    except ArtifactError as error:
        logger.error(str(error))
        raise PredictionFailed("the model's evaluation cannot be read; the service's log has the reason") from None
    manifest = artifact.manifest.model_dump(mode="json", exclude={"files", "format"})
    return manifest | {"contract": artifact.contract.model_dump(mode="json"), "evaluation": evaluation}


def _timeout_error(seconds: float, has_body: bool) -> RequestError:
    if has_body:
        return DeadlineExceeded(seconds)
    return RequestTimeout(f"the body did not arrive within {seconds:g} seconds")
