"""What the evaluation of a model says, as tables and sentences that fit its task."""

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
from model_deployer.writing.markdown import Markdown, code, joined, markdown, table

#: Features and slices of a table, and labels of a sentence, that are not summed up.
MOST_ROWS, MOST_LABELS = 20, 10


#: What the models beside the chosen one are called.
_BASELINES = {LINEAR: "Linear model", TRIVIAL: "The same answer for every row"}


#: Metrics of a share that is promised: what they are a share of, by what carries the promise.
_PROMISED = {"regression": "share of truths inside the interval", "classification": "share of truths in the set"}


#: Metrics in the unit of the target.
_IN_UNITS = {"rmse", "mae", "median_absolute_error", "interval_width", "pinball"}


#: What the estimators of a candidate are, for people.
_ESTIMATORS = {
    "linear": "a linear model",
    "lightgbm": "boosted trees (LightGBM)",
    "xgboost": "boosted trees (XGBoost)",
    "histogram_boosting": "boosted trees (scikit-learn)",
    "random_forest": "a random forest",
    "tabm": "an ensemble of neural networks (TabM)",
    "mlp": "a neural network",
}


#: How the shares of a learning curve grow.
_SHARES = {
    "time": "the latest ones first",
    "group": "by whole groups",
    "random": "drawn at random",
    "stratified": "drawn at random with every label in its share",
}


_LEARNERS = {"lightgbm": "LightGBM with its defaults, at about twice the learning rate,", "linear": "A linear model"}


def headline(facts: PackageData) -> Markdown:
    """How good it is against the simple models, in a paragraph; empty where nothing was measured."""
    evaluation, output = facts.evaluation, facts.contract.output
    loss = LOSS[output.task]
    metric = evaluation.metrics_of(MODEL).get(loss)
    if metric is None:
        return Markdown()
    rows = evaluation.rows
    where = f"On {count(rows.test, 'row')} that nothing was learnt from" if rows else "On the test rows"
    said = f"{where}, its {words(loss)} ({_meaning(loss, output)}) is {number(metric.value)}, with a 95 % interval "
    said += f"from {interval(metric.low, metric.high)}."
    others = [_against(evaluation, name, loss) for name in (LINEAR, TRIVIAL) if loss in evaluation.metrics_of(name)]
    return joined(said, *others, *_costs(evaluation))


def _against(evaluation: Evaluation, name: str, loss: str) -> str:
    who = {LINEAR: "A linear model on the same fields", TRIVIAL: "Giving every row the same answer"}[name]
    change = metric_changes(evaluation.metrics_of(name), evaluation.metrics_of(MODEL))[loss]
    said = f"{who} reaches {number(change.old.value)}"
    if change.verdict == "within the noise":
        return f"{said}: the 95 % intervals of the two overlap, so that the difference may be chance."
    return f"{said}: the model is {change.verdict}, by more than chance explains."


def _costs(evaluation: Evaluation) -> Iterator[str]:
    """What decisions cost, where costs were said; and why they may be right less often than a constant one."""
    model, trivial = evaluation.metrics_of(MODEL), evaluation.metrics_of(TRIVIAL)
    if "cost" not in model or "cost" not in trivial:
        return
    paid, constant = number(model["cost"].value), number(trivial["cost"].value)
    yield f"Its decisions cost {paid} a row on average, the same decision for every row {constant}."
    if model["accuracy"].value < trivial["accuracy"].value:
        yield "They are right less often than that same decision would be, since they avoid the dearer mistake."


def metrics(facts: PackageData) -> Markdown:
    """Every metric with its interval, next to those of the simple models."""
    others = [name for name in _BASELINES if name in facts.evaluation.metrics]
    baselines = [facts.evaluation.metrics_of(name) for name in others]
    rows = [
        [
            Markdown(f"**{words(name)}**"),
            _meaning(name, facts.contract.output),
            number(metric.value),
            interval(metric.low, metric.high),
            *(number(baseline[name].value) if name in baseline else "" for baseline in baselines),
        ]
        for name, metric in facts.evaluation.metrics_of(MODEL).items()
    ]
    return table(["Metric", "What it says", "Model", "95 % interval", *(_BASELINES[name] for name in others)], rows)


def _meaning(metric: str, output: Output) -> str:
    said = _PROMISED[output.kind] if metric == "coverage" else MEANING.get(metric, "")
    unit = f"in {output.unit}" if isinstance(output, Regression) and output.unit and metric in _IN_UNITS else ""
    direction = (
        "higher is better" if metric in HIGHER_IS_BETTER else "lower is better" if metric in LOWER_IS_BETTER else ""
    )
    return "; ".join(part for part in (f"{said}, {unit}" if unit else said, direction) if part)


