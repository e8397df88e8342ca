"""evaluation.json: the quality of a model on rows that training did not use, and how it was measured.

:class:`Evaluation` is the whole file. A part that was not measured is absent from the file, and None or empty here: a
model that was trained elsewhere has no candidates, and early models of this format lack parts that were added later.

Unless a field says otherwise, every number is measured on the test part, and every interval is a 95 % interval. A
*loss* is in the unit of the task's loss (``LOSS`` of :mod:`contract.metric_catalog`): nats, or the unit of the target.
Shares are from 0 to 1.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Tag

from model_deployer.contract.adoption import Adoption
from model_deployer.contract.document import JsonDocument, JsonObject, by_key
from model_deployer.contract.metric_catalog import LOSS, Task
from model_deployer.contract.number_format import number

#: The keys of :attr:`Evaluation.metrics`: the model itself, and the baselines.
MODEL, TRIVIAL, LINEAR = "model", "trivial", "linear"

#: The method that divides rows into the training, validation and test parts.
SplitMethod = Literal["random", "stratified", "group", "time"]


class MetricValue(JsonObject):
    """A metric of one model.

    Attributes:
        value: The value on the test rows.
        low, high: The ends of the bootstrap interval.
    """

    value: float
    low: float
    high: float


class PartRows(JsonObject):
    """The number of rows in each part of the table.

    Attributes:
        train: Rows to fit the model.
        validation: Rows to choose and calibrate the model.
        test: Rows to evaluate the model.
    """

    train: int
    validation: int
    test: int

    @property
    def total(self) -> int:
        """The number of rows in all parts."""
        return self.train + self.validation + self.test


class SliceResult(JsonObject):
    """The quality of the model on a slice: the test rows that satisfy a condition.

    Attributes:
        slice: The condition: ``origin = JFK``, ``distance from 0 to 500 and night = true``.
        rows: The number of test rows in the slice.
        loss: The loss of these rows.
        gap: The difference to the loss of all rows, as a share of it: 0.1 is 10 % above, negative is below.
        low, high: The interval of the loss; None with fewer than 10 rows.
        calibration_error: The mean gap between a predicted probability and the observed frequency. For a quantity, the
            gap between the nominal and the observed share of truths inside the interval (at or below the quantile).
            None with fewer than 10 rows.
        calibration_chance: The largest calibration error that chance explains; None with fewer than 10 rows.
        named: Whether model.yaml names the slice. Other slices are listed if they are worse than the rest by more than
            chance explains.
        learnt: Whether the columns of the condition are inputs of the model.
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
    """The permutation importance of one feature.

    Attributes:
        feature: The name of the feature.
        rise: The rise of the loss when the values of the feature are shuffled: the mean over the repeats.
        spread: The standard deviation over the repeats.
    """

    feature: str
    rise: float
    spread: float


class Importance(JsonObject):
    """The permutation importance of all features.

    Attributes:
        loss: The name of the metric that rises.
        value: The loss of the unchanged rows.
        rows: The number of test rows that were used.
        repeats: The number of times that each feature was shuffled.
        features: One entry per feature, the most important first.
    """

    loss: str
    value: float
    rows: int
    repeats: int
    features: tuple[FeatureImportance, ...]


class MissingFeature(JsonObject):
    """The effect of one feature that is null in every row.

    Attributes:
        feature: The name of the feature.
        missing: The share of the unchanged rows that have no value for it.
        rise: The rise of the loss when it is null in all rows.
        change: The mean change of the prediction: for a classification half the sum of the absolute changes of the
            probabilities, for a quantity the absolute change of the value, in the unit of the target.
    """

    feature: str
    missing: float
    rise: float
    change: float


class MissingFeatures(JsonObject):
    """The effect of missing values, for each feature that may be null.

    Attributes:
        loss: The name of the metric that rises.
        value: The loss of the unchanged rows.
        rows: The number of test rows that were used.
        features: The features that may be null, the largest rise first; empty if no feature may be null.
    """

    loss: str
    value: float
    rows: int
    features: tuple[MissingFeature, ...]


