"""report.html: what is known of a model, for a data scientist who doubts it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
)
from model_deployer.contract.metric_catalog import HIGHER_IS_BETTER, LOSS, LOWER_IS_BETTER, MEANING, Task
from model_deployer.contract.number_format import interval, number
from model_deployer.contract.outputs import Output, Regression
from model_deployer.training.report.html_elements import (
    Html,
    element,
    facts,
    number_cell,
    page,
    picture,
    section,
    table,
)
from model_deployer.training.report.plots import draw
from model_deployer.training.spec import NETWORKS

#: Features of a table, and labels of a sentence, that are not summed up.
MOST_ROWS, MOST_LABELS = 20, 10

#: By task, the metrics that stand on top.
_HEADLINE: Mapping[Task, tuple[str, ...]] = {
    "classification": ("log_loss", "roc_auc", "accuracy"),
    "regression": ("rmse", "mae", "r2"),
    "count": ("poisson_deviance", "mae", "r2"),
    "quantile": ("pinball", "share_below", "coverage"),
}

#: What is asked of the promises of a model.
_PROMISES: Mapping[type, str] = {
    ProbabilityReliability: "Do its probabilities come true?",
    IntervalReliability: "Does its interval hold what it promises?",
    QuantileReliability: "Does its value hold what it promises?",
}


@dataclass(frozen=True)
class EvaluatedModel:
    """What the report is about."""

    manifest: Manifest
    contract: Contract
    evaluation: Evaluation


def write_report(folder: Path, model: EvaluatedModel) -> None:
    """Write report.html, a page that needs nothing but itself, and its plots as PNG files in ``plots``.

    Args:
        folder: An existing folder.
        model: What is reported. A part that the evaluation has no figures for is left out.
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
        _gates(evaluation),
        _metrics(evaluation, output),
        _reliability(evaluation, plots),
        _sets(evaluation),
        _slices(evaluation, plots),
        _importance(evaluation, plots),
        _missing(evaluation, output),
        _curve(evaluation, plots),
        _candidates(evaluation),
        _history(evaluation, plots),
        _latency(evaluation),
        _findings(evaluation),
        _origin(model),
    ]
    return page(f"{model.manifest.name} {model.manifest.version}", *(part for part in parts if part))


def _header(model: EvaluatedModel) -> Html:
    manifest, contract, evaluation = model.manifest, model.contract, model.evaluation
    said = [element("p", text.strip()) for text in (manifest.description, manifest.business_context) if text]
    about = [
        ("Predicts", _prediction(contract.output)),
        ("Learnt as", _AS_LOGARITHM if evaluation.logarithm else ""),
        ("From", f"{len(contract.features)} fields"),
        ("Judged on", _judged(evaluation)),
        ("Trained", f"{manifest.created:%Y-%m-%d %H:%M:%S} UTC"),
        ("Owner", manifest.owner or ""),
        ("License", manifest.license or ""),
    ]
    title = element("h1", manifest.name, " ", element("small", manifest.version))
    return element("header", title, *said, facts(about))


_AS_LOGARITHM = "its logarithm, so that a value is nearer to the median than to the mean of what can be expected"


def _judged(evaluation: Evaluation) -> str:
    rows = evaluation.rows
    if rows is None:
        return ""
    return (
        f"{rows.test:,} rows that nothing was learnt from; {rows.train:,} taught the model, "
        f"{rows.validation:,} chose and calibrated it; split by {evaluation.split}"
    )


def _prediction(output: Output) -> str:
    if isinstance(output, Regression):
        unit = f" in {output.unit}" if output.unit else ""
        estimate = f"the expected count of {output.target}" if output.count else output.target
        if output.quantile is not None:
            estimate = f"the value that {output.target} stays at or below in {100 * output.quantile:g}% of the cases"
        interval = f"an interval that is to hold the truth in {output.coverage:.0%} of the cases"
        return f"{estimate}{unit}, with {interval}"
    labels = _listed([f"'{label}'" for label in output.labels])
    rule = f"'{output.positive}' from {output.threshold:.4g} on" if output.positive else "the likeliest"
    said = f"{output.target}: the probabilities of {labels}; the decision is {rule}"
    if output.set_threshold is None:
        return said
    return f"{said}; with the set of labels that is to hold the truth in {output.coverage:.0%} of the cases"


def _cards(evaluation: Evaluation) -> Html | None:
    cards = [_card(name, evaluation) for name in _HEADLINE[evaluation.task]]
    return element("div", *cards, of="cards") if any(cards) else None


def _card(name: str, evaluation: Evaluation) -> Html:
    metric, linear = (evaluation.metrics_of(model).get(name) for model in (MODEL, LINEAR))
    if metric is None:
        return Html()
    beside = [element("span", f"linear model {number(linear.value)}")] if linear else []
    bounds = element("span", f"95 % interval {interval(metric.low, metric.high)}")
    return element(
        "div",
        element("span", _words(name)),
        element("b", number(metric.value)),
        bounds,
        *beside,
        of="card",
    )


