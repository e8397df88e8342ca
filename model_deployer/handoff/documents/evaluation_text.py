"""The evaluation of a model as tables and sentences, in the words of its task."""

from collections.abc import Mapping, Sequence
from math import comb
from typing import Any

from model_deployer.contract.evaluation import (
    MODEL,
    CandidateResult,
    Curve,
    Evaluation,
    Importance,
    IntervalReliability,
    LearningCurve,
    MissingFeatures,
    ProbabilityReliability,
    QuantileReliability,
    Reliability,
    SetCoverage,
    SliceResult,
)
from model_deployer.contract.metric_catalog import (
    HIGHER_IS_BETTER,
    LOSS,
    LOWER_IS_BETTER,
    MEANING,
    base_metric,
    metric_in_words,
    metric_of_target,
)
from model_deployer.contract.number_format import count, interval, number, percent
from model_deployer.contract.outputs import Classification, Output, Regression, VectorOutput
from model_deployer.package.package_data import PackageData
from model_deployer.writing.markdown import Markdown, code, join_sentences, markdown, table

#: The largest number of rows in a table of fields or slices, and of labels in a sentence.
MAX_ROWS, MAX_LABELS = 20, 10


#: The meaning of the coverage, by the kind of output.
_COVERAGE_MEANING = {
    "regression": "share of true values inside the interval",
    "classification": "share of true labels in the set",
}


#: Metrics in the unit of the target.
_IN_TARGET_UNIT = {"rmse", "mae", "median_absolute_error", "interval_width", "pinball"}


#: The estimators of a candidate, in words.
_ESTIMATORS = {
    "linear": "a linear model",
    "lightgbm": "boosted trees (LightGBM)",
    "xgboost": "boosted trees (XGBoost)",
    "histogram_boosting": "boosted trees (scikit-learn)",
    "random_forest": "a random forest",
    "tabm": "an ensemble of neural networks (TabM)",
    "mlp": "a neural network",
}


#: How the training rows of a learning curve are chosen, by the split.
_CURVE_ROWS = {
    "time": "starting with the latest ones",
    "group": "in whole groups",
    "random": "drawn at random",
    "stratified": "drawn at random in proportion to the labels",
}


_CURVE_MODELS = {
    "lightgbm": "LightGBM with its defaults, at about twice the learning rate,",
    "linear": "A linear model",
}


def meaning(metric: str, output: Output) -> str:
    """Return the meaning of a metric, its unit and its good direction, as a phrase."""
    base = base_metric(metric)
    phrase = _COVERAGE_MEANING[output.kind] if base == "coverage" else MEANING.get(base, "")
    if base in _IN_TARGET_UNIT and (unit := _unit(metric, output)):
        phrase += f", in {unit}"
    direction = "higher is better" if base in HIGHER_IS_BETTER else "lower is better" if base in LOWER_IS_BETTER else ""
    return "; ".join(part for part in (phrase, direction) if part)


def _unit(metric: str, output: Output) -> str | None:
    """Return the unit of the target that a metric is about."""
    if isinstance(output, VectorOutput):
        units = {metric_of_target(base_metric(metric), name): unit for name, unit in output.unit_of.items()}
        return units.get(metric)
    return output.unit if isinstance(output, Regression) else None


def class_note(output: Output) -> Markdown:
    """Return a sentence about the class that the metrics refer to; empty for a regression."""
    if not isinstance(output, Classification):
        return Markdown()
    if output.positive:
        return Markdown(f"Metrics of a class refer to {code(output.positive)}.")
    return Markdown(
        "Metrics of a class are the mean over all labels, in which rare labels count as much as frequent ones. The "
        "calibration error refers to the most probable label."
    )


def metric_changes_table(changes: Mapping[str, Any]) -> Markdown:
    """Return a table of the metrics of two versions."""
    rows = [
        [metric_in_words(name), _cell(change["old"]), _cell(change["new"]), change["verdict"]]
        for name, change in changes.items()
    ]
    return table(["Metric", "Before (95 % interval)", "Now (95 % interval)", "Verdict"], rows)


def _cell(metric: Mapping[str, float]) -> str:
    return f"{number(metric['value'])} ({interval(metric['low'], metric['high'])})"


