"""evaluation.json: how good a model is, on rows that it did not learn from, and how that was measured.

:class:`Evaluation` is the whole file. A part that was not measured is absent from the file, and None or empty here: a
model that was trained elsewhere has no candidates, and parts were added since the first models of this format.

Unless a field says otherwise, every figure is of the test part, and every interval holds 95 %. A *loss* is in the unit
of the task's loss (``LOSS`` of :mod:`contract.metric_catalog`): nats, the unit of the target, or that of the deviance.
Shares are from 0 to 1.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Tag

from model_deployer.contract.document import JsonDocument, JsonObject, by_key
from model_deployer.contract.metric_catalog import Task
from model_deployer.contract.number_format import number

#: The names in :attr:`Evaluation.metrics`: of the model itself, and of the simple models it is compared with.
MODEL, TRIVIAL, LINEAR = "model", "trivial", "linear"

#: How rows were divided into training, validation and test part.
SplitMethod = Literal["random", "stratified", "group", "time"]


class MetricValue(JsonObject):
    """A metric of one model.

    Attributes:
        value: On the test rows.
        low, high: The ends of its bootstrap interval.
    """

    value: float
    low: float
    high: float


class PartRows(JsonObject):
    """How many rows were in each part of the table.

    Attributes:
        train: Those that the model learnt from.
        validation: Those that chose and calibrated it.
        test: Those that judged it.
    """

    train: int
    validation: int
    test: int


class SliceResult(JsonObject):
    """How the model does on a part of the test rows that can be said in a phrase.

    Attributes:
        slice: The phrase: ``origin = JFK``, ``distance from 0 to 500 and night = true``.
        rows: How many test rows are in it.
        loss: The loss of these rows.
        gap: How far that is above the loss of all rows, as a share of it; negative where it is below.
        low, high: The interval of the loss; None with fewer than 10 rows.
        calibration_error: The mean gap between a probability and how often it comes true; of a quantity, how far the
            share of truths inside the interval (at or below the quantile) is from what is promised. None with fewer
            than 10 rows.
        calibration_chance: What chance alone makes of the calibration error at most; None with fewer than 10 rows.
        named: Whether model.yaml asks for it. Other slices are there because they are worse than the rest beyond
            chance.
        learnt: Whether the model sees the columns that define it.
    """

    slice: str
    rows: int
    loss: float
    gap: float
    low: float | None
    high: float | None
    calibration_error: float | None
    calibration_chance: float | None
    named: bool
    learnt: bool


class FeatureImportance(JsonObject):
    """How much a model needs one feature.

    Attributes:
        feature: Its name.
        rise: How much the loss rises when the values of the feature are shuffled: the mean of the repeats.
        spread: The standard deviation of the repeats.
    """

    feature: str
    rise: float
    spread: float


class Importance(JsonObject):
    """Permutation importance: what the model's answers depend on.

    Attributes:
        loss: The name of the metric that rises.
        value: The loss of the rows as they are.
        rows: How many test rows were used.
        repeats: How often each feature was shuffled.
        features: The most important first.
    """

    loss: str
    value: float
    rows: int
    repeats: int
    features: tuple[FeatureImportance, ...]


class MissingFeature(JsonObject):
    """What happens when one feature is null in every row.

    Attributes:
        feature: Its name.
        missing: The share of the rows in which it is null as they are.
        rise: How much the loss rises when it is null in all of them.
        change: How far the answer moves on average: for a classification half the sum of the absolute changes of the
            probabilities, for a quantity the absolute change of the value, in the unit of the target.
    """

    feature: str
    missing: float
    rise: float
    change: float


class MissingFeatures(JsonObject):
    """What the answers become where a feature that may be null is null.

    Attributes:
        loss: The name of the metric that rises.
        value: The loss of the rows as they are.
        rows: How many test rows were used.
        features: Those that may be null, the most needed first; empty where every feature is required.
    """

    loss: str
    value: float
    rows: int
    features: tuple[MissingFeature, ...]


class ReliabilityBin(JsonObject):
    """Test rows with similar answers.

    Attributes:
        rows: How many there are.
        predicted: The mean of their predicted probabilities, or of their values in the unit of the target.
        observed: The share of them in which the prediction came true, or the promise was kept.
        low, high: The interval of ``observed``.
    """

    rows: int
    predicted: float
    observed: float
    low: float
    high: float


class SetSize(JsonObject):
    """How often a set has a certain size.

    Attributes:
        labels: The number of labels in the set.
        share: The share of the test rows whose set has that many.
    """

    labels: int
    share: float


class LabelCoverage(JsonObject):
    """How often the sets hold one label where it is the truth.

    Attributes:
        label: The true label.
        rows: How many test rows have it.
        observed: The share of them whose set holds it.
        low, high: The interval of ``observed``.
    """

    label: str
    rows: int
    observed: float
    low: float
    high: float


class SetCoverage(JsonObject):
    """Whether the sets of labels hold the truth as often as promised.

    Attributes:
        coverage: The promised share of all cases.
        sizes: By ascending number of labels.
        labels: The labels that are most surely missed first.
    """

    coverage: float
    sizes: tuple[SetSize, ...]
    labels: tuple[LabelCoverage, ...]


class ProbabilityReliability(JsonObject):
    """Of a classification: whether probabilities come true as often as they say.

    Attributes:
        label: The label whose probability it is: the second of two. None with more labels: the likeliest of each row.
        bins: Tenths of the test rows, by ascending probability.
        sets: Of the sets of labels; None where predictions carry no set.
    """

    label: str | None
    bins: tuple[ReliabilityBin, ...]
    sets: SetCoverage | None = None

    @property
    def promised(self) -> None:
        """The share that is promised of every bin: none, since each probability is a promise of its own."""
        return None


class IntervalReliability(JsonObject):
    """Of a quantity: whether intervals hold the truth as often as promised.

    Attributes:
        coverage: The promised share of all cases.
        bins: Fifths of the test rows, by ascending value.
    """

    coverage: float
    bins: tuple[ReliabilityBin, ...]

    @property
    def promised(self) -> float:
        """The share that is promised of every bin."""
        return self.coverage


class QuantileReliability(JsonObject):
    """Of a quantile: whether the truth is at or below the value as often as promised.

    Attributes:
        share_below: The promised share of all cases.
        bins: Fifths of the test rows, by ascending value.
    """

    share_below: float
    bins: tuple[ReliabilityBin, ...]

    @property
    def promised(self) -> float:
        """The share that is promised of every bin."""
        return self.share_below


Reliability = Annotated[
    Annotated[ProbabilityReliability, Tag("of probabilities")]
    | Annotated[IntervalReliability, Tag("of an interval")]
    | Annotated[QuantileReliability, Tag("of a quantile")],
    by_key({"label": "of probabilities", "coverage": "of an interval", "share_below": "of a quantile"}),
]


class CurvePoint(JsonObject):
    """A model that learnt from a share of the training rows.

    Attributes:
        rows: How many.
        loss: Its loss on the test rows.
        low, high: The interval of the loss.
    """

    rows: int
    loss: float
    low: float
    high: float


class LastGain(JsonObject):
    """What the last doubling of the training rows brought.

    Attributes:
        gain: By how much the loss fell; negative where it rose.
        low, high: Its interval. It is narrower than those of the points, since the test rows are the same; what another
            draw of the shares would change is in neither.
    """

    gain: float
    low: float
    high: float


class NextGain(JsonObject):
    """What twice the training rows may bring.

    Attributes:
        rows: Twice the rows of the training part.
        low, high: By how much the loss may fall, at least 0.
        measurable: Whether the last gain was more than chance makes.
    """

    rows: int
    low: float
    high: float
    measurable: bool


class LearningCurve(JsonObject):
    """How the loss falls as the training rows double, of a model that is fast to fit.

    Attributes:
        model: What was fitted: ``lightgbm``, or ``linear``.
        loss: The name of the metric.
        split: How shares grow: with ``time`` by earlier rows, with ``group`` by whole groups, else at random.
        rows: The rows of the training part. The last point has fewer where all of them would take too long.
        points: At least 3, by ascending rows.
        last: What the last doubling brought.
        next: What the next doubling may bring.
    """

    model: Literal["lightgbm", "linear"]
    loss: str
    split: SplitMethod
    rows: int
    points: tuple[CurvePoint, ...]
    last: LastGain
    next: NextGain

    @property
    def verdict(self) -> str:
        """Whether more rows would help, as a sentence without capital and full stop."""
        last, following, loss = self.last, self.next, self.loss.replace("_", " ")
        gain, low, high = (number(figure, 3) for figure in (last.gain, last.low, last.high))
        doubling = f"the last doubling, to {self.points[-1].rows:,} rows, lowered it by {gain} ({low} to {high})"
        if following.measurable:
            ends = f"{number(following.low, 3)} to {number(following.high, 3)}"
            return f"{following.rows:,} rows in place of {self.rows:,} may lower the {loss} by {ends}: {doubling}"
        most = f", though up to {high} is possible" if following.high > 0 else ""
        return f"no measurable gain in {loss} from more rows{most}: {doubling}"


class UnmeasuredCurve(JsonObject):
    """A learning curve that was not measured.

    Attributes:
        reason: Why, as a sentence without capital and full stop.
    """

    reason: str

    @property
    def verdict(self) -> str:
        """The reason."""
        return self.reason


Curve = Annotated[
    Annotated[LearningCurve, Tag("measured")] | Annotated[UnmeasuredCurve, Tag("unmeasured")],
    by_key({"points": "measured", "reason": "unmeasured"}),
]


class CallTimes(JsonObject):
    """How long calls of the graph took.

    Attributes:
        p50, p99: The median and the 99th percentile, in milliseconds.
        calls: How many were measured.
    """

    p50: float
    p99: float
    calls: int


class Latency(JsonObject):
    """How long the graph alone takes to answer on the machine that trained it, and how large it is.

    Attributes:
        one_row_ms: Of a single row.
        batch_rows: The rows of a batch.
        batch_ms: Of a batch.
        us_per_row: Microseconds for one row of a batch, at the median.
        bytes: The size of model.onnx.
        threads: The threads of ONNX Runtime.
        onnxruntime: The version of ONNX Runtime.
        processor: The name of the processor, or its architecture.
    """

    one_row_ms: CallTimes
    batch_rows: int
    batch_ms: CallTimes
    us_per_row: float
    bytes: int
    threads: int
    onnxruntime: str
    processor: str


class BehaviourShift(JsonObject):
    """How far answers moved from the previous version, see :class:`contract.prediction_shift.PredictionShift`.

    Attributes:
        requests: How many golden requests of the previous version were compared.
        flips: How many decisions changed; None for a regression.
        largest, mean: The largest and the mean change of a request, in ``scale``.
        scale: What a change is divided by: 1 for probabilities, else a spread in the unit of the target.
        flipped: The golden cases whose decisions changed, the first 20 of them.
        since: ``name:version`` of the previous version.
        tolerance: The largest mean change, and share of flips, that a patch may have.
    """

    requests: int
    flips: int | None
    largest: float
    mean: float
    scale: float
    flipped: tuple[str, ...]
    since: str
    tolerance: float


Severity = Literal["info", "warning", "error"]


class Finding(JsonObject):
    """One thing about the table that the data scientist should know.

    Attributes:
        severity: ``error`` ends the run, ``warning`` should be looked at, ``info`` is for the record.
        column: The column it is about, or None for the table.
        code: A short name of the kind of finding, stable across versions.
        message: What was found and what to do.
    """

    severity: Severity
    column: str | None
    code: str
    message: str


class CandidateResult(JsonObject):
    """One model that was tried.

    Attributes:
        name: As in model.yaml, or the names of a network and another estimator with a plus between them.
        loss: What fitting minimises, on the validation rows; for a classification the log loss before calibration. It
            compares candidates with each other only.
        seconds: The time that fitting took.
        epochs: Of a network, passes over the training rows that were planned at most; None for others.
        batch_size: Of a network, rows of a step; None for others.
        rows: Of a network, the rows that it learnt from, those that are not held in memory included; None for others.
        trials: How many settings a search tried; None where there was no search.
        chosen: Whether it is the model.
    """

    name: str
    loss: float
    seconds: float
    epochs: int | None = None
    batch_size: int | None = None
    rows: int | None = None
    trials: int | None = None
    chosen: bool


class Epoch(JsonObject):
    """One pass of the network over the training rows.

    Attributes:
        epoch: Its number, from 1.
        train_loss, validation_loss: The mean loss of the rows, as the network learns it.
    """

    epoch: int
    train_loss: float
    validation_loss: float


class GateResult(JsonObject):
    """One condition of a model.yaml, and how the model meets it.

    Attributes:
        name: Its place in model.yaml: ``gates.metrics.log_loss``.
        asked: What is asked for, in words: ``at most 0.53``.
        found: What was measured; None where nothing could be.
        passed: Whether the model meets it.
        message: What was found and what is asked for, and if it is not met, by how much or why.
    """

    name: str
    asked: str
    found: float | None
    passed: bool
    message: str


class Evaluation(JsonDocument):
    """The whole of evaluation.json.

    Attributes:
        task: What is asked of the model.
        rows: How many rows taught, chose and judged it; None where they are not known.
        split: How these rows were divided; None where that is not known.
        refitted: Whether the chosen model learnt from the validation rows too, once they had decided.
        calibrated: Whether probabilities were changed by a calibration.
        logarithm: Whether the logarithm of the target was learnt.
        parity: The largest difference between an output of the exported graph and of the trained model, on the test
            rows; None where it was not compared.
        metrics: By the name of a model (``MODEL``, ``TRIVIAL``, ``LINEAR``), by the name of a metric; a metric that the
            test rows say nothing about is left out. Empty where nothing was measured.
        slices: The most surely worse first; empty where none was asked for and none is worse beyond chance, None where
            none was looked for.
        importance: What the answers depend on; None where it was not measured.
        missing: What becomes of answers where a feature is null; None where it was not measured.
        reliability: Whether promises are kept; its kind depends on the task. None where it was not measured.
        curve: Whether more rows would help; None where that was not asked.
        latency: How fast the graph answers; None where it was not measured.
        behaviour: How far answers moved from the previous version; None where there is none, or none that compares.
        findings: What is odd about the table.
        candidates: What was tried, by ascending loss.
        history: The epochs of the network; empty where none was fitted.
        gates: What model.yaml asks for, and what was found.
    """

    task: Task
    rows: PartRows | None = None
    split: SplitMethod | None = None
    refitted: bool = False
    calibrated: bool = False
    logarithm: bool = False
    parity: float | None = None
    metrics: Mapping[str, Mapping[str, MetricValue]]
    slices: tuple[SliceResult, ...] | None = None
    importance: Importance | None = None
    missing: MissingFeatures | None = None
    reliability: Reliability | None = None
    curve: Curve | None = None
    latency: Latency | None = None
    behaviour: BehaviourShift | None = None
    findings: tuple[Finding, ...] = ()
    candidates: tuple[CandidateResult, ...] = ()
    history: tuple[Epoch, ...] = ()
    gates: tuple[GateResult, ...] = ()

    def metrics_of(self, name: str) -> Mapping[str, MetricValue]:
        """The metrics of one model, by the name of the metric; empty where it was not measured."""
        return self.metrics.get(name, {})

    @property
    def baselines(self) -> list[str]:
        """The names of the models that it is compared with."""
        return [name for name in self.metrics if name != MODEL]