def _metrics(evaluation: Evaluation, output: Output) -> Html | None:
    if not evaluation.metrics:
        return None
    baselines = [evaluation.metrics_of(name) for name in evaluation.baselines]
    rows = [
        [
            _explained(name),
            number_cell(number(metric.value)),
            number_cell(interval(metric.low, metric.high)),
            *(number_cell(number(baseline[name].value) if name in baseline else "") for baseline in baselines),
        ]
        for name, metric in evaluation.metrics_of(MODEL).items()
    ]
    text = "All models were measured on the same test rows; the intervals come from resampling those."
    text += _of_which_class(output)
    head = ["Metric", "Model", "95 % interval", *evaluation.baselines]
    return section("How good is it?", element("p", text), table(head, rows))


def _of_which_class(output: Output) -> str:
    if isinstance(output, Regression):
        return ""
    if output.positive:
        return f" What is said of a class is said of '{output.positive}'."
    return (
        " What is said of a class is the mean over all classes, of which the rare ones count as much as the others; "
        "the calibration error is that of the likeliest label."
    )


def _explained(metric: str) -> Html:
    return element("td", _words(metric), element("small", f"{MEANING.get(metric, '')}{_better(metric)}"))


def _better(metric: str) -> str:
    if metric in HIGHER_IS_BETTER:
        return "; higher is better"
    return "; lower is better" if metric in LOWER_IS_BETTER else ""


def _gates(evaluation: Evaluation) -> Html | None:
    if not evaluation.gates:
        return None
    rows = [
        [_mark(gate.passed), gate.name, gate.asked, number_cell(_value(gate.found)), gate.message]
        for gate in evaluation.gates
    ]
    return section("Does it meet what was asked?", table(["", "Gate", "Asked for", "Found", ""], rows))


def _mark(passed: bool) -> Html:
    return element("td", element("span", "met" if passed else "missed", of="good" if passed else "bad"))


def _reliability(evaluation: Evaluation, plots: Mapping[str, bytes]) -> Html | None:
    reliability = evaluation.reliability
    if reliability is None:
        return None
    bins, promised = reliability.bins, reliability.nominal
    kept = sum(one.low <= (one.predicted if promised is None else promised) <= one.high for one in bins)
    columns = [
        [
            number(one.predicted),
            number(one.observed),
            interval(one.low, one.high),
            number(one.rows),
        ]
        for one in bins
    ]
    rows = [[number_cell(cell) for cell in row] for row in columns]
    if isinstance(reliability, ProbabilityReliability):
        whose = "the likeliest label" if reliability.label is None else f"'{reliability.label}'"
        promise, about = f"the predicted probability of {whose}", ""
    else:
        promise = f"the promised {100 * reliability.nominal:g}%"
        about = " What is promised is promised of all cases together, not of each part."
    text = (
        f"In {kept} of {len(bins)} parts of the test rows, {promise} lies in the 95 % interval of what was observed; "
        f"where all is right, it does so in 19 of 20.{about}"
    )
    return section(
        _PROMISES[type(reliability)],
        element("p", text),
        picture(plots["reliability"], text),
        table(["Predicted", "Observed", "95 % interval", "Rows"], rows),
    )


def _sets(evaluation: Evaluation) -> Html | None:
    reliability = evaluation.reliability
    sets = reliability.sets if isinstance(reliability, ProbabilityReliability) else None
    if sets is None:
        return None
    sizes = ", ".join(f"{one.labels} in {one.share:.1%}" for one in sets.sizes[:MOST_LABELS])
    missed = sum(one.high < sets.coverage for one in sets.labels)
    text = (
        f"Of the test rows, by the number of labels in their set: {sizes}. {sets.coverage:.0%} are promised of all "
        f"cases together, not of each label: {missed} of {len(sets.labels)} labels are surely in the sets of their own "
        f"rows less often than that. The worst come first."
    )
    rows = [
        [
            one.label,
            number_cell(f"{one.rows:,}"),
            number_cell(f"{one.observed:.1%}"),
            number_cell(f"{one.low:.1%} to {one.high:.1%}"),
        ]
        for one in sets.labels[:MOST_ROWS]
    ]
    head = ["True label", "Rows", "In its set", "95 % interval"]
    return section("Do its sets hold what they promise?", element("p", text), table(head, rows), _more(sets.labels))


