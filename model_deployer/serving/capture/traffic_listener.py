"""The interface of what captures answered and refused requests."""

from collections.abc import Sequence
from typing import Protocol

from typing_extensions import override

from model_deployer.contract.errors import RequestError
from model_deployer.serving.capture.answered_rows import answered_rows


class TrafficListener(Protocol):
    """Is called in the event loop, in the context of the request, before its answer is sent: it must not take time."""

    def add(self, request_id: bytes, protocol: str, seconds: float) -> None:
        """Take an answered request; its rows are in :mod:`serving.capture.answered_rows`.

        Args:
            request_id: Its id.
            protocol: The protocol of the client.
            seconds: The time from the request to its answer.
        """

    def add_refusal(self, request_id: bytes, protocol: str, seconds: float, error: RequestError) -> None:
        """Take a refused request; otherwise as :meth:`add`.

        Args:
            request_id: Its id.
            protocol: The protocol of the client.
            seconds: The time from the request to its answer.
            error: The error that it was answered with.
        """


class TrafficListeners(TrafficListener):
    """Passes requests on to several listeners.

    Args:
        listeners: The listeners.
    """

    def __init__(self, listeners: Sequence[TrafficListener]) -> None:
        self._listeners = listeners

    @override
    def add(self, request_id: bytes, protocol: str, seconds: float) -> None:
        for listener in self._listeners:
            listener.add(request_id, protocol, seconds)
        answered_rows.set(None)  # the context of an idle connection must not keep the rows in memory

    @override
    def add_refusal(self, request_id: bytes, protocol: str, seconds: float, error: RequestError) -> None:
        for listener in self._listeners:
            listener.add_refusal(request_id, protocol, seconds, error)