def candidates(package: PackageData) -> Markdown:
    """Return a table of the candidates, sorted by their loss on the validation rows."""
    tried = sorted(package.evaluation.candidates, key=lambda candidate: candidate.loss)
    figures = [
        candidate.model_dump(exclude_unset=True, exclude={"name", "chosen", "parameters"}) for candidate in tried
    ]
    names = list(dict.fromkeys(name for values in figures for name in values))
    rows = [
        [
            _bold(candidate.name, candidate.chosen),
            *(number(values[name]) if values.get(name) is not None else "" for name in names),
        ]
        for candidate, values in zip(tried, figures, strict=True)
    ]
    return table(["Candidate", *(words(name).capitalize() for name in names)], rows)


def _bold(text: str, is_bold: bool) -> Markdown:
    return Markdown(f"**{markdown(text)}**") if is_bold else markdown(text)


def choice(package: PackageData) -> Markdown:
    """Return sentences about the chosen candidate, its lead over the others, and the candidates that were not tried."""
    evaluation = package.evaluation
    chosen = next((candidate for candidate in evaluation.candidates if candidate.chosen), None)
    not_tried = [
        f"Not tried: {estimator(candidate.name)}, because {candidate.reason}." for candidate in evaluation.skipped
    ]
    return join_sentences(_lead(chosen, evaluation) if chosen else "", *not_tried)


def _lead(chosen: CandidateResult, evaluation: Evaluation) -> str:
    others = [candidate for candidate in evaluation.candidates if not candidate.chosen]
    if not others:
        return f"The model is {estimator(chosen.name)}, the only candidate that was fitted."
    best_other = min(others, key=lambda candidate: candidate.loss)
    gap = (best_other.loss - chosen.loss) / best_other.loss if best_other.loss else 0.0
    lead = f"{100 * abs(gap):.2g} % {'below' if gap >= 0 else 'above'} that of {estimator(best_other.name)}"
    return (
        f"The chosen model is {estimator(chosen.name)}. Its loss on the validation rows is {lead}, the best of the "
        "other candidates."
    )


def estimator(name: str) -> str:
    """Return the kind of a candidate in words."""
    parts = [_ESTIMATORS.get(part, part) for part in name.split("+")]
    return parts[0] if len(parts) == 1 else f"a blend of {' and '.join(parts)}"


def candidate_loss(package: PackageData) -> str:
    """Return the loss that candidates are compared by, in words."""
    if package.contract.output.kind == "classification":
        return "the log loss" + (", before the calibration" if package.evaluation.calibrated else "")
    target = "logarithm of the target" if package.evaluation.logarithm else "target"
    return f"the loss on the {target}, in units of its standard deviation"


def reliability(reliability: Reliability) -> Markdown:
    """Return a table of the predicted and the observed frequencies, by the prediction."""
    is_value = reliability.nominal is not None
    to_text = number if is_value else percent
    rows = [
        [to_text(bin.predicted), percent(bin.observed), _percents(bin.low, bin.high), number(bin.rows)]
        for bin in reliability.bins
    ]
    first = "Mean predicted value" if is_value else "Mean predicted probability"
    return table([first, _OBSERVED[type(reliability)], "95 % interval", "Rows"], rows)


_OBSERVED: Mapping[type, str] = {
    ProbabilityReliability: "Observed frequency",
    IntervalReliability: "True values inside the interval",
    QuantileReliability: "True values at or below the value",
}


def reliability_summary(reliability: Reliability) -> Markdown:
    """Return a sentence about the number of groups of test rows in which prediction and observation agree."""
    bins = reliability.bins
    if isinstance(reliability, ProbabilityReliability):
        label = code(reliability.label) if reliability.label else "the most probable label"
        prediction = "probability"
        condition = (
            f"the mean predicted probability of {label} is inside the 95 % interval of the observed frequency of that "
            "label"
        )
    else:
        prediction = "value"
        condition = f"the nominal {percent(reliability.nominal)} is inside the 95 % interval of the observed share"
    return Markdown(
        f"The test rows were divided into {len(bins)} groups of equal size by the predicted {prediction}. In "
        f"{_agreeing(reliability)} of the {len(bins)} groups, {condition}; for a perfect model, this would be the case "
        f"in about 19 of 20.{_deviations(reliability)}"
    )


def _agreeing(reliability: Reliability) -> int:
    return len(reliability.bins) - sum(_sides(reliability))


def _sides(reliability: Reliability) -> tuple[int, int]:
    """Return the number of groups whose observed share is clearly above, and clearly below, the expected one."""
    share = reliability.nominal
    expected = [part.predicted if share is None else share for part in reliability.bins]
    above = sum(part.low > value for part, value in zip(reliability.bins, expected, strict=True))
    below = sum(part.high < value for part, value in zip(reliability.bins, expected, strict=True))
    return above, below


