"""report.html: the evaluation of a model as a page, for a data scientist who wants to check it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_deployer.contract import origin_text
from model_deployer.contract.artifact import PLOTS, REPORT, Manifest
from model_deployer.contract.contract import Contract
from model_deployer.contract.evaluation import (
    LINEAR,
    MODEL,
    Evaluation,
    IntervalReliability,
    LearningCurve,
    ProbabilityReliability,
    QuantileReliability,
    SliceResult,
    SplitMethod,
)
from model_deployer.contract.metric_catalog import (
    HIGHER_IS_BETTER,
    LOSS,
    LOWER_IS_BETTER,
    MEANING,
    Task,
    base_metric,
    metric_in_words,
)
from model_deployer.contract.number_format import interval, number
from model_deployer.contract.outputs import Classification, Output, Regression, VectorOutput
from model_deployer.training.report.html_elements import (
    Html,
    definition_list,
    element,
    number_cell,
    page,
    picture,
    section,
    table,
)
from model_deployer.training.report.plots import draw
from model_deployer.training.report.source import source_section
from model_deployer.training.spec import NETWORKS

#: The maximum number of rows of a table of features, and of labels in a sentence; the rest is counted.
MAX_ROWS, MAX_LABELS = 20, 10

#: The metrics at the top of the page, by task.
_HEADLINE: Mapping[Task, tuple[str, ...]] = {
    "classification": ("log_loss", "roc_auc", "accuracy"),
    "regression": ("rmse", "mae", "r2"),
    "count": ("poisson_deviance", "mae", "r2"),
    "quantile": ("pinball", "share_below", "coverage"),
    "multioutput_regression": (),
    "embedding": (),
}

#: The title of the section about reliability.
_RELIABILITY_TITLES: Mapping[type, str] = {
    ProbabilityReliability: "Are its probabilities reliable?",
    IntervalReliability: "Does its interval contain the truth often enough?",
    QuantileReliability: "Is the truth at or below its value often enough?",
}


@dataclass(frozen=True)
class EvaluatedModel:
    """A model with its evaluation, the content of a report."""

    manifest: Manifest
    contract: Contract
    evaluation: Evaluation


def write_report(folder: Path, model: EvaluatedModel) -> None:
    """Write report.html, a page that loads no other file, and its plots as PNG files in ``plots``.

    Args:
        folder: An existing folder.
        model: The model. A part of the evaluation that was not measured is left out.
    """
    plots = draw(model.evaluation)
    (folder / PLOTS).mkdir(exist_ok=True)
    for name, content in plots.items():
        (folder / PLOTS / f"{name}.png").write_bytes(content)
    (folder / REPORT).write_text(_page(model, plots), encoding="utf-8")


def _page(model: EvaluatedModel, plots: Mapping[str, bytes]) -> str:
    evaluation, output = model.evaluation, model.contract.output
    parts = [
        _header(model),
        _cards(evaluation),
        source_section(evaluation),
        _gates(evaluation),
        _metrics(evaluation, output),
        _thresholds(evaluation, output, plots),
        _errors(evaluation, output, plots),
        _reliability(evaluation, plots),
        _prediction_sets(evaluation),
        _slices(evaluation, plots),
        _importance(evaluation, plots),
        _missing(evaluation, output),
        _curve(evaluation, plots),
        _candidates(evaluation),
        _history(evaluation, plots),
        _latency(evaluation),
        _findings(evaluation),
        _provenance(model),
    ]
    return page(f"{model.manifest.name} {model.manifest.version}", *(part for part in parts if part))


def _header(model: EvaluatedModel) -> Html:
    manifest, contract, evaluation = model.manifest, model.contract, model.evaluation
    paragraphs = [element("p", text.strip()) for text in (manifest.description, manifest.business_context) if text]
    properties = [
        ("Predicts", _prediction(contract.output, evaluation)),
        ("Fitted to", _LOGARITHM if evaluation.logarithm else ""),
        ("From", f"{len(contract.features)} fields"),
        (
            "Not to be served",
            f"needs the Python code of {names}" if (names := ", ".join(manifest.transformers)) else "",
        ),
        ("Evaluated on", _rows(evaluation, contract.output)),
        (origin_text.made(evaluation).capitalize(), f"{manifest.created:%Y-%m-%d %H:%M:%S} UTC"),
        ("Owner", manifest.owner or ""),
        ("License", manifest.license or ""),
    ]
    title = element("h1", manifest.name, " ", element("small", manifest.version))
    return element("header", title, *paragraphs, definition_list(properties))


_LOGARITHM = "the logarithm of the target, so that a value is nearer to the median of the target than to its mean"


def _rows(evaluation: Evaluation, output: Output) -> str:
    rows = evaluation.rows
    if rows is None:
        return ""
    if evaluation.adoption is None:
        return (
            f"{rows.test:,} test rows, which training did not use; {rows.train:,} training rows fitted the model, "
            f"{rows.validation:,} validation rows chose and calibrated it{_SPLITS[evaluation.split]}"
        )
    uses = origin_text.uses_of_parts(evaluation, output)
    parts = (f"{part} ({getattr(rows, part):,} rows) {use}" for part, use in uses.items())
    return f"{origin_text.test_rows(evaluation)}. The parts: {'; '.join(parts)}{_SPLITS[evaluation.split]}"


#: The method of the split, as the end of a sentence.
_SPLITS: Mapping[SplitMethod | None, str] = {
    "random": "; the split is random",
    "stratified": "; the split is random, with equal shares of every class",
    "group": "; the split is by group",
    "time": "; the split is by time",
    None: "",
}


def _prediction(output: Output, evaluation: Evaluation) -> str:
    if isinstance(output, Regression):
        unit = f" in {output.unit}" if output.unit else ""
        estimate = f"the expected count of {output.target}" if output.count else output.target
        if output.quantile is not None:
            estimate = f"the {100 * output.quantile:g}% quantile of {output.target}"
        interval = f", with an interval that contains the truth in {output.coverage:.0%} of the cases"
        return f"{estimate}{unit}{interval if output.interval else ''}"
    if isinstance(output, VectorOutput):
        if output.names is None:
            return f"{output.target}: an embedding of {output.length} numbers"
        units = output.unit_of
        return _listed([f"{name} in {units[name]}" if name in units else name for name in output.names])
    labels = _listed([f"'{label}'" for label in output.labels])
    rule = (
        f"'{output.positive}' if its probability is {origin_text.from_threshold(f'{output.threshold:.4g}', evaluation)}"
        if output.positive
        else "the most likely label"
    )
    prediction = f"{output.target}: the probabilities of {labels}; the decision is {rule}"
    if output.set_threshold is None:
        return prediction
    return f"{prediction}; with a set of labels that contains the truth in {output.coverage:.0%} of the cases"


def _cards(evaluation: Evaluation) -> Html | None:
    cards = [_card(name, evaluation) for name in _HEADLINE[evaluation.task]]
    return element("div", *cards, css_class="cards") if any(cards) else None


def _card(name: str, evaluation: Evaluation) -> Html:
    metric, linear = (evaluation.metrics_of(model).get(name) for model in (MODEL, LINEAR))
    if metric is None:
        return Html()
    comparison = [element("span", f"linear model: {number(linear.value)}")] if linear else []
    return element(
        "div",
        element("span", _words(name)),
        element("b", number(metric.value)),
        element("span", f"95 % interval: {interval(metric.low, metric.high)}"),
        *comparison,
        css_class="card",
    )


def _metrics(evaluation: Evaluation, output: Output) -> Html | None:
    if not evaluation.metrics:
        return None
    baselines = [evaluation.metrics_of(name) for name in evaluation.baselines]
    rows = [
        [
            _metric_name(name),
            number_cell(number(metric.value)),
            number_cell(interval(metric.low, metric.high)),
            *(number_cell(number(baseline[name].value) if name in baseline else "") for baseline in baselines),
        ]
        for name, metric in evaluation.metrics_of(MODEL).items()
    ]
    text = "All models were measured on the same test rows. The intervals come from bootstrap resampling of these rows."
    text += _class_of_metrics(output)
    head = ["Metric", "Model", "95 % interval", *evaluation.baselines]
    return section("How good is it?", element("p", text), table(head, rows))


def _class_of_metrics(output: Output) -> str:
    if not isinstance(output, Classification):
        return ""
    if output.positive:
        return f" Metrics of a class are those of '{output.positive}'."
    return (
        " Metrics of a class are the mean over all classes, with the same weight for rare and frequent classes; "
        "the calibration error is that of the most likely label."
    )


def _thresholds(evaluation: Evaluation, output: Output, plots: Mapping[str, bytes]) -> Html | None:
    decisions = evaluation.decisions
    if decisions is None or not decisions.thresholds:
        return None
    if not isinstance(output, Classification) or output.threshold is None:
        return None
    cheapest = min(decisions.thresholds, key=lambda point: point.cost)
    own = next((point.cost for point in decisions.thresholds if point.threshold == output.threshold), None)
    own_cost = "" if own is None else f", with a cost per row of {number(own)}"
    text = (
        f"The threshold of the model is {number(output.threshold)}{own_cost}. On the test rows, the cost is lowest, "
        f"{number(cheapest.cost)}, at {number(cheapest.threshold)}. That is partly luck: {_choice(evaluation)}."
    )
    rows = [
        [
            number_cell(number(point.threshold)),
            number_cell(f"{point.share:.1%}"),
            number_cell("" if point.precision is None else f"{point.precision:.1%}"),
            number_cell("" if point.recall is None else f"{point.recall:.1%}"),
            number_cell(number(point.cost)),
        ]
        for point in decisions.thresholds
    ]
    head = ["Threshold", f"Decided '{output.positive}'", "Precision", "Recall", "Cost per row"]
    title = "What would another threshold cost?"
    return section(title, element("p", text), picture(plots["thresholds"], text), table(head, rows))


def _choice(evaluation: Evaluation) -> str:
    """Return how the threshold was chosen, as a sentence without a capital letter and a full stop."""
    if evaluation.adoption:
        return "the threshold is that of the source, and should not be chosen by these rows alone"
    return "the threshold was chosen on the validation rows, and should stay"


def _errors(evaluation: Evaluation, output: Output, plots: Mapping[str, bytes]) -> Html | None:
    residuals = evaluation.residuals
    if residuals is None:
        return None
    unit = f" {output.unit}" if isinstance(output, Regression) and output.unit else ""
    sizes = ", ".join(f"{number(part.error)}{unit} in {part.share:.0%}" for part in residuals.quantiles)
    direction = "low" if residuals.bias > 0 else "high"
    text = (
        f"The error is at most {sizes} of the test rows. On average, the values are "
        f"{number(abs(residuals.bias))}{unit} too {direction}. The table has the fifths of the test rows by their "
        "predicted value."
    )
    rows = [
        [number_cell(number(value)) for value in (part.predicted, part.observed, part.error, part.rows)]
        for part in residuals.bins
    ]
    head = ["Predicted, mean", "True, mean", "Mean absolute error", "Rows"]
    return section("How large are its errors?", element("p", text), picture(plots["errors"], text), table(head, rows))


def _metric_name(metric: str) -> Html:
    about = f"{MEANING.get(base_metric(metric), '')}{_direction(base_metric(metric))}"
    return element("td", metric_in_words(metric), element("small", about))


def _direction(metric: str) -> str:
    if metric in HIGHER_IS_BETTER:
        return "; higher is better"
    return "; lower is better" if metric in LOWER_IS_BETTER else ""


def _gates(evaluation: Evaluation) -> Html | None:
    if not evaluation.gates:
        return None
    rows = [
        [_status(gate.passed), gate.name, gate.asked, number_cell(_value(gate.found)), gate.message]
        for gate in evaluation.gates
    ]
    return section("Does it pass its gates?", table(["", "Gate", "Required", "Measured", "Result"], rows))


def _status(passed: bool) -> Html:
    return element("td", element("span", "passed" if passed else "failed", css_class="good" if passed else "bad"))


def _reliability(evaluation: Evaluation, plots: Mapping[str, bytes]) -> Html | None:
    reliability = evaluation.reliability
    if reliability is None:
        return None
    bins, nominal = reliability.bins, reliability.nominal
    inside = sum(part.low <= (part.predicted if nominal is None else nominal) <= part.high for part in bins)
    columns = [
        [
            number(part.predicted),
            number(part.observed),
            interval(part.low, part.high),
            number(part.rows),
        ]
        for part in bins
    ]
    rows = [[number_cell(cell) for cell in row] for row in columns]
    if isinstance(reliability, ProbabilityReliability):
        label = "the most likely label" if reliability.label is None else f"'{reliability.label}'"
        share, note = f"the predicted probability of {label}", ""
    else:
        share = f"the nominal share of {100 * reliability.nominal:g}%"
        note = " The nominal share applies to all cases together, not to each part."
    text = (
        f"In {inside} of {len(bins)} parts of the test rows, {share} is inside the 95 % interval of the observed "
        f"share. For a reliable model, this is expected in 19 of 20 parts.{note}"
    )
    return section(
        _RELIABILITY_TITLES[type(reliability)],
        element("p", text),
        picture(plots["reliability"], text),
        table(["Predicted", "Observed", "95 % interval", "Rows"], rows),
    )


def _prediction_sets(evaluation: Evaluation) -> Html | None:
    reliability = evaluation.reliability
    sets = reliability.sets if isinstance(reliability, ProbabilityReliability) else None
    if sets is None:
        return None
    sizes = ", ".join(f"{size.labels} in {size.share:.1%}" for size in sets.sizes[:MAX_LABELS])
    below = sum(label.high < sets.coverage for label in sets.labels)
    text = (
        f"The number of labels in the set is {sizes} of the test rows. The nominal share of {sets.coverage:.0%} "
        f"applies to all cases together, not to each label: the observed share is certainly lower for "
        f"{below} of {len(sets.labels)} true labels. The worst labels come first."
    )
    rows = [
        [
            label.label,
            number_cell(f"{label.rows:,}"),
            number_cell(f"{label.observed:.1%}"),
            number_cell(f"{label.low:.1%} to {label.high:.1%}"),
        ]
        for label in sets.labels[:MAX_ROWS]
    ]
    head = ["True label", "Rows", "In the set", "95 % interval"]
    title = "Do its sets contain the truth often enough?"
    return section(title, element("p", text), table(head, rows), _more(sets.labels))


def _slices(evaluation: Evaluation, plots: Mapping[str, bytes]) -> Html | None:
    slices = evaluation.slices
    if slices is None:
        return None
    title, loss = "Where is it worst?", _words(LOSS[evaluation.task])
    if not slices:
        text = f"No slice of the test rows has a {loss} that is higher than that of the other rows beyond chance."
        return section(title, element("p", text))
    is_classification = evaluation.task == "classification"
    larger, gap = ("", _PROBABILITY_GAP) if is_classification else (" or its values larger", _SHARE_GAP)
    text = (
        f"Slices of the test rows by their {loss}; those that are most certainly worse come first. A high loss may "
        f"mean that the cases are harder{larger}, not that the model is at fault. Slices that model.yaml names are "
        "marked. The search reported the others because their loss is higher than chance explains for the worst of "
        f"all slices that it compared. The calibration error is {gap}. With few rows it is never 0; it is marked if it "
        "is larger than chance explains."
    )
    return section(title, element("p", text), picture(plots["slices"], text), table(*_slice_table(slices, loss)))


#: The meaning of the calibration error of a slice: for classes, and for a quantity.
_PROBABILITY_GAP = "the mean gap between a predicted probability and the observed frequency"
_SHARE_GAP = "the gap between the nominal and the observed share of truths inside the interval"


def _slice_table(slices: Sequence[SliceResult], loss: str) -> tuple[list[str], list[list[Html]]]:
    rows = [
        [
            element("td", part.slice, _note(part)),
            number_cell(f"{part.rows:,}"),
            number_cell(number(part.loss)),
            number_cell(_TOO_FEW if part.low is None or part.high is None else interval(part.low, part.high)),
            number_cell(f"{part.gap:+.1%}"),
            _calibration(part),
        ]
        for part in slices
    ]
    head = ["Slice", "Rows", loss.capitalize(), "95 % interval", "Compared with all rows", "Calibration error"]
    return head, rows


_TOO_FEW = "too few rows"


def _note(part: SliceResult) -> str:
    notes = {"named in model.yaml": part.named, "not an input of the model": not part.learnt}
    text = ", ".join(note for note, applies in notes.items() if applies)
    return element("small", text) if text else ""


def _calibration(part: SliceResult) -> Html:
    error, chance = part.calibration_error, part.calibration_chance
    if error is None or chance is None:
        return number_cell(_TOO_FEW)
    mark = [] if error <= chance else [element("span", " beyond chance", css_class="bad")]
    return element("td", number(error), *mark)


def _importance(evaluation: Evaluation, plots: Mapping[str, bytes]) -> Html | None:
    importance = evaluation.importance
    if importance is None:
        return None
    text = (
        f"The rise of the {_words(importance.loss)}, from {number(importance.value)}, when a column is shuffled among "
        f"the rows: the mean of {importance.repeats} repeats on {importance.rows:,} rows, with the standard deviation. "
        f"If two columns contain the same information, both may seem unimportant."
    )
    rows = [
        [feature.feature, number_cell(number(feature.rise)), number_cell(number(feature.spread))]
        for feature in importance.features[:MAX_ROWS]
    ]
    return section(
        "Which features does it use?",
        element("p", text),
        picture(plots["importance"], text),
        table(["Feature", "Rise", "Standard deviation"], rows),
        _more_features(importance.features),
    )


def _missing(evaluation: Evaluation, output: Output) -> Html | None:
    missing = evaluation.missing
    if missing is None or not missing.features:
        return None
    loss = _words(missing.loss)
    text = (
        f"Each field that may be null was set to null in {missing.rows:,} test rows, one field at a time. The table "
        f"shows the mean change of the prediction ({_unit_of_change(output)}), and the rise of the {loss} from "
        f"{number(missing.value)}."
    )
    rows = [
        [
            feature.feature,
            number_cell(f"{feature.missing:.1%}"),
            number_cell(number(feature.change)),
            number_cell(number(feature.rise)),
        ]
        for feature in missing.features[:MAX_ROWS]
    ]
    head = ["Field", "Missing in the test rows", "Change of the prediction", f"Rise of {loss}"]
    return section(
        "What if a field is missing?", element("p", text), table(head, rows), _more_features(missing.features)
    )


def _unit_of_change(output: Output) -> str:
    if not isinstance(output, Classification):
        unit = output.unit if isinstance(output, Regression) else None
        return f"in {unit}" if unit else "in units of the target"
    return "in probability" if output.positive else "the probability that moves from one label to another"


def _more_features(features: Sequence[Any]) -> Html:
    return _more(features, ", with a smaller rise")


def _more(entries: Sequence[Any], detail: str = "") -> Html:
    more = len(entries) - MAX_ROWS
    return element("p", f"And {more:,} more{detail}.", css_class="soft") if more > 0 else Html()


def _curve(evaluation: Evaluation, plots: Mapping[str, bytes]) -> Html | None:
    curve, title = evaluation.curve, "Would more rows help?"
    if curve is None:
        return None
    if not isinstance(curve, LearningCurve):
        return section(title, element("p", f"This was not measured: {curve.reason}."))
    rows = [
        [
            number_cell(f"{point.rows:,}"),
            number_cell(number(point.loss)),
            number_cell(interval(point.low, point.high)),
        ]
        for point in curve.points
    ]
    return section(
        title,
        element("p", f"{curve.verdict[0].upper()}{curve.verdict[1:]}."),
        picture(plots["curve"], curve.verdict),
        table(["Training rows", _words(curve.loss).capitalize(), "95 % interval"], rows),
        element("p", _curve_method(curve), css_class="soft"),
    )


def _curve_method(curve: LearningCurve) -> str:
    text = (
        f"{_CURVE_MODELS[curve.model]} was fitted on parts of the training rows, {_CURVE_PARTS[curve.split]}, and "
        f"measured on the same test rows. The slope of the curve shows the value of more rows; its level differs from "
        f"that of the model above. The gain is more certain than the intervals suggest, because all fits have the same "
        f"test rows. The intervals do not include the effect of another random choice of the parts. The expected gain "
        f"of the next doubling is between half of the last gain and all of it."
    )
    largest = curve.points[-1].rows
    if largest == curve.rows:
        return text
    return f"{text} To save time, the largest part has {largest:,} of the {curve.rows:,} rows."


#: The model of the curve by its name, and the rows of its parts by the method of the split.
_CURVE_MODELS = {
    "lightgbm": "LightGBM with its defaults, at about twice the learning rate,",
    "linear": "The linear model",
}
_CURVE_PARTS = {
    "time": "the latest ones, so that more rows are a longer history",
    "group": "by whole groups, so that more rows are more groups",
    "random": "at random",
    "stratified": "at random with equal shares of every class",
}


def _candidates(evaluation: Evaluation) -> Html | None:
    if not evaluation.candidates:
        return None
    candidates = [candidate.to_json() for candidate in evaluation.candidates]
    names = list(dict.fromkeys(name for candidate in candidates for name in candidate))
    rows = [[_cell(candidate.get(name)) for name in names] for candidate in candidates]
    text = (
        f"The loss is that of the validation part: {_fitted_loss(evaluation)}. It is too optimistic, because it "
        "decided which candidate was chosen and when a fit stopped. The metrics above are those of the chosen model "
        "on the test rows."
    )
    head = [_words(name).capitalize() for name in names]
    return section("Which candidates were tried?", element("p", text), table(head, rows))


def _fitted_loss(evaluation: Evaluation) -> str:
    if evaluation.task == "classification":
        return "the log loss, before the calibration"
    return f"the squared error in standard deviations of the {'logarithm' if evaluation.logarithm else 'target'}"


def _history(evaluation: Evaluation, plots: Mapping[str, bytes]) -> Html | None:
    history = evaluation.history
    if not history:
        return None
    best = min(history, key=lambda epoch: epoch.validation_loss)
    chosen = {name for candidate in evaluation.candidates if candidate.chosen for name in candidate.name.split("+")}
    role = "is part of the chosen model" if chosen & {*NETWORKS} else "was not chosen"
    text = (
        f"The loss of the network on the validation part is lowest after epoch {best.epoch} of {len(history)}, at "
        f"{number(best.validation_loss)}. The network {role}."
    )
    return section("How was the network trained?", element("p", text), picture(plots["history"], text))


def _latency(evaluation: Evaluation) -> Html | None:
    if evaluation.latency is None:
        return None
    made = origin_text.made(evaluation)
    text = f"The latency of the exported graph alone, on the machine that {made} it. A server adds its own time."
    pairs = ((_words(name), _value(value)) for name, value in evaluation.latency.to_json().items())
    return section("How fast does it answer?", element("p", text), definition_list(pairs))


def _findings(evaluation: Evaluation) -> Html | None:
    if not evaluation.findings:
        return None
    rows = [[finding.severity, finding.column or "the table", finding.message] for finding in evaluation.findings]
    return section("What did the checks of the data find?", table(["Severity", "Column", "Finding"], rows))


def _provenance(model: EvaluatedModel) -> Html:
    origin = model.manifest.origin
    title, result = "How can it be trained again?", "weights"
    if model.evaluation.adoption:
        title, result = "How can it be adopted again?", "answers and figures, if the source is the same"
    text = f"The same model.yaml (spec.yaml among the model's files), data, seed and libraries give the same {result}."
    command = element("pre", "deployer train model.yaml")
    pairs = [
        ("Data", origin.data_version),
        ("Query", origin.query or ""),
        ("Seed", str(origin.seed)),
        ("Commit", origin.git_commit or ""),
        ("Python", origin.python),
        ("Libraries", ", ".join(f"{name} {version}" for name, version in origin.libraries.items())),
        ("Own modules", ", ".join(f"{file} {digest[:19]}" for file, digest in origin.modules.items())),
        ("Exported graph", _parity(model.evaluation)),
    ]
    return section(title, element("p", text), command, definition_list(pairs))


def _parity(evaluation: Evaluation) -> str:
    if evaluation.parity is None:
        return ""
    return (
        f"differs from the trained model by at most {evaluation.parity:.1g} on the test rows; "
        f"all metrics are those of the graph"
    )


def _cell(value: Any) -> str:
    return number_cell(_value(value)) if isinstance(value, int | float) else _value(value)


def _value(value: Any) -> str:
    """Return any value of the evaluation as one line of text."""
    if isinstance(value, Mapping):
        return ", ".join(f"{_words(name)} {_value(inner)}" for name, inner in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    return "" if value is None else str(value)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _listed(names: Sequence[str]) -> str:
    shown = names if len(names) <= MAX_LABELS else [*names[:MAX_LABELS], f"{len(names) - MAX_LABELS:,} more"]
    return f"{', '.join(shown[:-1])} and {shown[-1]}"