def of_which_class(output: Output) -> Markdown:
    """Whose metrics those of a class are."""
    if not isinstance(output, Classification):
        return Markdown()
    if output.positive:
        return Markdown(f"What is said of a class is said of {code(output.positive)}.")
    return Markdown(
        "What is said of a class is the mean over all labels, of which the rare ones count as much as the others; the "
        "calibration error is that of the likeliest label."
    )


def metric_changes_table(changes: Mapping[str, Any]) -> Markdown:
    """How the metrics of two versions differ."""
    rows = [[words(name), _cell(one["old"]), _cell(one["new"]), one["verdict"]] for name, one in changes.items()]
    return table(["Metric", "Before (95 % interval)", "Now (95 % interval)", "Verdict"], rows)


def _cell(metric: Mapping[str, float]) -> str:
    return f"{number(metric['value'])} ({interval(metric['low'], metric['high'])})"


def candidates(facts: PackageData) -> Markdown:
    """What was tried, by its loss on the validation part."""
    tried = sorted(facts.evaluation.candidates, key=lambda candidate: candidate.loss)
    figures = [candidate.model_dump(exclude_unset=True, exclude={"name", "chosen"}) for candidate in tried]
    names = list(dict.fromkeys(name for each in figures for name in each))
    rows = [
        [
            _bold(candidate.name, candidate.chosen),
            *(number(each[name]) if each.get(name) is not None else "" for name in names),
        ]
        for candidate, each in zip(tried, figures, strict=True)
    ]
    return table(["Candidate", *(words(name).capitalize() for name in names)], rows)


def _bold(text: str, is_bold: bool) -> Markdown:
    return Markdown(f"**{markdown(text)}**") if is_bold else markdown(text)


def choice(facts: PackageData) -> Markdown:
    """Which candidate was chosen, and by how much."""
    tried = facts.evaluation.candidates
    chosen = next((candidate for candidate in tried if candidate.chosen), None)
    rivals = [candidate for candidate in tried if not candidate.chosen]
    if chosen is None or not rivals:
        return Markdown()
    rival = min(rivals, key=lambda candidate: candidate.loss)
    gap = (rival.loss - chosen.loss) / rival.loss if rival.loss else 0.0
    side = "below" if gap >= 0 else "above"
    much = f"{100 * abs(gap):.2g} % {side} that of {_estimator(rival.name)}, the best of the others"
    return joined(f"Chosen was {_estimator(chosen.name)}: its loss on the validation rows lies {much}.")


def _estimator(name: str) -> str:
    parts = [_ESTIMATORS.get(part, part) for part in name.split("+")]
    return parts[0] if len(parts) == 1 else f"a blend of {' and '.join(parts)}"


def chosen_by(facts: PackageData) -> str:
    """What the loss of a candidate is."""
    if facts.contract.output.kind == "classification":
        return "the log loss, before the calibration"
    learnt = "logarithm of the target" if facts.evaluation.logarithm else "target"
    return f"that of the {learnt}, in its standard deviations"


def reliability(reliability: Reliability) -> Markdown:
    """What was promised, and how often it came true, by what the model answered."""
    is_value = reliability.promised is not None
    shown = number if is_value else percent
    rows = [
        [shown(one.predicted), percent(one.observed), _percents(one.low, one.high), number(one.rows)]
        for one in reliability.bins
    ]
    first = "Mean value answered" if is_value else "Mean probability answered"
    return table([first, _KEPT[type(reliability)], "95 % interval", "Rows"], rows)


_KEPT: Mapping[type, str] = {
    ProbabilityReliability: "Came true",
    IntervalReliability: "Truths inside the interval",
    QuantileReliability: "Truths at or below the value",
}


def promises_kept(reliability: Reliability) -> Markdown:
    """In how many parts of the test rows the promise was kept."""
    bins, share = reliability.bins, reliability.promised
    kept = sum(one.low <= (one.predicted if share is None else share) <= one.high for one in bins)
    if isinstance(reliability, ProbabilityReliability):
        whose = code(reliability.label) if reliability.label else "the likeliest label"
        by = "probability"
        what = f"the mean probability answered for {whose} lies inside the 95 % interval of how often it came true"
    else:
        by = "value"
        what = f"the promised {percent(reliability.promised)} lies inside the 95 % interval of what was observed"
    return Markdown(
        f"The test rows were divided into {len(bins)} parts of equal size, by the {by} answered. In {kept} of the "
        f"{len(bins)}, {what}; if every promise were kept exactly, it would in about 19 of 20."
    )


def label_sets(reliability: Reliability) -> SetCoverage | None:
    """What is known of the sets of labels; None where predictions carry none."""
    return reliability.sets if isinstance(reliability, ProbabilityReliability) else None


def sets(sets: SetCoverage) -> Markdown:
    """How often the truth was in the set, by the true label."""
    rows = [
        [code(one.label), number(one.rows), percent(one.observed), _percents(one.low, one.high)]
        for one in sets.labels[:MOST_ROWS]
    ]
    return table(["True label", "Rows", "In its set", "95 % interval"], rows)