class ReliabilityBin(JsonObject):
    """Test rows with similar predictions.

    Attributes:
        rows: The number of rows.
        predicted: The mean predicted probability, or the mean predicted value in the unit of the target.
        observed: The share of rows whose predicted label is true, or whose truth is inside the interval (at or below
            the quantile).
        low, high: The interval of ``observed``.
    """

    rows: int
    predicted: float
    observed: float
    low: float
    high: float


class SetSize(JsonObject):
    """The frequency of one size of prediction sets.

    Attributes:
        labels: The number of labels in the set.
        share: The share of the test rows whose set has this number of labels.
        right: The share of these sets that contain the true label; None in early models of this format.
    """

    labels: int
    share: float
    right: float | None = None


class LabelCoverage(JsonObject):
    """The coverage of the prediction sets for one true label.

    Attributes:
        label: The true label.
        rows: The number of test rows with this label.
        observed: The share of these rows whose set contains the label.
        low, high: The interval of ``observed``.
    """

    label: str
    rows: int
    observed: float
    low: float
    high: float


class SetCoverage(JsonObject):
    """The sizes and the coverage of the prediction sets.

    Attributes:
        coverage: The nominal share of all cases whose set contains the true label.
        sizes: The frequency of each size, by ascending size.
        labels: The coverage for each true label, by ascending upper end of the interval.
    """

    coverage: float
    sizes: tuple[SetSize, ...]
    labels: tuple[LabelCoverage, ...]


class ProbabilityReliability(JsonObject):
    """The reliability of a classification: predicted probabilities and observed frequencies.

    Attributes:
        label: The label whose probability is meant: the second of two. None with more labels: the most likely label of
            each row.
        bins: Tenths of the test rows, by ascending probability.
        sets: The sizes and the coverage of the prediction sets; None if predictions have no set.
    """

    label: str | None
    bins: tuple[ReliabilityBin, ...]
    sets: SetCoverage | None = None

    @property
    def nominal(self) -> None:
        """The nominal share of every bin: None, since each bin has the predicted probability as its nominal share."""
        return None


class IntervalReliability(JsonObject):
    """The reliability of a prediction interval: the observed share of truths inside it.

    Attributes:
        coverage: The nominal share of all cases.
        bins: Fifths of the test rows, by ascending value.
    """

    coverage: float
    bins: tuple[ReliabilityBin, ...]

    @property
    def nominal(self) -> float:
        """The nominal share of every bin."""
        return self.coverage


class QuantileReliability(JsonObject):
    """The reliability of a quantile: the observed share of truths at or below the value.

    Attributes:
        share_below: The nominal share of all cases: the quantile.
        bins: Fifths of the test rows, by ascending value.
    """

    share_below: float
    bins: tuple[ReliabilityBin, ...]

    @property
    def nominal(self) -> float:
        """The nominal share of every bin."""
        return self.share_below


Reliability = Annotated[
    Annotated[ProbabilityReliability, Tag("of probabilities")]
    | Annotated[IntervalReliability, Tag("of an interval")]
    | Annotated[QuantileReliability, Tag("of a quantile")],
    by_key({"label": "of probabilities", "coverage": "of an interval", "share_below": "of a quantile"}),
]


class CurvePoint(JsonObject):
    """A model that was fitted on a part of the training rows.

    Attributes:
        rows: The number of rows that it was fitted on.
        loss: Its loss on the test rows.
        low, high: The interval of the loss.
    """

    rows: int
    loss: float
    low: float
    high: float


class LastGain(JsonObject):
    """The gain from the last doubling of the training rows.

    Attributes:
        gain: The decrease of the loss; negative if the loss rose.
        low, high: The interval of the gain. It is narrower than the intervals of the points, since both models have the
            same test rows. It does not include the effect of another random choice of the training rows.
    """

    gain: float
    low: float
    high: float


class NextGain(JsonObject):
    """The expected gain from twice the training rows.

    Attributes:
        rows: Twice the rows of the training part.
        low, high: The smallest and the largest expected decrease of the loss, at least 0.
        measurable: Whether the last gain was larger than chance explains.
    """

    rows: int
    low: float
    high: float
    measurable: bool


