"""ASGI, the interface between a server and an application: its types, reading a body, sending a response.

https://asgi.readthedocs.io/en/latest/specs/www.html
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from model_deployer.contract.errors import BodyTooLarge
from model_deployer.serving import memory
from model_deployer.serving.http.deadlines import ClientDisconnected

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


async def read(receive: Receive, limit: int) -> bytes:
    """Read the body of a request, and reserve its memory as it arrives.

    Args:
        receive: The request's ASGI channel.
        limit: The maximum number of bytes.

    Raises:
        BodyTooLarge: if the body has more than ``limit`` bytes; no more of them are kept in memory.
        Overloaded: if the requests in progress take all memory that they may.
        ClientDisconnected: if the client disconnected before the body was complete.
    """
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body", False) or len(body) > limit or message["type"] == "http.disconnect":
        return await _read_chunks(message, receive, limit)
    memory.reserve(len(body))
    return body


async def _read_chunks(message: Message, receive: Receive, limit: int) -> bytes:
    body = bytearray()  # one block: chunks of many bodies would leave gaps in the heap as large as themselves
    while True:
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        chunk = message.get("body", b"")
        if len(body) + len(chunk) > limit:
            raise BodyTooLarge.over(limit)
        memory.reserve(len(chunk))
        body += chunk
        if not message.get("more_body", False):
            return bytes(body)
        message = await receive()


def add_length(status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    """Add Content-Length to the headers of a response, but not to those of 204 and 304 (RFC 9110, section 8.6)."""
    if status not in (204, 304):
        headers.append((b"content-length", b"%d" % len(body)))


async def respond(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    """Send a complete response; its headers include Content-Length."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
