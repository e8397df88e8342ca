"""The interface of what captures answered and refused requests."""

from typing import NamedTuple, Protocol

from model_deployer.contract.errors import RequestError
from model_deployer.serving.capture.row_sampler import Sample
from model_deployer.serving.engines.batching import Arrays
from model_deployer.serving.rows.columns import Table
from model_deployer.serving.rows.decoding import Rows


class TakenRows(NamedTuple):
    """The rows of one request, as the model got them, with the sample that a listener took.

    Attributes:
        listener: The listener.
        rows: The validated rows, all of them.
        outputs: The graph's output tensors, [rows, n] each.
        time: When the model answered them, in seconds since 1970.
        degraded: Whether a fallback answered.
        sample: Those that are taken.
    """

    listener: "TrafficListener"
    rows: Rows
    outputs: Arrays
    time: float
    degraded: bool
    sample: Sample

    @property
    def size(self) -> int:
        """The number of rows that are taken."""
        return len(self.sample.indices)

    @property
    def taken_rows(self) -> Rows:
        """The rows that are taken."""
        if self.size == len(self.rows):
            return self.rows
        if isinstance(self.rows, Table):
            return Table({name: array[self.sample.indices] for name, array in self.rows.columns.items()})
        return [self.rows[index] for index in self.sample.indices.tolist()]

    @property
    def taken_outputs(self) -> Arrays:
        """The outputs of the rows that are taken."""
        if self.size == len(self.rows):
            return self.outputs
        return {name: array[self.sample.indices] for name, array in self.outputs.items()}


class AnsweredRequest(NamedTuple):
    """An answered request with rows that a listener took.

    Attributes:
        request_id: Its id.
        protocol: The protocol of the client.
        seconds: The time from the request to its answer.
        taken: The rows.
    """

    request_id: str
    protocol: str
    seconds: float
    taken: TakenRows


class TrafficListener(Protocol):
    """Is called in the event loop, before a request is answered: it must not take time."""

    def take(self, rows: Rows, outputs: Arrays, degraded: bool) -> TakenRows | None:
        """Choose rows of a request that the model has answered; None for none of them.

        Args:
            rows: Its validated rows.
            outputs: The graph's output tensors, [rows, n] each.
            degraded: Whether a fallback answered.
        """

    def add(self, request: AnsweredRequest) -> None:
        """Keep the rows that were taken: their answer is about to be sent."""

    def add_refusal(self, request_id: bytes, protocol: str, seconds: float, error: RequestError) -> None:
        """Keep a refused request.

        Args:
            request_id: Its id.
            protocol: The protocol of the client.
            seconds: The time from the request to its answer.
            error: The error that it was answered with.
        """
