"""The gateway: an ASGI middleware that answers the service's own routes before BentoML's router sees them.

Start with :meth:`Gateway.__call__`. Requests to a few other paths (health, the client's schema) and calls between
services go on to BentoML; its plain 405 responses are replaced by problem documents. BentoML's own page and its files
are not reachable.
"""

import asyncio
import logging
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
    NotAcceptable,
    NotFound,
    PredictionFailed,
    RequestError,
    RequestTimeout,
    Unauthorized,
)
from model_deployer.contract.image_file import is_image_file
from model_deployer.contract.outputs import VectorOutput
from model_deployer.serving.config.settings import Settings
from model_deployer.serving.http import asgi, connection, headers, middleware, problem_details, query
from model_deployer.serving.http.access_log import CLIENT_CLOSED_REQUEST, AccessLog, Endpoint
from model_deployer.serving.http.asgi import App, Message, Receive, Scope, Send
from model_deployer.serving.http.compression import MIN_COMPRESSED_BYTES, accepted_encoding, compress, decompress
from model_deployer.serving.http.connection import CONNECTION_KEY
from model_deployer.serving.http.deadlines import ClientDisconnected
from model_deployer.serving.http.headers import JSON, Headers
from model_deployer.serving.http.keys import ApiKeys
from model_deployer.serving.http.media_types import parse_media_type
from model_deployer.serving.http.request_record import RequestRecord, current_request
from model_deployer.serving.page.web_page import WebPage
from model_deployer.serving.predictor import Predictor
from model_deployer.serving.protocols import openapi
from model_deployer.serving.protocols.protocol import (
    UNKNOWN_PATH,
    Protocol,
    Reply,
    Request,
    RouteMatch,
    build_router,
    problem_reply,
)
from model_deployer.serving.protocols.registry import create_protocols
from model_deployer.serving.rows import formats

logger = logging.getLogger("model_deployer")

_PROBLEM = problem_details.MEDIA_TYPE.encode()
_TEXT = b"text/plain; charset=utf-8"

#: The service's own routes for health checks and metrics.
_PROBE_PATHS = frozenset({*openapi.HEALTH_PATHS, "/metrics"})

#: The methods whose requests have no meaningful body (RFC 9110).
_BODILESS_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

#: The paths that BentoML answers: the probes that are not the gateway's, and the schema that BentoML's client reads.
_BENTOML_PATHS = frozenset({"/livez", "/healthz", "/schema.json"})

#: Pages that change with the model only.
_DOCUMENTS = frozenset({"/model", "/docs.json"})

#: The values of smaller bodies are not counted: they are too few to matter.
_MAX_UNCOUNTED_BYTES = 16_384

#: A response: its status, media type and body.
Response = tuple[int, bytes, bytes]

R = TypeVar("R")