def _deviations(reliability: Reliability) -> str:
    above, below = _sides(reliability)
    parts = [f"above it in {above}" if above else "", f"below it in {below}" if below else ""]
    if not above + below:
        return ""
    return f" The observed share is clearly {' and '.join(part for part in parts if part)} of them."


def is_reliable(reliability: Reliability) -> bool:
    """Return whether the groups of the test rows support the predicted probabilities, or the nominal share.

    They do, unless a perfect model would have this number of disagreeing groups in less than 1 of 40 tests.
    """
    groups, agreeing = len(reliability.bins), _agreeing(reliability)
    chance = sum(comb(groups, k) * 0.95**k * 0.05 ** (groups - k) for k in range(agreeing + 1))
    return chance >= 1 / 40


def probability_note(package: PackageData) -> str:
    """Return sentences on how far the probabilities of a classification can be read as frequencies."""
    reliability = package.evaluation.reliability
    if not isinstance(reliability, ProbabilityReliability):
        return "Whether the probabilities agree with observed frequencies was not measured."
    groups, agreeing = len(reliability.bins), _agreeing(reliability)
    source = _probabilities(package.evaluation)
    shares = f"{agreeing} of {groups} groups of test rows"
    if is_reliable(reliability):
        rows = min(part.rows for part in reliability.bins)
        few = (
            f" With about {count(rows, 'row')} in a group, the test cannot find small differences."
            if rows < 100
            else ""
        )
        return f"The probabilities {source}. They agree with the observed frequencies in {shares}.{few}"
    return (
        f"The probabilities {source}. Do not read them as frequencies: they agree with the observed frequencies in "
        f"only {shares}.{_deviations(reliability)}"
    )


def _probabilities(evaluation: Evaluation) -> str:
    """Return where the probabilities come from, as a predicate."""
    if evaluation.adoption:
        return "are those of the source, unchanged"
    return "were calibrated" if evaluation.calibrated else "are those of the model, without a calibration"


def coverage_note(package: PackageData) -> str:
    """Return a sentence on the share of the test rows whose truth is inside the interval or the set."""
    metric, output = package.evaluation.metrics_of(MODEL).get("coverage"), package.contract.output
    assert not isinstance(output, VectorOutput)
    nominal = percent(output.coverage)
    name = "set" if isinstance(output, Classification) else "interval"
    if metric is None:
        return f"The {name} is made to contain the truth in {nominal} of cases; this was not tested."
    observed = f"{percent(metric.value)} of the test rows (95 % interval {_percents(metric.low, metric.high)})"
    if metric.low <= output.coverage <= metric.high:
        return f"The {name} is made to contain the truth in {nominal} of cases; in the test, it did in {observed}."
    side = "more" if metric.value > output.coverage else "less"
    result = f"The {name} is made to contain the truth in {nominal} of cases; in the test, it did in {observed}"
    return f"{result}: {side} often."


def label_sets(reliability: Reliability) -> SetCoverage | None:
    """Return the coverage of the sets of labels; None if predictions contain no sets."""
    return reliability.sets if isinstance(reliability, ProbabilityReliability) else None


def sets(sets: SetCoverage) -> Markdown:
    """Return a table of the share of sets that contain the true label, by true label."""
    rows = [
        [code(label.label), number(label.rows), percent(label.observed), _percents(label.low, label.high)]
        for label in sets.labels[:MAX_ROWS]
    ]
    return table(["True label", "Rows", "In the set", "95 % interval"], rows)


def set_sizes(sets: SetCoverage) -> str:
    """Return the number of labels in the sets, with the share of the rows, and how often these sets are right."""
    return ", ".join(
        f"{count(size.labels, 'label')} in {percent(size.share)}"
        + (f" ({percent(size.right)} of them contain the truth)" if size.right is not None else "")
        for size in sets.sizes[:MAX_LABELS]
    )


def _percents(low: float, high: float) -> str:
    return f"{percent(low)} to {percent(high)}"


def slices(package: PackageData) -> Markdown:
    """Return a table of the slices: the parts of the test rows in which the model is worst."""
    loss = words(LOSS[package.contract.output.task])
    rows = [
        [
            result.slice,
            number(result.rows),
            percent(result.rows / test) if (test := test_rows(package)) else "",
            number(result.loss),
            _TOO_FEW if result.low is None or result.high is None else interval(result.low, result.high),
            f"{result.gap:+.1%}".replace("%", " %"),
            _calibration(result),
            _notes(result),
        ]
        for result in (package.evaluation.slices or ())[:MAX_ROWS]
    ]
    head = ["Part of the rows", "Rows", "Share", loss, "95 % interval", "Against all rows", "Calibration error", "Note"]
    return table(head, rows)


