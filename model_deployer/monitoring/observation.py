"""What a monitor observed in captured traffic, as a document."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Literal

from model_deployer.contract.document import JsonObject
from model_deployer.contract.number_format import percent
from model_deployer.contract.unit_spread import Dispersion

#: The groups of tests that have a part of the budget of false alarms.
TestGroup = Literal["risk", "fields", "predictions", "combinations", "calibration"]

#: What is wrong with the values of a field: they are missing; the table does not have them; they are out of the range
#: of the contract; all are the same; they are in another unit; or the service refuses them. Or no request arrives.
FaultName = Literal["missing", "unknown", "out of range", "constant", "unit", "refused", "stopped"]

#: Whether the live risk keeps its promise: ``quiet`` if it does; ``unclear`` if the last days are above the limit, as
#: chance may still explain; ``above`` if it does not, within the budget of false alarms; ``unknown`` without enough
#: labels.
RiskState = Literal["quiet", "unclear", "above", "unknown"]


class Interval(JsonObject):
    """An estimate with its interval.

    Attributes:
        value: The estimate.
        low, high: The ends of its interval; None if they are not known.
    """

    value: float
    low: float | None
    high: float | None


class Alarm(JsonObject):
    """Evidence that reached the limit of its budget.

    Attributes:
        group: The group of the test.
        name: What moved: fields, predictions, or the name of a loss.
        raised: The day after which the evidence reached its limit.
        since: The day with which the change most probably began.
        is_over: Whether the last days are as before again.
        text: The same as a sentence.
    """

    group: TestGroup
    name: str
    raised: date
    since: date
    is_over: bool
    text: str


class DataFault(JsonObject):
    """Values of a field, or whole requests, that are broken.

    Attributes:
        field: The name of the field; empty for whole requests.
        fault: What is wrong.
        since: The day with which it most probably began; None if it is not known.
        share: The share of the rows that are affected, from 0 to 1; of requests for ``refused``.
        text: The same as a sentence.
    """

    field: str
    fault: FaultName
    since: date | None
    share: float
    text: str


class Movement(JsonObject):
    """How a field or prediction differs from the table.

    Attributes:
        name: The name of the field, or the tensor and column of the prediction.
        about: A description for people.
        log10_e: The common logarithm of the e-value: 2 means that a bet on a change has multiplied its stake by 100.
        has_moved: Whether it is named as moved, within the budget of false alarms.
        is_over: Whether it moved, and the last days are as before again.
        since: The day with which the change most probably began; None if it has not moved.
        dispersion: ``units`` if the table shows how far its days differ; ``unknown`` if a wide default is used.
        bin: The bin that moved most.
        is_higher: Whether its share is above what is expected; below otherwise.
        share: The share of this bin since then, from 0 to 1.
        expected: The lowest and highest share of this bin on days like those of the table.
        then: The share of each bin in the table.
        now: The share of each bin since the change, or in the last week.
        outside: The share of the values of the last week that are below the lowest or above the highest of the table;
            None if it is not a number whose values are captured.
    """

    name: str
    about: str
    log10_e: float
    has_moved: bool
    is_over: bool
    since: date | None
    dispersion: Dispersion
    bin: str
    is_higher: bool
    share: float
    expected: tuple[float, float]
    then: Mapping[str, float]
    now: Mapping[str, float]
    outside: float | None

    @property
    def text(self) -> str:
        """What moved, as a sentence without a full stop."""
        low, high = self.expected
        return (
            f"{self.about}: '{self.bin}' has {percent(self.share)} of the rows, and "
            f"{percent(low)} to {percent(high)} on days like those of the table"
        )


class CombinationShift(JsonObject):
    """Two fields whose values do not occur together as in the table.

    Attributes:
        fields: The names of the fields.
        about: What is correlated, for people: the values of a number, or a value of a category.
        correlation: The correlation since the change, from -1 to 1.
        expected: The lowest and highest correlation in the weeks of the table, with a margin.
    """

    fields: tuple[str, str]
    about: str
    correlation: float
    expected: tuple[float, float]

    @property
    def text(self) -> str:
        """What moved, as a sentence without a full stop."""
        low, high = self.expected
        return (
            f"{self.about} have a correlation of {self.correlation:.2f}, and {low:.2f} to {high:.2f} in weeks like "
            "those of the table"
        )


class LiveCombinations(JsonObject):
    """Whether values occur together as they do in the table, whatever each field does alone.

    Attributes:
        reason: Why that is not known; None if it is.
        fields: The names of the fields that are compared.
        days: The number of days that count: those with enough rows.
        rows_a_day: The rows of a day that are compared.
        table_days: The days of the table that they are compared with.
        has_moved: Whether the combinations moved, within the budget of false alarms.
        is_over: Whether they moved, and the last days are as before again.
        since: The day with which the change most probably began; None if they have not moved.
        log10_e: The common logarithm of the e-value against "days of the table and live days are exchangeable"; at its
            alarm if there is one.
        shifts: The pairs of fields that moved most since then.
        scores: The score of each day that counts: how unusual its most unusual correlation is, in units of the noise of
            days.
        usual_score: The score that 95 % of the days of the table do not exceed; None if it is not known.
    """

    reason: str | None
    fields: tuple[str, ...] = ()
    days: int = 0
    rows_a_day: int = 0
    table_days: int = 0
    has_moved: bool = False
    is_over: bool = False
    since: date | None = None
    log10_e: float = 0.0
    shifts: tuple[CombinationShift, ...] = ()
    scores: tuple[tuple[date, float], ...] = ()
    usual_score: float | None = None

    @property
    def is_current(self) -> bool:
        """Whether they moved, and are not as before again."""
        return self.has_moved and not self.is_over


class SeparatingField(JsonObject):
    """A field that tells live rows from rows of the table.

    Attributes:
        name: The name of the field.
        drop: How much the AUC falls if its values are shuffled.
    """

    name: str
    drop: float


class Separation(JsonObject):
    """How well a classifier tells the rows of the last week from rows of the table, over all fields together.

    Attributes:
        reason: Why that is not known; None if it is.
        auc: The area under the ROC curve, with its interval: 0.5 if the rows are alike, 1 if they never are.
        usual: The same for the last week of the table and its other weeks; None if that is not known.
        fields: The fields that matter most, the most important first.
    """

    reason: str | None
    auc: Interval | None = None
    usual: float | None = None
    fields: tuple[SeparatingField, ...] = ()


class LiveRisk(JsonObject):
    """The live performance by labels, against the promise of the evaluation.

    Attributes:
        loss: What is counted: ``cost``, ``error`` (the share of wrong decisions), ``absolute error`` or ``pinball``.
        state: Whether the promise is kept.
        reason: Why the state is unknown; None if it is known.
        promised: The value of the evaluation; None if it was not measured.
        limit: The highest value that keeps the promise, with the uncertainty of the evaluation.
        live: The mean of all days that count, with an interval that holds at any look; None without any.
        recent: The mean of the last two weeks of these days; None without any.
        since: The day with which the promise was most probably broken; None if it is kept.
        last: The last day that counts; None without any.
        days: The number of days that count: almost all labels that are to be expected have arrived.
        rows: The number of their labelled rows.
        log10_e: The common logarithm of the e-value against "the promise is kept".
        training: The cost of a training in the unit of ``cost``; None if model.yaml does not state it.
    """

    loss: str
    state: RiskState
    reason: str | None
    promised: float | None
    limit: float | None
    live: Interval | None
    recent: float | None
    since: date | None
    last: date | None
    days: int
    rows: int
    log10_e: float
    training: float | None = None


class LiveCalibration(JsonObject):
    """Whether the probabilities of two labels still mean what they say, and still rank.

    Attributes:
        has_shifted: Whether they do not mean it any more, within the budget of false alarms.
        since: The day with which that most probably began; None if it has not.
        bias: The share of the label of interest minus the mean probability.
        slope: The slope of the label's log odds over the predicted ones: below 1 if probabilities are too extreme; None
            with too few labels.
        auc: The live area under the ROC curve; None if it is not known.
        promised_auc: That of the evaluation.
        ranking: Whether the live one is as high as promised.
        log10_e: The common logarithm of the e-value against "calibrated".
    """

    has_shifted: bool
    since: date | None
    bias: Interval
    slope: Interval | None
    auc: Interval | None
    promised_auc: float
    ranking: Literal["held", "worse", "not known yet"]
    log10_e: float


class EstimatedRisk(JsonObject):
    """The performance of the last two weeks without labels, from calibrated probabilities.

    Attributes:
        loss: ``cost`` or ``error``.
        estimate: The estimate; None if there is none.
        reason: Why there is none.
        rows: The number of these rows.
        periods, covered: The number of earlier periods of two weeks whose estimate can be compared with their labels,
            and of those whose interval contained the value.
    """

    loss: str
    estimate: Interval | None
    reason: str | None
    rows: int
    periods: int
    covered: int


class SliceRisk(JsonObject):
    """The live risk of the rows of a slice that has more errors than expected.

    Attributes:
        slice: The condition, as in evaluation.json: ``origin = JFK``, ``distance from 0 to 500 and night = true``.
        rows: The number of labelled rows.
        live: The mean loss of these rows, with an interval for one look.
        gap: The difference from the loss that the model's own probabilities expect of these rows, as a share of it; of
            a quantity, from the mean of all rows.
    """

    slice: str
    rows: int
    live: Interval
    gap: float


class LabelShare(JsonObject):
    """The share of a label, as the predictions of the last week suggest it before labels arrive.

    Attributes:
        label: The label.
        before: The share among the labelled rows of earlier days.
        now: The estimated share.
    """

    label: str
    before: float
    now: Interval


class Labels(JsonObject):
    """The labels that came in.

    Attributes:
        received: All labels.
        rows, labelled: The number of captured rows, and of those with a label.
        corrected: The labels that a later, different one replaced.
        unmatched: The labels whose row was not captured, or is not in the time that was read.
        median_days: The days within which half of the labels arrive; None without labels.
        delays: The share of rows with a label by the days since the prediction: pairs of days and share.
        expected: The number of labels that are still to be expected for rows without one.
    """

    received: int
    rows: int
    labelled: int
    corrected: int
    unmatched: int
    median_days: float | None
    delays: tuple[tuple[float, float], ...]
    expected: float


class DayRecord(JsonObject):
    """A day of the timeline.

    Attributes:
        day: The day.
        rows: The rows that were answered, estimated from the captured ones by their weights, by version.
        refused: The requests that were refused.
        labelled: The number of labelled rows of the version that is watched.
        risk: The mean loss of these; None without any.
        prediction: The mean of the main prediction of that version; None without rows.
    """

    day: date
    rows: Mapping[str, float]
    refused: int
    labelled: int
    risk: float | None
    prediction: float | None


class TrafficSummary(JsonObject):
    """The traffic that was read.

    Attributes:
        first, last: The first and the last complete day; None if there is none.
        days: The number of complete days.
        captured: The number of captured rows of these days.
        rows_a_day: The mean number of rows that the version answered on these days.
        lost: The rows that killed servers had not written.
        future: The rows that were left out because their time is in the future.
    """

    first: date | None
    last: date | None
    days: int
    captured: int
    rows_a_day: float
    lost: int
    future: int


class Observation(JsonObject):
    """What a monitor observed.

    Attributes:
        made: The time of the observation.
        traffic: The traffic that was read.
        alpha: The largest probability of any false alarm in a year, all tests together.
        budget: The part of each group of tests.
        alarms: The alarms, in order of time.
        faults: The fields whose values are broken.
        fields: The fields that are watched, the largest e-value first.
        predictions: The predictions that are watched, the largest e-value first.
        combinations: Whether values occur together as in the table.
        separation: Which way the last week moved, over all fields together; None as long as nothing moved.
        unwatched: Why each of the other fields is not watched.
        regime: The share of the rows of the last week in which any number is outside of the table's range; None if no
            number is captured.
        labels: The labels.
        risk: The live performance.
        calibration: The calibration; None without enough labels, or unless there are two labels.
        estimated: The performance without labels; None unless there are two labels.
        slices: The slices with the highest live risk.
        label_shift: The shares of labels that predictions suggest; empty if they do not say.
        timeline: The days from the first one with traffic of any version.
    """

    made: datetime
    traffic: TrafficSummary
    alpha: float
    budget: Mapping[str, float]
    alarms: tuple[Alarm, ...]
    faults: tuple[DataFault, ...]
    fields: tuple[Movement, ...]
    predictions: tuple[Movement, ...]
    combinations: LiveCombinations
    separation: Separation | None
    unwatched: Mapping[str, str]
    regime: float | None
    labels: Labels
    risk: LiveRisk
    calibration: LiveCalibration | None = None
    estimated: EstimatedRisk | None = None
    slices: tuple[SliceRisk, ...] = ()
    label_shift: tuple[LabelShare, ...] = ()
    timeline: tuple[DayRecord, ...] = ()