class Gateway:
    """Answers the service's own routes, the web page, and the routes of the protocols in the settings.

    Its own routes are ``POST /predict``, ``GET /model``, ``GET /docs.json``, ``GET /metrics`` and ``GET /readyz``.

    Args:
        app: BentoML's application, which answers the probes, the schema for its client, and other services.
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
        self._access_log = AccessLog(predictor.metrics, settings, keys, predictor.listeners)
        protocols = [*create_protocols(settings.protocols, predictor), *_feedback(predictor)]
        self._find_route = build_router([WebPage(predictor), *protocols])
        document = openapi.document(
            predictor.artifact,
            keys is not None,
            protocols,
            ignores_unknown_fields=predictor.ignores_unknown_fields,
            row_id=predictor.row_id,
        )
        self._document = document
        self._pages: dict[str, Callable[[], Response]] = {
            "/model": cache(lambda: (200, JSON, msgspec.json.encode(_describe_model(predictor)))),
            "/docs.json": cache(lambda: (200, JSON, msgspec.json.encode(document))),
            "/metrics": self._metrics,
            "/readyz": self._readiness,
        }
        self._own_paths = frozenset() if is_dependency() else frozenset({"/predict", *self._pages})
        self._entry: App = self._answer
        self._is_direct = False

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
        elif self._own_paths and middleware.is_outermost(self, application):
            self._application = application
            self._is_direct = True
            connection.use_directly(self._answer_directly)

    async def _answer_directly(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a connection that skips BentoML's application, which would only put itself into the scope."""
        scope["app"] = self._application
        await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._own_paths:
            path = scope["path"]
            match = None if path in self._own_paths else self._find_route(scope["method"], path)
            if path not in _BENTOML_PATHS or not self._is_authorized(scope, dict(scope["headers"]), match):
                return await self._respond(scope, receive, send, match)
            send = self._wrap_send(scope, send)
        return await self.app(scope, receive, send)

    async def _respond(self, scope: Scope, receive: Receive, send: Send, match: RouteMatch | None) -> None:
        """Answer a request: authorize it, compute the response or the error, count and log it, and send it."""
        request_headers: Headers = dict(scope["headers"])
        record = RequestRecord(request_headers, headers.request_id(request_headers))
        current_request.set(record)
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
                status, media_type, body = self._get_page(scope, request_headers, response_headers)
        except ClientDisconnected:
            status, media_type, body = CLIENT_CLOSED_REQUEST, _TEXT, b""
        except Exception as error:
            refusal = self._access_log.refusal(record, error)
            reply = _error_reply(refusal, record.request_id.decode(), match)
            status, media_type, body = reply.status, reply.media_type, reply.body
            response_headers += [*problem_details.headers(refusal), *reply.headers]
        self._access_log.write(record, self._endpoint(scope, match), status)
        response_headers.append((b"content-type", media_type))
        if media_type.decode() in headers.TABLE_MEDIA_TYPES:
            response_headers.append((b"x-model", self._predictor.artifact.tag.encode()))
        if len(body) >= MIN_COMPRESSED_BYTES:
            response_headers.append((b"vary", b"Accept-Encoding"))
            if encoding := accepted_encoding(request_headers.get(b"accept-encoding", b"")):
                response_headers.append((b"content-encoding", encoding.encode()))
                body = await asyncio.to_thread(compress, body, encoding)
        asgi.add_length(status, response_headers, body)
        http_connection = scope.get(CONNECTION_KEY) if self._is_direct else None
        if http_connection is None or not http_connection.respond(status, response_headers, body):
            await asgi.respond(send, status, response_headers, body)

    # Predictions

    async def _predict(self, scope: Scope, request_headers: Headers, receive: Receive) -> Response:
        """Answer ``POST /predict``."""
        if scope["method"] != "POST":
            raise MethodNotAllowed("POST")
        media_type = headers.media_type(request_headers, scope["headers"])
        response_media_type = headers.accepted_media_type(request_headers)
        with_warnings = query.flag(scope["query_string"], "warnings") if scope["query_string"] else False
        if with_warnings and response_media_type != formats.JSON:
            raise NotAcceptable("a table has no place for `warnings`: accept application/json, or leave `warnings` out")

        async def answer(body: bytes) -> Response:
            content = await self._predictor.answer(body, media_type, response_media_type, with_warnings=with_warnings)
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
            text = scope["query_string"].decode("latin-1")
            return await route.handler(Request(method, match.path_parameters, text, request_headers, body))

        if method in _BODILESS_METHODS:
            return await answer(b"")
        text_length = match.protocol.text_length(request_headers)
        return await self._within_deadline(answer, scope, request_headers, receive, text_length)

    async def _within_deadline(
        self,
        answer: Callable[[bytes], Awaitable[R]],
        scope: Scope,
        request_headers: Headers,
        receive: Receive,
        text_length: int | None = None,
    ) -> R:
        """Read the body and answer it, within the limits of the model and the time that the client allows.

        The values of the first ``text_length`` bytes are counted; None for the whole body.
        """
        headers.check_length(request_headers, self._limits.body_bytes)
        seconds = headers.timeout_seconds(request_headers, self._limits.timeout_seconds)
        body = None
        try:
            with (
                self._predictor.memory.request(),
                self._predictor.deadlines.within(seconds, scope.get(CONNECTION_KEY)),
            ):
                body_bytes = headers.possible_bytes(request_headers, self._limits.body_bytes)
                if refusal := self._predictor.refusal(seconds, body_bytes):
                    raise refusal
                body = await self._read_body(request_headers, receive)
                if len(body) > _MAX_UNCOUNTED_BYTES:
                    await self._reserve_values(request_headers, body[:text_length])
                return await answer(body)
        except TimeoutError:
            raise _timeout_error(seconds, has_body=body is not None) from None

    async def _read_body(self, request_headers: Headers, receive: Receive) -> bytes:
        body = await asgi.read(receive, self._limits.body_bytes)
        encoding = request_headers.get(b"content-encoding", b"identity").decode("latin-1").lower()
        if encoding == "identity":
            return body
        return await asyncio.to_thread(decompress, body, encoding, self._limits.body_bytes)

    async def _reserve_values(self, request_headers: Headers, body: bytes) -> None:
        """Reserve the memory of the values of a text. The size of a table in binary is that of its values.

        Most protocols read JSON whatever Content-Type says, so JSON is counted under each. The parts of a form with
        files are counted by the protocol that reads them.
        """
        media_type = parse_media_type(request_headers.get(b"content-type", JSON)).name
        is_binary = media_type in (*headers.TABLE_MEDIA_TYPES, "multipart/form-data") or is_image_file(body)
        if not is_binary or body.lstrip()[:1] in (b"{", b"["):
            await self._predictor.background.run(self._predictor.value_counter.reserve, body)

    # The other routes

    def _get_page(
        self, scope: Scope, request_headers: Headers, response_headers: list[tuple[bytes, bytes]]
    ) -> Response:
        """Return a page, and add the headers with which clients keep a document until it changes (RFC 9111)."""
        if scope["path"] not in self._pages:
            raise NotFound(UNKNOWN_PATH)
        if scope["method"] not in ("GET", "HEAD"):
            raise MethodNotAllowed("GET, HEAD")
        path = scope["path"]
        status, media_type, body = self._pages[path]()
        if path not in _DOCUMENTS:
            return status, media_type, body
        if path == "/docs.json":
            response_headers.append((b"vary", b"X-Forwarded-Prefix"))
            if prefix := headers.path_prefix(request_headers):
                body = msgspec.json.encode(self._document | {"servers": openapi.servers(prefix)})
        tag = headers.entity_tag(body)
        response_headers += [(b"etag", tag), (b"cache-control", b"no-cache")]
        is_known = headers.matches_tag(request_headers, tag)
        return (304, media_type, b"") if is_known else (status, media_type, body)

    def _metrics(self) -> Response:
        self._predictor.show_life()
        return 200, CONTENT_TYPE_LATEST.encode(), self._predictor.metrics.text()

    def _readiness(self) -> Response:
        """Return 200 also while a fallback answers: its answers are the same, so refusing requests has no benefit."""
        if not self._predictor.ready:
            return 503, _TEXT, b"not ready\n"
        if unavailable := self._predictor.unavailable:
            return 503, _TEXT, f"unavailable: {unavailable}\n".encode()
        degraded = self._predictor.degraded
        return 200, _TEXT, f"degraded: {degraded}\n".encode() if degraded else b"ready\n"

    def _wrap_send(self, scope: Scope, send: Send) -> Send:
        """Return a ``send`` for BentoML that counts and logs its responses, and adds the request id to them.

        A plain 405 is replaced by a problem.
        """
        request_headers: Headers = dict(scope["headers"])
        record = RequestRecord(request_headers, headers.request_id(request_headers))
        current_request.set(record)
        is_replaced = False

        async def forward(message: Message) -> None:
            nonlocal is_replaced
            if message["type"] == "http.response.start":
                is_replaced = message["status"] == 405
                if is_replaced:
                    record.error = _replacement(message)
                self._access_log.write(record, self._endpoint(scope), message["status"])
                if record.error:
                    await _send_problem(send, record.error, record.request_id)
                else:
                    message["headers"] = [*message.get("headers", ()), (b"x-request-id", record.request_id)]
            if not is_replaced:
                await send(message)

        return forward

    # Every route

    def _is_authorized(self, scope: Scope, request_headers: Headers, match: RouteMatch | None) -> bool:
        is_public = match.route.is_public if match else scope["path"] in openapi.HEALTH_PATHS
        return self._keys is None or is_public or self._keys.allow(request_headers)

    def _endpoint(self, scope: Scope, match: RouteMatch | None = None) -> Endpoint:
        """Return what a request is for. Unknown paths share one route, so that labels of metrics stay few."""
        if match:
            return Endpoint(match.protocol.name, match.route.path, scope["method"], match.route.is_public)
        path: str = scope["path"]
        route = path if path in self._own_paths or path in openapi.HEALTH_PATHS else "other"
        return Endpoint("native", route, scope["method"], route in _PROBE_PATHS)


def _feedback(predictor: Predictor) -> list[Protocol]:
    """Return the route for labels, if traffic is captured. The truth of several numbers is not one label."""
    if predictor.capture is None or isinstance(predictor.artifact.contract.output, VectorOutput):
        return []
    from model_deployer.serving.protocols.feedback import Feedback  # noqa: PLC0415 (it loads Arrow)

    return [Feedback(predictor, predictor.capture)]


def _error_reply(error: RequestError, request_id: str, match: RouteMatch | None) -> Reply:
    """Return the response for an error: a problem document, or the error format of the client's protocol."""
    return problem_reply(error, request_id) if match is None else match.protocol.refusal(error, request_id)


def _replacement(message: Message) -> RequestError:
    """Return the error for a plain 405 of BentoML."""
    return MethodNotAllowed(dict(message.get("headers", ())).get(b"allow", b"").decode("latin-1"))


async def _send_problem(send: Send, error: RequestError, request_id: bytes) -> None:
    response_headers = [(b"content-type", _PROBLEM), (b"x-request-id", request_id), *problem_details.headers(error)]
    body = problem_details.encode_problem(error, request_id.decode())
    asgi.add_length(error.status, response_headers, body)
    await asgi.respond(send, error.status, response_headers, body)


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