def _slices(evaluation: Evaluation, plots: Mapping[str, bytes]) -> Html | None:
    slices = evaluation.slices
    if slices is None:
        return None
    title, loss = "Where is it worst?", _words(LOSS[evaluation.task])
    if not slices:
        text = f"No part of the test rows that was looked at has a {loss} above that of the others beyond chance."
        return section(title, element("p", text))
    larger, about = ("", _GAPS) if evaluation.task == "classification" else (" or its values larger", _MISSES)
    text = (
        f"Parts of the test rows by their {loss}, the most surely worse ones first. A high loss may mean that the "
        f"cases are harder{larger}, not that the model is at fault. Parts that model.yaml names are marked; the others "
        f"were found, and lie above the rest by more than chance makes of the worst of so many. The calibration error "
        f"is {about}; of few rows it is never 0, and it is marked where it is beyond what "
        f"chance makes of them."
    )
    return section(title, element("p", text), picture(plots["slices"], text), table(*_slice_table(slices, loss)))


#: What the calibration error of a slice is: of classes, and of a quantity.
_GAPS = "the mean gap between a probability and how often it comes true"
_MISSES = "how far the share of truths inside the interval is from what is promised"


def _slice_table(slices: Sequence[SliceResult], loss: str) -> tuple[list[str], list[list[Html]]]:
    rows = [
        [
            element("td", one.slice, _note(one)),
            number_cell(f"{one.rows:,}"),
            number_cell(number(one.loss)),
            number_cell(_TOO_FEW if one.low is None or one.high is None else interval(one.low, one.high)),
            number_cell(f"{one.gap:+.1%}"),
            _calibration(one),
        ]
        for one in slices
    ]
    return ["Slice", "Rows", loss.capitalize(), "95 % interval", "Against all rows", "Calibration error"], rows


_TOO_FEW = "too few rows"


def _note(one: SliceResult) -> str:
    notes = {"named in model.yaml": one.named, "not learnt from": not one.learnt}
    said = ", ".join(note for note, holds in notes.items() if holds)
    return element("small", said) if said else ""


def _calibration(one: SliceResult) -> Html:
    error, chance = one.calibration_error, one.calibration_chance
    if error is None or chance is None:
        return number_cell(_TOO_FEW)
    beyond = [] if error <= chance else [element("span", " beyond chance", of="bad")]
    return element("td", number(error), *beyond)


def _importance(evaluation: Evaluation, plots: Mapping[str, bytes]) -> Html | None:
    importance = evaluation.importance
    if importance is None:
        return None
    text = (
        f"How much the {_words(importance.loss)} rises, from {number(importance.value)}, when a column is "
        f"shuffled among the rows: the mean of {importance.repeats} times, on {importance.rows:,} rows, with the "
        f"standard deviation. Of two columns that say the same, each may seem to matter little."
    )
    shown = importance.features[:MOST_ROWS]
    rows = [[one.feature, number_cell(number(one.rise)), number_cell(number(one.spread))] for one in shown]
    return section(
        "What does it use?",
        element("p", text),
        picture(plots["importance"], text),
        table(["Feature", "Rise", "Standard deviation"], rows),
        _rest(importance.features),
    )


def _missing(evaluation: Evaluation, output: Output) -> Html | None:
    missing = evaluation.missing
    if missing is None or not missing.features:
        return None
    loss = _words(missing.loss)
    text = (
        f"Each field that may be null was made null in {missing.rows:,} test rows, one at a time: how far the "
        f"answer moves on average ({_distance(output)}), and how much the {loss} rises from {number(missing.value)}."
    )
    rows = [
        [
            one.feature,
            number_cell(f"{one.missing:.1%}"),
            number_cell(number(one.change)),
            number_cell(number(one.rise)),
        ]
        for one in missing.features[:MOST_ROWS]
    ]
    head = ["Field", "Missing in the test rows", "Answer moves by", f"Rise of {loss}"]
    return section("What if a field is missing?", element("p", text), table(head, rows), _rest(missing.features))


def _distance(output: Output) -> str:
    if isinstance(output, Regression):
        return f"in {output.unit}" if output.unit else "in units of the target"
    return "in probability" if output.positive else "the probability that changes its label"


def _rest(features: Sequence[Any]) -> Html:
    return _more(features, ", with a smaller rise")


def _more(entries: Sequence[Any], which: str = "") -> Html:
    more = len(entries) - MOST_ROWS
    return element("p", f"And {more:,} more{which}.", of="soft") if more > 0 else Html()


def _curve(evaluation: Evaluation, plots: Mapping[str, bytes]) -> Html | None:
    curve, title = evaluation.curve, "Would more rows help?"
    if curve is None:
        return None
    if not isinstance(curve, LearningCurve):
        return section(title, element("p", f"It was not measured: {curve.reason}."))
    rows = [
        [
            number_cell(f"{one.rows:,}"),
            number_cell(number(one.loss)),
            number_cell(interval(one.low, one.high)),
        ]
        for one in curve.points
    ]
    return section(
        title,
        element("p", f"{curve.verdict[0].upper()}{curve.verdict[1:]}."),
        picture(plots["curve"], curve.verdict),
        table(["Training rows", _words(curve.loss).capitalize(), "95 % interval"], rows),
        element("p", _curve_method(curve), of="soft"),
    )