def set_sizes(sets: SetCoverage) -> str:
    """How many labels the sets had."""
    return ", ".join(f"{count(one.labels, 'label')} in {percent(one.share)}" for one in sets.sizes[:MOST_LABELS])


def _percents(low: float, high: float) -> str:
    return f"{percent(low)} to {percent(high)}"


def slices(facts: PackageData) -> Markdown:
    """The parts of the test rows in which the model is worst."""
    loss = words(LOSS[facts.contract.output.task])
    rows = [
        [
            one.slice,
            number(one.rows),
            number(one.loss),
            _TOO_FEW if one.low is None or one.high is None else interval(one.low, one.high),
            f"{one.gap:+.1%}".replace("%", " %"),
            _calibration(one),
            _notes(one),
        ]
        for one in (facts.evaluation.slices or ())[:MOST_ROWS]
    ]
    return table(
        [
            "Part of the rows",
            "Rows",
            loss,
            "95 % interval",
            "Against all rows",
            "Calibration error",
            "Note",
        ],
        rows,
    )


def calibration_error(output: Output) -> str:
    """What the calibration error of a slice is."""
    if isinstance(output, Classification):
        return "the mean gap between a probability and how often it comes true"
    part = "inside the interval" if output.quantile is None else "at or below the value"
    return f"how far the share of truths {part} is from what is promised"


_TOO_FEW = "too few rows"


def _calibration(one: SliceResult) -> str:
    error, chance = one.calibration_error, one.calibration_chance
    if error is None or chance is None:
        return _TOO_FEW
    return percent(error) + ("" if error <= chance else ", beyond chance")


def _notes(one: SliceResult) -> str:
    notes = {"asked for in model.yaml": one.named, "not learnt from": not one.learnt}
    return ", ".join(note for note, holds in notes.items() if holds)


def importance(importance: Importance) -> Markdown:
    """How much worse the model is without what a field says."""
    rows = [[code(one.feature), number(one.rise), number(one.spread)] for one in importance.features[:MOST_ROWS]]
    return table(["Field", f"Rise of the {words(importance.loss)}", "Standard deviation"], rows)


def missing(missing: MissingFeatures, output: Output) -> Markdown:
    """What becomes of the answer where a field is null."""
    rows = [
        [code(one.feature), percent(one.missing), number(one.change), number(one.rise)]
        for one in missing.features[:MOST_ROWS]
    ]
    head = [
        "Field",
        "Null in the test rows",
        f"The answer moves by, on average, {_distance(output)}",
        f"Rise of the {words(missing.loss)}",
    ]
    return table(head, rows)


def _distance(output: Output) -> str:
    if isinstance(output, Regression):
        return f"in {output.unit}" if output.unit else "in the unit of the target"
    return "in probability" if output.positive else "in probability that changes its label"


def more(found: Sequence[Any], what: str) -> str:
    """What a table that is cut leaves out."""
    left = len(found) - MOST_ROWS
    return f"And {left:,} more {what}." if left > 0 else ""


def measured_curve(facts: PackageData) -> LearningCurve | None:
    """The learning curve, where there is one."""
    return facts.evaluation.curve if isinstance(facts.evaluation.curve, LearningCurve) else None


def curve(curve: LearningCurve) -> Markdown:
    """The loss of a model that learnt from more and more rows."""
    rows = [[number(one.rows), number(one.loss), interval(one.low, one.high)] for one in curve.points]
    return table(["Training rows", words(curve.loss), "95 % interval"], rows)


def curve_verdict(curve: Curve) -> str:
    """Whether more rows would help, as a sentence."""
    return f"{curve.verdict[:1].upper()}{curve.verdict[1:]}."


def curve_method(curve: LearningCurve) -> str:
    """How the learning curve was measured."""
    return (
        f"{_LEARNERS[curve.model]} was fitted anew on growing shares of the training rows, "
        f"{_SHARES[curve.split]}, and judged on the same test rows. Its slope "
        f"says what rows are worth; its level is not that of the model."
    )


def findings(facts: PackageData) -> Markdown:
    """What is odd about the data."""
    rows = [
        [finding.severity, code(finding.column) if finding.column else "the table", finding.message]
        for finding in facts.evaluation.findings
    ]
    return table(["Severity", "Column", "Finding"], rows)


def gates(facts: PackageData) -> Markdown:
    """What was asked of the model, and what was measured."""
    rows = [
        [
            "met" if gate.passed else "missed",
            code(gate.name),
            gate.asked,
            "" if gate.found is None else number(gate.found),
            gate.message,
        ]
        for gate in facts.evaluation.gates
    ]
    return table(["", "Gate", "Asked for", "Found", "In words"], rows)


def words(name: str) -> str:
    """A name of a metric as words."""
    return name.replace("_", " ")
