"""The result of a replay as a document: everything that its page shows, and its trial."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from model_deployer.contract.document import JsonDocument, JsonObject
from model_deployer.contract.trial import Trial


class LeftOut(JsonObject):
    """Captured rows that were not asked again.

    Attributes:
        rows: Their number.
        reason: Why, as a sentence.
    """

    rows: int
    reason: str


class Reproduction(JsonObject):
    """Whether the champion gives the answers that were captured.

    Attributes:
        rows: The captured rows that the champion answered itself, without its fallback.
        differing: Those that it answers differently now, beyond rounding.
    """

    rows: int
    differing: int

    @property
    def is_exact(self) -> bool:
        """Whether all rows are answered as they were."""
        return self.differing == 0


class Flip(JsonObject):
    """Rows whose decision changes.

    Attributes:
        champion: The decision of the champion.
        candidate: The decision of the candidate.
        rows: The number of captured rows.
        share: Their share of all rows, weighted.
    """

    champion: str
    candidate: str
    rows: int
    share: float


class Changes(JsonObject):
    """How the answers change. Shares and means are weighted: a captured row stands for several rows.

    Attributes:
        rows: The rows that both models answer.
        flips: Those whose decision changes; None for a quantity.
        flip_share: Their share; None for a quantity.
        by_decision: The same by both decisions, the most frequent first.
        difference: What a difference is: of the probability of the label of interest, half the sum of the absolute
            differences of all probabilities, or of the value.
        mean: The mean difference, candidate minus champion.
        mean_size: The mean absolute difference.
        quantiles: Quantiles of the difference, by their share, such as ``0.5``.
        edges, shares: The histogram of the differences: the share of the rows between two edges.
    """

    rows: int
    flips: int | None
    flip_share: float | None
    by_decision: tuple[Flip, ...]
    difference: str
    mean: float
    mean_size: float
    quantiles: Mapping[str, float]
    edges: tuple[float, ...]
    shares: tuple[float, ...]


class RefusalReason(JsonObject):
    """A reason of refusals.

    Attributes:
        field: The field; None if it is the row as a whole.
        code: The code of the problem.
        rows: The rows with this problem.
        message: What the contract expects.
    """

    field: str | None
    code: str
    rows: int
    message: str


class Refusals(JsonObject):
    """Rows that one model answers and the other one refuses.

    Attributes:
        rows: The rows that the champion answers and the candidate refuses.
        share: Their share, weighted.
        reasons: Why, the most frequent reason first.
        of_champion: The captured rows that the champion itself refuses now; they are not compared.
    """

    rows: int
    share: float
    reasons: tuple[RefusalReason, ...]
    of_champion: int


class Progress(JsonObject):
    """The difference of a loss after some blocks.

    Attributes:
        blocks: The number of blocks.
        difference: The mean loss of the candidate minus that of the champion.
        low, high: The ends of its confidence sequence.
    """

    blocks: int
    difference: float
    low: float
    high: float


class LossComparison(JsonObject):
    """A loss of both models on the same labelled rows.

    Attributes:
        name: The loss: ``brier``, ``squared_error``, ``pinball``, ``error_rate`` or ``cost``.
        meaning: The same as a phrase.
        rows: The labelled rows.
        blocks: The number of blocks of rows; each is one observation.
        champion, candidate: The mean loss, weighted.
        difference: Candidate minus champion.
        low, high: The ends of its confidence sequence, which holds at any look.
        tolerance: How much larger the candidate's loss may be.
        verdict: ``better``, ``worse`` or ``not known yet``.
        needed_rows: The labelled rows that a verdict takes in about, those that there are included; None if there is
            one, or if it cannot be estimated.
        progress: The difference as the labels came.
    """

    name: str
    meaning: str
    rows: int
    blocks: int
    champion: float
    candidate: float
    difference: float
    low: float
    high: float
    tolerance: float
    verdict: Literal["better", "worse", "not known yet"]
    needed_rows: int | None
    progress: tuple[Progress, ...]


class Latency(JsonObject):
    """The time of the answers of a running server, and the recorded one of the same requests, in milliseconds.

    Attributes:
        requests: The requests that were sent.
        failures: Those without an answer, or with an error that is not about their rows.
        speed: How many times faster than recorded they were sent.
        p50, p99: Quantiles of the time from when a request was due to its answer, as its client saw it.
        recorded_p50, recorded_p99: Quantiles of the time that the champion's server recorded.
        partial: The share of the requests with rows that were not captured, so that fewer rows were sent.
    """

    requests: int
    failures: int
    speed: float
    p50: float
    p99: float
    recorded_p50: float
    recorded_p99: float
    partial: float


class SliceChange(JsonObject):
    """How the answers change in a slice.

    Attributes:
        slice: The condition.
        rows: The rows in it that both models answer.
        flip_share: The share whose decision changes; None for a quantity.
        mean_size: The mean absolute difference.
        refusals: The rows that only the candidate refuses.
        labelled: The labelled rows.
        loss: The difference of the loss; None without labels.
        low, high: The ends of its confidence sequence; None if it has too few blocks.
    """

    slice: str
    rows: int
    flip_share: float | None
    mean_size: float
    refusals: int
    labelled: int
    loss: float | None
    low: float | None
    high: float | None


class Example(JsonObject):
    """A captured row with a large difference.

    Attributes:
        request_id: The id of its request.
        row: Its number in the request.
        time: When it was answered.
        champion, candidate: The predictions.
        difference: Their difference.
        label: What really happened; None if it is not known.
        fields: The fields that were captured with their values.
    """

    request_id: str
    row: int
    time: datetime
    champion: Mapping[str, Any]
    candidate: Mapping[str, Any]
    difference: float
    label: str | None
    fields: Mapping[str, Any]


class ReplayReport(JsonDocument):
    """The result of a replay.

    Attributes:
        trial: The verdict and its findings.
        first, last: The times of the first and the last row; None without rows.
        rows_read: The captured rows that were read.
        left_out: Those that were not asked again.
        block: What a block is: ``day``, ``hour``, ``request`` or a column.
        reproduction: Whether the champion gives the answers that were captured; None if no row of it was captured.
        changes: How the answers change; None if no row is answered by both.
        refusals: New refusals.
        losses: The losses that could be compared, the one that decides first.
        latency: The time of the answers; None without a server.
        slices: The changes in slices.
        examples: The largest differences.
        notes: What a reader has to know about the rows.
    """

    trial: Trial
    first: datetime | None
    last: datetime | None
    rows_read: int
    left_out: tuple[LeftOut, ...]
    block: str
    reproduction: Reproduction | None
    changes: Changes | None
    refusals: Refusals
    losses: tuple[LossComparison, ...]
    latency: Latency | None
    slices: tuple[SliceChange, ...]
    examples: tuple[Example, ...]
    notes: tuple[str, ...]
