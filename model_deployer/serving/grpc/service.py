"""The interface of a protocol over gRPC: its services, and how each of their methods is called."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


class Method(NamedTuple):
    """A method of a service.

    Attributes:
        answer: Turns a request message into a response message; may raise a RequestError.
        is_public: Whether it needs no API key: orchestrators check health without one. Its request has no content, and
            is not read.
        is_inference: Whether it needs predictions: it is refused if the load is too high.
        is_stream: Whether its response is a stream, which has one message.
    """

    answer: Callable[[Any], Awaitable[Any]]
    is_public: bool = False
    is_inference: bool = False
    is_stream: bool = False


@dataclass(frozen=True)
class Service:
    """A service of a protocol.

    Attributes:
        name: Its name, with its package.
        protocol: The name of the protocol in the metrics.
        methods: Its methods by name. Clients learn that any other method does not exist.
    """

    name: str
    protocol: str
    methods: Mapping[str, Method]
