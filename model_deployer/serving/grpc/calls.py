"""The handling of every gRPC call, as the gateway does it for HTTP: API key, deadline, errors, metrics and log."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, NamedTuple

import grpc
from google.protobuf.message import DecodeError

from model_deployer.contract.errors import DeadlineExceeded, MalformedBody, RequestError, Unauthorized
from model_deployer.serving import memory
from model_deployer.serving.config.settings import Settings
from model_deployer.serving.grpc import messages
from model_deployer.serving.grpc.element_count import ElementCounter
from model_deployer.serving.grpc.service import Method, Service
from model_deployer.serving.http import headers
from model_deployer.serving.http.access_log import CLIENT_CLOSED_REQUEST, AccessLog, Endpoint
from model_deployer.serving.http.headers import Headers
from model_deployer.serving.http.keys import ApiKeys
from model_deployer.serving.http.request_record import RequestRecord, current_request
from model_deployer.serving.predictor import Predictor
from model_deployer.serving.protocols import bodies

#: The maximum size of an error's text in bytes. It is sent in a header, where each byte may become three, and clients
#: accept 8 KiB of headers.
_MAX_TEXT_BYTES = 1_300

#: The maximum number of messages that are read at once. Messages take microseconds to read if they are small, or if
#: their clients are fast.
_MAX_READS = 4

#: Milliseconds after which gRPC clients that retry send the call again (gRPC proposal A6).
_RETRY_PUSHBACK_MS = "1000"


class _Target(NamedTuple):
    """A method that is called: the class of its request, and where it is counted."""

    method: Method
    request_type: Any
    endpoint: Endpoint


class Calls:
    """Handles the calls of one worker.

    Args:
        predictor: The predictor, whose limits and load apply to the calls.
        settings: The settings of the server.
        keys: The valid API keys; None if no key is required.
    """

    def __init__(self, predictor: Predictor, settings: Settings, keys: ApiKeys | None) -> None:
        self._predictor = predictor
        limits = predictor.artifact.contract.limits
        self._max_seconds, self._max_bytes = limits.timeout_seconds, limits.body_bytes
        self._elements = ElementCounter(predictor.artifact.contract)
        self._free_reads = asyncio.Semaphore(_MAX_READS)
        self._access_log = AccessLog(predictor.metrics, settings, keys, predictor.listeners)
        self._keys = keys
        self._active_calls = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def handler(self, service: Service) -> Any:
        """Return the handler of a service for a gRPC server.

        It parses messages itself: gRPC would report a message that cannot be parsed as an error of the server. It also
        reads them itself: the stream of one message that a client sends is the same on the wire, and the message of a
        client without a key is not read.
        """
        handlers = {}
        for name, (request_type, _) in messages.methods(service.name).items():
            method = service.methods[name]
            endpoint = Endpoint(service.protocol, name, is_probe=method.is_public)
            target = _Target(method, request_type, endpoint)
            handlers[name] = (
                grpc.stream_stream_rpc_method_handler(partial(self._stream, target))
                if method.is_stream
                else grpc.stream_unary_rpc_method_handler(partial(self._call, target))
            )
        return grpc.method_handlers_generic_handler(service.name, handlers)

    async def finish(self) -> None:
        """Wait until no call is in progress."""
        await self._idle.wait()

    async def _stream(self, target: _Target, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        response = await self._call(target, requests, context)
        if response is not None:
            yield response

    async def _call(self, target: _Target, requests: AsyncIterator[bytes], context: Any) -> bytes | None:
        """Return the response to a call; None if it is refused."""
        metadata = _headers(context)
        record = RequestRecord(metadata, headers.request_id(metadata))
        current_request.set(record)
        trailing_metadata = [("x-request-id", record.request_id.decode())]
        status, response = 200, None
        self._begin()
        try:
            response = await self._answer(target, requests, metadata, context)
        except asyncio.CancelledError:
            self._access_log.write(record, target.endpoint, CLIENT_CLOSED_REQUEST)
            raise
        except Exception as error:
            refusal = self._access_log.refusal(record, error)
            status = refusal.status
            context.set_code(grpc.StatusCode[refusal.grpc_status])
            context.set_details(_error_text(refusal, record))
            trailing_metadata += _error_metadata(refusal)
        finally:
            self._end()
        context.set_trailing_metadata(trailing_metadata)
        self._access_log.write(record, target.endpoint, status)
        return response

    async def _answer(self, target: _Target, requests: AsyncIterator[bytes], metadata: Headers, context: Any) -> bytes:
        if target.method.is_public:
            return _serialize(await target.method.answer(target.request_type()))
        if self._keys and not self._keys.allow(metadata):
            raise Unauthorized("send your API key in the metadata, as `authorization: Bearer KEY` or `x-api-key: KEY`")
        remaining_seconds = context.time_remaining()
        seconds = self._max_seconds if remaining_seconds is None else min(remaining_seconds, self._max_seconds)
        try:
            with self._predictor.memory.request(), self._predictor.deadlines.within(seconds):
                if target.method.is_inference and (refusal := self._predictor.refusal(seconds, body_bytes=0)):
                    raise refusal
                message = await self._read(requests)
                request = await self._predictor.background.run_if_large(
                    len(message), self._parse, message, target.request_type
                )
                return _serialize(await target.method.answer(request))
        except TimeoutError:
            raise DeadlineExceeded(seconds) from None

    async def _read(self, requests: AsyncIterator[bytes]) -> bytes:
        """Read a message, whose size is not known before, while memory for the largest one is reserved."""
        async with self._free_reads:
            with memory.borrow(self._max_bytes):
                return await anext(requests, b"")

    def _parse(self, message: bytes, request_type: Any) -> Any:
        self._elements.reserve(message, request_type.DESCRIPTOR)
        try:
            return request_type.FromString(message)
        except DecodeError:
            raise MalformedBody(f"expected a message {request_type.DESCRIPTOR.full_name}") from None

    def _begin(self) -> None:
        self._active_calls += 1
        self._idle.clear()

    def _end(self) -> None:
        self._active_calls -= 1
        if not self._active_calls:
            self._idle.set()


def _serialize(response: Any) -> bytes:
    content: bytes = response.SerializeToString()
    return content


def _headers(context: Any) -> Headers:
    """Return the metadata of a call as HTTP headers."""
    return {
        name.encode(): value if isinstance(value, bytes) else value.encode()
        for name, value in context.invocation_metadata()
    }


def _error_text(refusal: RequestError, record: RequestRecord) -> str:
    """Return the text of an error; a fault of the service ends with the request id to report."""
    text = bodies.error_text(refusal)
    if refusal.status == 500:
        text += f" {record.request_id.decode()}"
    return text.encode()[:_MAX_TEXT_BYTES].decode(errors="ignore")


def _error_metadata(refusal: RequestError) -> list[tuple[str, str]]:
    """Return the trailing metadata of an error: its code, and when to retry."""
    retry = [("grpc-retry-pushback-ms", _RETRY_PUSHBACK_MS)] if refusal.status == 503 else []
    return [("x-error-code", refusal.code), *retry]
