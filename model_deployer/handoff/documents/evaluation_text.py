"""The evaluation of a model as tables and sentences, in the words of its task."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from model_deployer.contract.difference import metric_changes
from model_deployer.contract.evaluation import (
    LINEAR,
    MODEL,
    TRIVIAL,
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
from model_deployer.contract.metric_catalog import HIGHER_IS_BETTER, LOSS, LOWER_IS_BETTER, MEANING
from model_deployer.contract.number_format import count, interval, number, percent
from model_deployer.contract.outputs import Classification, Output, Regression
from model_deployer.package.package_data import PackageData
from model_deployer.writing.markdown import Markdown, code, join_sentences, markdown, table

#: The largest number of rows in a table of fields or slices, and of labels in a sentence.
MAX_ROWS, MAX_LABELS = 20, 10


#: The names of the baselines.
_BASELINES = {LINEAR: "Linear model", TRIVIAL: "Same answer for every row"}


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


def headline(package: PackageData) -> Markdown:
    """Return a paragraph that compares the model with the baselines; empty if nothing was measured."""
    evaluation, output = package.evaluation, package.contract.output
    loss = LOSS[output.task]
    metric = evaluation.metrics_of(MODEL).get(loss)
    if metric is None:
        return Markdown()
    rows = evaluation.rows
    test_rows = f"On {count(rows.test, 'row')} that were not used for training" if rows else "On the test rows"
    result = (
        f"{test_rows}, its {words(loss)} ({_meaning(loss, output)}) is {number(metric.value)}, with a 95 % interval "
    )
    result += f"from {interval(metric.low, metric.high)}."
    baselines = [name for name in (LINEAR, TRIVIAL) if loss in evaluation.metrics_of(name)]
    comparisons = [_compare_with_baseline(evaluation, name, loss) for name in baselines]
    return join_sentences(result, *comparisons, *_costs(evaluation))


def _compare_with_baseline(evaluation: Evaluation, name: str, loss: str) -> str:
    baseline = {LINEAR: "A linear model on the same fields", TRIVIAL: "The same answer for every row"}[name]
    change = metric_changes(evaluation.metrics_of(name), evaluation.metrics_of(MODEL))[loss]
    result = f"{baseline} reaches {number(change.old.value)}"
    if change.verdict == "within the noise":
        return f"{result}: the 95 % intervals overlap, so the difference may be chance."
    return f"{result}: the model is {change.verdict}, by more than chance can explain."


def _costs(evaluation: Evaluation) -> Iterator[str]:
    """Yield sentences about the costs of decisions, if model.yaml defines costs."""
    model, trivial = evaluation.metrics_of(MODEL), evaluation.metrics_of(TRIVIAL)
    if "cost" not in model or "cost" not in trivial:
        return
    cost, constant = number(model["cost"].value), number(trivial["cost"].value)
    yield f"Its decisions cost {cost} per row on average; the same decision for every row would cost {constant}."
    if model["accuracy"].value < trivial["accuracy"].value:
        yield "They are right less often than that constant decision, because they avoid the more expensive mistake."


def metrics(package: PackageData) -> Markdown:
    """Return a table of all metrics with their intervals, next to those of the baselines."""
    names = [name for name in _BASELINES if name in package.evaluation.metrics]
    baselines = [package.evaluation.metrics_of(name) for name in names]
    rows = [
        [
            Markdown(f"**{words(name)}**"),
            _meaning(name, package.contract.output),
            number(metric.value),
            interval(metric.low, metric.high),
            *(number(baseline[name].value) if name in baseline else "" for baseline in baselines),
        ]
        for name, metric in package.evaluation.metrics_of(MODEL).items()
    ]
    return table(["Metric", "Meaning", "Model", "95 % interval", *(_BASELINES[name] for name in names)], rows)


def _meaning(metric: str, output: Output) -> str:
    meaning = _COVERAGE_MEANING[output.kind] if metric == "coverage" else MEANING.get(metric, "")
    if isinstance(output, Regression) and output.unit and metric in _IN_TARGET_UNIT:
        meaning += f", in {output.unit}"
    direction = (
        "higher is better" if metric in HIGHER_IS_BETTER else "lower is better" if metric in LOWER_IS_BETTER else ""
    )
    return "; ".join(part for part in (meaning, direction) if part)


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
        [words(name), _cell(change["old"]), _cell(change["new"]), change["verdict"]] for name, change in changes.items()
    ]
    return table(["Metric", "Before (95 % interval)", "Now (95 % interval)", "Verdict"], rows)


def _cell(metric: Mapping[str, float]) -> str:
    return f"{number(metric['value'])} ({interval(metric['low'], metric['high'])})"


def candidates(package: PackageData) -> Markdown:
    """Return a table of the candidates, sorted by their loss on the validation rows."""
    tried = sorted(package.evaluation.candidates, key=lambda candidate: candidate.loss)
    figures = [candidate.model_dump(exclude_unset=True, exclude={"name", "chosen"}) for candidate in tried]
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
    """Return a sentence about the chosen candidate and its lead over the others."""
    tried = package.evaluation.candidates
    chosen = next((candidate for candidate in tried if candidate.chosen), None)
    others = [candidate for candidate in tried if not candidate.chosen]
    if chosen is None or not others:
        return Markdown()
    best_other = min(others, key=lambda candidate: candidate.loss)
    gap = (best_other.loss - chosen.loss) / best_other.loss if best_other.loss else 0.0
    lead = f"{100 * abs(gap):.2g} % {'below' if gap >= 0 else 'above'} that of {_estimator(best_other.name)}"
    return join_sentences(
        f"The chosen model is {_estimator(chosen.name)}. Its loss on the validation rows is {lead}, the best of the "
        "other candidates."
    )


def _estimator(name: str) -> str:
    parts = [_ESTIMATORS.get(part, part) for part in name.split("+")]
    return parts[0] if len(parts) == 1 else f"a blend of {' and '.join(parts)}"


def candidate_loss(package: PackageData) -> str:
    """Return the loss that candidates are compared by, in words."""
    if package.contract.output.kind == "classification":
        return "the log loss, before calibration"
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
    bins, share = reliability.bins, reliability.nominal
    agreeing = sum(bin.low <= (bin.predicted if share is None else share) <= bin.high for bin in bins)
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
        f"{agreeing} of the {len(bins)} groups, {condition}; for a perfect model, this would be the case in about 19 "
        "of 20."
    )


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
    """Return the number of labels in the sets, with the share of the rows."""
    return ", ".join(f"{count(size.labels, 'label')} in {percent(size.share)}" for size in sets.sizes[:MAX_LABELS])


def _percents(low: float, high: float) -> str:
    return f"{percent(low)} to {percent(high)}"


def slices(package: PackageData) -> Markdown:
    """Return a table of the slices: the parts of the test rows in which the model is worst."""
    loss = words(LOSS[package.contract.output.task])
    rows = [
        [
            result.slice,
            number(result.rows),
            number(result.loss),
            _TOO_FEW if result.low is None or result.high is None else interval(result.low, result.high),
            f"{result.gap:+.1%}".replace("%", " %"),
            _calibration(result),
            _notes(result),
        ]
        for result in (package.evaluation.slices or ())[:MAX_ROWS]
    ]
    head = ["Part of the rows", "Rows", loss, "95 % interval", "Against all rows", "Calibration error", "Note"]
    return table(head, rows)


def calibration_error(output: Output) -> str:
    """Return the definition of the calibration error of a slice."""
    if isinstance(output, Classification):
        return "the mean difference between the predicted probability and the observed frequency"
    part = "inside the interval" if output.quantile is None else "at or below the value"
    return f"the difference between the share of true values {part} and the nominal share"


_TOO_FEW = "too few rows"


def _calibration(result: SliceResult) -> str:
    error, chance = result.calibration_error, result.calibration_chance
    if error is None or chance is None:
        return _TOO_FEW
    return percent(error) + ("" if error <= chance else ", more than chance")


def _notes(result: SliceResult) -> str:
    notes = {"named in model.yaml": result.named, "not used for training": not result.learnt}
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
    if isinstance(output, Regression):
        return f"in {output.unit}" if output.unit else "in the unit of the target"
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