def test_rows(package: PackageData) -> int | None:
    """Return the number of test rows; None if it is not known."""
    return package.evaluation.rows.test if package.evaluation.rows else None


def calibration_error(output: Output) -> str:
    """Return the definition of the calibration error of a slice."""
    if isinstance(output, Classification):
        return "the mean difference between the predicted probability and the observed frequency"
    is_quantile = isinstance(output, Regression) and output.quantile is not None
    part = "at or below the value" if is_quantile else "inside the interval"
    return f"the difference between the share of true values {part} and the nominal share"


_TOO_FEW = "too few rows"


def _calibration(result: SliceResult) -> str:
    error, chance = result.calibration_error, result.calibration_chance
    if error is None or chance is None:
        return _TOO_FEW
    return percent(error) + ("" if error <= chance else ", more than chance")


def _notes(result: SliceResult) -> str:
    notes = {"named in model.yaml": result.named, "not an input of the model": not result.learnt}
    return ", ".join(note for note, applies in notes.items() if applies)


def importance(importance: Importance) -> Markdown:
    """Return a table of the importance of each field: the rise of the loss without its information."""
    rows = [
        [code(feature.feature), number(feature.rise), number(feature.spread)]
        for feature in importance.features[:MAX_ROWS]
    ]
    return table(["Field", f"Rise of the {words(importance.loss)}", "Standard deviation"], rows)


def missing(missing: MissingFeatures, output: Output) -> Markdown:
    """Return a table of the effect of a null in each field on the answer and on the loss."""
    rows = [
        [code(feature.feature), percent(feature.missing), number(feature.change), number(feature.rise)]
        for feature in missing.features[:MAX_ROWS]
    ]
    head = [
        "Field",
        "Null in the test rows",
        f"Mean change of the answer, {_change_unit(output)}",
        f"Rise of the {words(missing.loss)}",
    ]
    return table(head, rows)


def _change_unit(output: Output) -> str:
    if not isinstance(output, Classification):
        unit = output.unit if isinstance(output, Regression) else None
        return f"in {unit}" if unit else "in the unit of the target"
    return "in probability" if output.positive else "in probability that moves to other labels"


def more(items: Sequence[Any], noun: str) -> str:
    """Return a sentence about the items that a table leaves out; empty if it has all of them."""
    left_out = len(items) - MAX_ROWS
    return f"And {left_out:,} more {noun}." if left_out > 0 else ""


def measured_curve(package: PackageData) -> LearningCurve | None:
    """Return the learning curve; None if it was not measured."""
    return package.evaluation.curve if isinstance(package.evaluation.curve, LearningCurve) else None


def curve(curve: LearningCurve) -> Markdown:
    """Return a table of the loss by the number of training rows."""
    rows = [[number(point.rows), number(point.loss), interval(point.low, point.high)] for point in curve.points]
    return table(["Training rows", words(curve.loss), "95 % interval"], rows)


def curve_verdict(curve: Curve) -> str:
    """Return the verdict on whether more rows would help, as a sentence."""
    return f"{curve.verdict[:1].upper()}{curve.verdict[1:]}."


def curve_method(curve: LearningCurve) -> str:
    """Return a description of how the learning curve was measured."""
    return (
        f"{_CURVE_MODELS[curve.model]} was fitted on growing shares of the training rows, {_CURVE_ROWS[curve.split]}, "
        "and evaluated on the same test rows. The slope of the curve shows the value of more rows; its level is not "
        "that of this model."
    )


def findings(package: PackageData) -> Markdown:
    """Return a table of the findings about the data."""
    rows = [
        [finding.severity, code(finding.column) if finding.column else "the table", finding.message]
        for finding in package.evaluation.findings
    ]
    return table(["Severity", "Column", "Finding"], rows)


def gates(package: PackageData) -> Markdown:
    """Return a table of the gates: the requirements of model.yaml, and the measured values."""
    rows = [
        [
            "met" if gate.passed else "missed",
            code(gate.name),
            gate.asked,
            "" if gate.found is None else number(gate.found),
            gate.message,
        ]
        for gate in package.evaluation.gates
    ]
    return table(["Result", "Gate", "Required", "Measured", "In words"], rows)


def words(name: str) -> str:
    """Return the name of a metric as words."""
    return name.replace("_", " ")
