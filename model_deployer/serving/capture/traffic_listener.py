"""The interface of what captures answered and refused requests."""

from typing import Protocol

from model_deployer.contract.errors import RequestError


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