class LearningCurve(JsonObject):
    """The loss of a model that is fast to fit, as the number of training rows doubles.

    Attributes:
        model: The estimator that was fitted.
        loss: The name of the metric.
        split: The method of the split, which decides the rows that a doubling adds: earlier rows with ``time``, whole
            groups with ``group``, else random rows.
        rows: The rows of the training part. The last point has fewer rows if a fit on all of them would take too long.
        points: The points of the curve, at least 3, by ascending rows.
        last: The gain from the last doubling.
        next: The expected gain from the next doubling.
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
        """Whether more rows would help, as a sentence without a capital letter and a full stop."""
        last, expected, loss = self.last, self.next, self.loss.replace("_", " ")
        gain, low, high = (number(value, 3) for value in (last.gain, last.low, last.high))
        doubling = f"the last doubling, to {self.points[-1].rows:,} rows, lowered it by {gain} ({low} to {high})"
        if expected.measurable:
            decrease = f"{number(expected.low, 3)} to {number(expected.high, 3)}"
            return f"{expected.rows:,} rows instead of {self.rows:,} may lower the {loss} by {decrease}; {doubling}"
        possible = f", though up to {high} is possible" if expected.high > 0 else ""
        return f"no measurable gain in {loss} from more rows{possible}; {doubling}"


class UnmeasuredCurve(JsonObject):
    """The reason for a missing learning curve.

    Attributes:
        reason: The reason, as a sentence without a capital letter and a full stop.
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
    """The duration of calls of the graph.

    Attributes:
        p50, p99: The median and the 99th percentile, in milliseconds.
        calls: The number of calls that were measured.
    """

    p50: float
    p99: float
    calls: int