def _curve_method(curve: LearningCurve) -> str:
    about = (
        f"{_REFITTED[curve.model]} was fitted anew on shares of the training rows, {_SHARES[curve.split]}, and "
        f"judged on the same test rows. Its slope says what rows are worth; its level is not that of the model above. "
        f"The gain is surer than the intervals look, since all shares were judged on the same rows; what another draw "
        f"of the shares would change is in neither. "
        f"What the next doubling brings is taken to lie between half of the last gain and all of it."
    )
    largest = curve.points[-1].rows
    if largest == curve.rows:
        return about
    return f"{about} To save time, the largest share has {largest:,} of the {curve.rows:,} rows."


#: By what was refitted, and by how the rows are split: how the report says it.
_REFITTED = {"lightgbm": "LightGBM with its defaults, at about twice the learning rate,", "linear": "The linear model"}
_SHARES = {
    "time": "the latest ones, so that more rows are a longer history",
    "group": "by whole groups, so that more rows are more groups",
    "random": "drawn at random",
    "stratified": "drawn at random with every class in its share",
}


def _candidates(evaluation: Evaluation) -> Html | None:
    if not evaluation.candidates:
        return None
    candidates = [candidate.to_json() for candidate in evaluation.candidates]
    names = list(dict.fromkeys(name for candidate in candidates for name in candidate))
    rows = [[_cell(candidate.get(name)) for name in names] for candidate in candidates]
    text = (
        f"The loss is that of the validation part: {_learnt_loss(evaluation)}. Since it decided which one was "
        f"chosen and when to stop, it flatters them; what the chosen one is worth stands above."
    )
    head = [_words(name).capitalize() for name in names]
    return section("What else was tried?", element("p", text), table(head, rows))


def _learnt_loss(evaluation: Evaluation) -> str:
    if evaluation.task == "classification":
        return "the log loss, before the calibration"
    return f"the squared error in standard deviations of the {'logarithm' if evaluation.logarithm else 'target'}"


def _history(evaluation: Evaluation, plots: Mapping[str, bytes]) -> Html | None:
    history = evaluation.history
    if not history:
        return None
    best = min(history, key=lambda one: one.validation_loss)
    chosen = {name for one in evaluation.candidates if one.chosen for name in one.name.split("+")}
    part = "is part of the chosen model" if chosen & {*NETWORKS} else "was not chosen"
    text = (
        f"Its loss on the validation part is lowest after epoch {best.epoch} of {len(history)}, at "
        f"{number(best.validation_loss)}. The network {part}."
    )
    return section("How did the network learn?", element("p", text), picture(plots["history"], text))


def _latency(evaluation: Evaluation) -> Html | None:
    if evaluation.latency is None:
        return None
    text = "Of the exported graph alone, on the machine that trained it; a server adds its own time."
    pairs = ((_words(name), _value(figure)) for name, figure in evaluation.latency.to_json().items())
    return section("How fast does it answer?", element("p", text), facts(pairs))


def _findings(evaluation: Evaluation) -> Html | None:
    if not evaluation.findings:
        return None
    rows = [[one.severity, one.column or "the table", one.message] for one in evaluation.findings]
    return section("What is odd about the data?", table(["", "Column", "Finding"], rows))


def _origin(model: EvaluatedModel) -> Html:
    origin = model.manifest.origin
    text = "The same model.yaml (spec.yaml among the model's files), data, seed and libraries give the same weights."
    command = element("pre", "deployer train model.yaml")
    pairs = [
        ("Data", origin.data_version),
        ("Seed", str(origin.seed)),
        ("Commit", origin.git_commit or ""),
        ("Python", origin.python),
        ("Libraries", ", ".join(f"{name} {version}" for name, version in origin.libraries.items())),
        ("Exported graph", _parity(model.evaluation)),
    ]
    return section("How is it trained again?", element("p", text), command, facts(pairs))


def _parity(evaluation: Evaluation) -> str:
    if evaluation.parity is None:
        return ""
    return f"at most {evaluation.parity:.1g} from the trained model on the test rows; it is what all figures are of"


def _cell(value: Any) -> str:
    return number_cell(_value(value)) if isinstance(value, int | float) else _value(value)


def _value(value: Any) -> str:
    """Any value of the evaluation in a line."""
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
    shown = names if len(names) <= MOST_LABELS else [*names[:MOST_LABELS], f"{len(names) - MOST_LABELS:,} more"]
    return f"{', '.join(shown[:-1])} and {shown[-1]}"