class Latency(JsonObject):
    """The latency of the graph alone on the machine that trained it, and its size.

    Attributes:
        one_row_ms: The duration of a call with one row.
        batch_rows: The number of rows in a batch.
        batch_ms: The duration of a call with a batch.
        us_per_row: The median duration of a batch divided by its rows, in microseconds.
        bytes: The size of model.onnx.
        threads: The number of threads of ONNX Runtime.
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
    """The shift of the predictions since the previous version, see :mod:`contract.prediction_shift`.

    Attributes:
        requests: The number of golden requests of the previous version that were compared.
        flips: The number of decisions that changed; None if predictions have no decisions.
        largest, mean: The largest and the mean change of a request, divided by ``scale``.
        scale: The divisor of a change: 1 for probabilities, else a spread in the unit of the target. None with several
            targets, which have one each.
        flipped: The golden cases whose decisions changed, at most 20.
        since: ``name:version`` of the previous version.
        tolerance: The limit of a patch, for the mean change and for the share of flips.
    """

    requests: int
    flips: int | None
    largest: float
    mean: float
    scale: float | None
    flipped: tuple[str, ...]
    since: str
    tolerance: float


Severity = Literal["info", "warning", "error"]


class Finding(JsonObject):
    """An observation about the table, for the data scientist.

    Attributes:
        severity: ``error`` ends the run, ``warning`` needs a decision, ``info`` needs no action.
        column: The name of the column, or None for the whole table.
        code: A short name of the kind of finding, stable across versions.
        message: The observation and what to do.
    """

    severity: Severity
    column: str | None
    code: str
    message: str


class LabelDecisions(JsonObject):
    """The decisions about one label. Rows are counted with their weights, which are 1 if the table has none.

    Attributes:
        label: The label.
        rows: The rows whose true label it is.
        decided: The rows with a decision for it.
        right: The rows with a decision for it whose true label it is.
    """

    label: str
    rows: float
    decided: float
    right: float


class ThresholdDecisions(JsonObject):
    """The decisions of two labels with another decision threshold.

    Attributes:
        threshold: The decision is the second label if its probability is at least this.
        share: The share of the rows with a decision for the second label.
        precision: The share of these decisions that are right; None without such a decision.
        recall: The share of the rows of the second label with a decision for it; None without such a row.
        cost: The mean cost of a decision, per row.
    """

    threshold: float
    share: float
    precision: float | None
    recall: float | None
    cost: float


class ConstantDecision(JsonObject):
    """The same decision for every row.

    Attributes:
        label: The decision.
        accuracy: The share of the rows with this true label.
        cost: The mean cost of the decision, per row.
    """

    label: str
    accuracy: float
    cost: float


class Decisions(JsonObject):
    """The decisions of a classification on the test rows.

    Attributes:
        labels: The decisions about each label, in the order of the contract.
        matrix: The rows by true label and by decision, both in the order of ``labels``; None with more than 12 labels.
        false_positive, false_negative: The costs of the two errors as in model.yaml; None with more than two labels.
        training: The cost of a training as in model.yaml, in the same unit; None if it is not stated.
        constants: The same decision for every row, the cheapest first; empty with more than two labels.
        thresholds: Other thresholds, ascending; empty with more than two labels.
    """

    labels: tuple[LabelDecisions, ...]
    matrix: tuple[tuple[float, ...], ...] | None = None
    false_positive: float | None = None
    false_negative: float | None = None
    training: float | None = None
    constants: tuple[ConstantDecision, ...] = ()
    thresholds: tuple[ThresholdDecisions, ...] = ()


class ErrorQuantile(JsonObject):
    """A quantile of the absolute errors.

    Attributes:
        share: The share of the rows with at most this error.
        error: The absolute error, in the unit of the target.
    """

    share: float
    error: float


class ErrorBin(JsonObject):
    """Test rows with similar predicted values; all numbers except ``rows`` are in the unit of the target.

    Attributes:
        rows: The number of rows.
        predicted, observed: The means of the predicted and of the true values.
        error: The mean absolute error.
    """

    rows: int
    predicted: float
    observed: float
    error: float


class Residuals(JsonObject):
    """The errors of a quantity: true values minus predicted values, in the unit of the target.

    Attributes:
        bias: The mean error: above 0 if the values are too low on average.
        quantiles: Quantiles of the absolute errors, ascending.
        bins: Fifths of the test rows, by ascending value.
    """

    bias: float
    quantiles: tuple[ErrorQuantile, ...]
    bins: tuple[ErrorBin, ...]


class PartPeriod(JsonObject):
    """The times of the rows of one part.

    Attributes:
        first, last: The earliest and the latest time, to the minute, such as ``2013-11-01 17:05``; a number where the
            time column holds numbers.
    """

    first: str
    last: str


class TableRoles(JsonObject):
    """The roles of the columns of the table that are not fields.

    Attributes:
        time, group, weight: The columns that model.yaml names under ``data``; None if it names none.
        ignored: The columns that model.yaml leaves out.
        periods: The times of each part (``train``, ``validation``, ``test``); empty without a time column.
        groups: The number of groups in each part; empty without a group column.
    """

    time: str | None = None
    group: str | None = None
    weight: str | None = None
    ignored: tuple[str, ...] = ()
    periods: Mapping[str, PartPeriod] = {}
    groups: Mapping[str, int] = {}


class SkippedCandidate(JsonObject):
    """A candidate that was not fitted.

    Attributes:
        name: The estimator as in model.yaml.
        reason: The reason, as a sentence without a capital letter and a full stop.
    """

    name: str
    reason: str


class CandidateResult(JsonObject):
    """One candidate for the model.

    Attributes:
        name: The estimator as in model.yaml; a blend has the names of a network and another estimator, with a plus
            between them.
        loss: The loss that fitting minimises, on the validation rows; for a classification the log loss before
            calibration. It is comparable only between candidates.
        seconds: The duration of the fit.
        epochs: The maximum number of passes over the training rows; None if it is not a network.
        batch_size: The rows per step; None if it is not a network.
        rows: The rows that it was fitted on, including those that are not held in memory; None if it is not a network.
        trials: The number of settings that a search tried; None without a search.
        chosen: Whether it was chosen as the model.
        parameters: The parameters of the fit, as text, by name; None in early models of this format.
    """

    name: str
    loss: float
    seconds: float
    epochs: int | None = None
    batch_size: int | None = None
    rows: int | None = None
    trials: int | None = None
    chosen: bool
    parameters: Mapping[str, str] | None = None


class Epoch(JsonObject):
    """One pass of the network over the training rows.

    Attributes:
        epoch: The number of the pass, from 1.
        train_loss, validation_loss: The mean loss of the rows that the network minimises.
    """

    epoch: int
    train_loss: float
    validation_loss: float


class GateResult(JsonObject):
    """The result of one gate of a model.yaml.

    Attributes:
        name: The key in model.yaml: ``gates.metrics.log_loss``.
        asked: The condition in words: ``at most 0.53``.
        found: The measured value; None if there is none.
        passed: Whether the model meets the condition.
        message: The measured value and the condition, and for a failed gate the difference or the reason.
    """

    name: str
    asked: str
    found: float | None
    passed: bool
    message: str


class Evaluation(JsonDocument):
    """The content of evaluation.json.

    Attributes:
        task: The kind of prediction that the model makes.
        rows: The number of rows in each part of the table; None if not known.
        split: The method that divided these rows; None if not known.
        refitted: Whether the chosen model was fitted again on training and validation rows together.
        calibrated: Whether a calibration changed the probabilities.
        logarithm: Whether the model was fitted to the logarithm of the target.
        parity: The largest difference between the outputs of the exported graph and of the trained model on the test
            rows and on probe rows, which early models of this format lack; None if they were not compared.
        metrics: The metrics by model (``MODEL``, ``TRIVIAL``, ``LINEAR``) and by name, without those that are not
            defined for the test rows. Of several targets, each has its own, such as ``rmse[weight]``. Empty if nothing
            was measured.
        differences: The metrics of the model minus those of each baseline, by the name of the baseline. The intervals
            are narrower than those of the metrics, since both models have the same test rows. Empty in early models of
            this format.
        table: The columns of the table that are not fields; None if not known.
        decisions: The decisions on the test rows; None for a quantity, or if not measured.
        residuals: The errors on the test rows; None for a classification, or if not measured.
        slices: The slices, those with the most certain excess loss first. Empty if model.yaml names none and none is
            worse than chance explains; None if slices were not searched.
        importance: The permutation importance; None if not measured.
        missing: The effect of missing values; None if not measured.
        reliability: Nominal and observed shares; the class depends on the task. None if not measured.
        curve: The learning curve, or the reason for its absence; None if it was not requested.
        latency: The latency of the graph; None if not measured.
        behaviour: The shift since the previous version; None if there is no comparable one.
        findings: The findings about the table.
        candidates: The candidates, by ascending loss.
        skipped: The candidates that were not fitted.
        history: The epochs of the network; empty if no network was fitted.
        gates: The results of the gates in model.yaml.
        adoption: For a model that was trained elsewhere: its source, and the evidence that it answers as the source.
            None for a model that was trained here.
    """

    task: Task
    rows: PartRows | None = None
    split: SplitMethod | None = None
    refitted: bool = False
    calibrated: bool = False
    logarithm: bool = False
    parity: float | None = None
    metrics: Mapping[str, Mapping[str, MetricValue]]
    differences: Mapping[str, Mapping[str, MetricValue]] = {}
    table: TableRoles | None = None
    decisions: Decisions | None = None
    residuals: Residuals | None = None
    slices: tuple[SliceResult, ...] | None = None
    importance: Importance | None = None
    missing: MissingFeatures | None = None
    reliability: Reliability | None = None
    curve: Curve | None = None
    latency: Latency | None = None
    behaviour: BehaviourShift | None = None
    findings: tuple[Finding, ...] = ()
    candidates: tuple[CandidateResult, ...] = ()
    skipped: tuple[SkippedCandidate, ...] = ()
    history: tuple[Epoch, ...] = ()
    gates: tuple[GateResult, ...] = ()
    adoption: Adoption | None = None

    def metrics_of(self, name: str) -> Mapping[str, MetricValue]:
        """Return the metrics of one model by name; empty if the model was not measured."""
        return self.metrics.get(name, {})

    @property
    def main_metric(self) -> MetricValue | None:
        """The loss of the task (``LOSS`` of :mod:`contract.metric_catalog`); None if it was not measured."""
        return self.metrics_of(MODEL).get(LOSS[self.task])

    @property
    def estimator(self) -> str | None:
        """The name of the candidate that was chosen as the model; None if not known."""
        return next((candidate.name for candidate in self.candidates if candidate.chosen), None)

    @property
    def cheapest_constant(self) -> ConstantDecision | None:
        """The cheapest decision that is the same for every row; None if it was not measured."""
        return self.decisions.constants[0] if self.decisions and self.decisions.constants else None

    @property
    def baselines(self) -> list[str]:
        """The names of the baselines: every model in ``metrics`` except the model itself."""
        return [name for name in self.metrics if name != MODEL]
