"""What the model achieves, for people: how often it is right, what it saves, and how it compares with simple models.

Each sentence is about a figure of evaluation.json, and is absent where that figure was not measured.
"""

from collections.abc import Iterator, Mapping, Sequence

from model_deployer.contract import origin_text
from model_deployer.contract.evaluation import (
    LINEAR,
    MODEL,
    TRIVIAL,
    ConstantDecision,
    Decisions,
    Evaluation,
    MetricValue,
    Residuals,
)
from model_deployer.contract.metric_catalog import (
    HIGHER_IS_BETTER,
    LOSS,
    LOWER_IS_BETTER,
    base_metric,
    metric_in_words,
    metric_of_target,
)
from model_deployer.contract.number_format import count, interval, number, percent
from model_deployer.contract.outputs import Classification, Output, Regression, VectorOutput
from model_deployer.handoff.documents.evaluation_text import MAX_LABELS, MAX_ROWS, meaning, words
from model_deployer.package.package_data import PackageData
from model_deployer.writing.markdown import Markdown, code, join_list, join_sentences, markdown, table

#: The names of the baselines.
_BASELINES = {LINEAR: "Linear model", TRIVIAL: "Same answer for every row"}


def summary(package: PackageData) -> Iterator[Markdown]:
    """Yield paragraphs: how good the model is, what it saves, and how it compares with a linear model."""
    evaluation, output = package.evaluation, package.contract.output
    if not evaluation.metrics_of(MODEL):
        return
    if isinstance(output, VectorOutput):
        yield join_sentences(*_quality_of_targets(evaluation, output))
        return
    yield join_sentences(*_quality(evaluation, output), *_constant_accuracy(evaluation))
    if costs := join_sentences(*_costs(evaluation)):
        yield costs
    yield join_sentences(_loss(evaluation, output), *_trivial_loss(evaluation))
    if comparison := join_sentences(*linear_comparison(evaluation)):
        yield comparison


def _quality(evaluation: Evaluation, output: Output) -> Iterator[str]:
    metrics = evaluation.metrics_of(MODEL)
    test = f"On {origin_text.test_rows(evaluation)}" if evaluation.rows else "On the test rows"
    if "accuracy" in metrics:
        accuracy = metrics["accuracy"]
        yield f"{test}, {percent(accuracy.value)} of its decisions are right ({_percents(accuracy)})."
    elif evaluation.residuals:
        half, most = (_error_of(evaluation.residuals, share) for share in (0.5, 0.9))
        unit = f" {output.unit}" if isinstance(output, Regression) and output.unit else ""
        yield f"{test}, half of its values are within {number(half)}{unit} of the truth, and 90 % within"
        yield f"{number(most)}{unit}."
    elif "share_below" in metrics and isinstance(output, Regression) and output.quantile is not None:
        below = metrics["share_below"]
        yield f"{test}, the truth is at or below the value in {percent(below.value)} of cases ({_percents(below)});"
        yield f"the value is made for {percent(output.quantile)}."
    else:
        yield f"{test}, these figures were measured."


def _quality_of_targets(evaluation: Evaluation, output: VectorOutput) -> Iterator[str]:
    """Yield for each target how far the model is off, next to the mean of the target for every row."""
    test = f"On {origin_text.test_rows(evaluation)}" if evaluation.rows else "On the test rows"
    names = output.names or ()
    errors = []
    for name in names[:MAX_LABELS]:
        metric = metric_of_target("mae", name)
        own, trivial = (evaluation.metrics_of(model).get(metric) for model in (MODEL, TRIVIAL))
        if own and trivial:
            unit = f" {markdown(output.unit_of[name])}" if name in output.unit_of else ""
            errors.append(Markdown(f"{number(own.value)}{unit} in {code(name)} ({number(trivial.value)}{unit})"))
    yield Markdown(
        f"{test}, it is off on average by {join_list(errors)}; in parentheses, what the mean of the train part for "
        "every row is off by."
    )
    if len(names) > MAX_LABELS:
        yield f"The other {len(names) - MAX_LABELS:,} targets are under metrics."


def _error_of(residuals: Residuals, share: float) -> float:
    return next(quantile.error for quantile in residuals.quantiles if quantile.share == share)


def _percents(metric: MetricValue) -> str:
    return f"95 % interval {percent(metric.low)} to {percent(metric.high)}"


def _constant_accuracy(evaluation: Evaluation) -> Iterator[str]:
    decisions = evaluation.decisions
    if decisions is None:
        return
    total = sum(label.rows for label in decisions.labels)
    most = max(decisions.labels, key=lambda label: label.rows)
    yield Markdown(f"Always deciding for {code(most.label)}, the most frequent label, would be right in")
    yield f"{percent(most.rows / total)}."


def _costs(evaluation: Evaluation) -> Iterator[str]:
    cost, constant = evaluation.metrics_of(MODEL).get("cost"), evaluation.cheapest_constant
    if cost is None or constant is None or evaluation.decisions is None:
        return
    yield Markdown(
        f"A wrong decision costs {_error_costs(evaluation.decisions)}. The decisions of the model cost "
        f"{number(cost.value)} per row ({interval(cost.low, cost.high)}). {_saving(cost, constant, evaluation)}"
    )
    accuracy = evaluation.metrics_of(MODEL).get("accuracy")
    if accuracy and accuracy.value < constant.accuracy:
        yield "They are right less often than that constant decision, because they avoid the more expensive mistake."


def _error_costs(decisions: Decisions) -> str:
    negative, positive = (label.label for label in decisions.labels)
    false_positive, false_negative = decisions.false_positive or 0, decisions.false_negative or 0
    return (
        f"{number(false_positive)} if it is {code(positive)} and the truth is {code(negative)}, and "
        f"{number(false_negative)} the other way round"
    )


def _saving(cost: MetricValue, constant: ConstantDecision, evaluation: Evaluation) -> str:
    cheapest = (
        f"the cheapest decision that is the same for every row, {code(constant.label)}, costs {number(constant.cost)}"
    )
    difference = evaluation.differences.get(TRIVIAL, {}).get("cost")
    chance = " (the difference may be chance)" if difference is not None and _may_be_chance(difference) else ""
    if number(cost.value) == number(constant.cost):
        return f"{cheapest[:1].upper()}{cheapest[1:]}, too: the model saves nothing."
    if not constant.cost:
        return f"{cheapest[:1].upper()}{cheapest[1:]}."
    gap = (constant.cost - cost.value) / constant.cost
    verb = "saves" if gap > 0 else "costs more by"
    return f"{cheapest[:1].upper()}{cheapest[1:]}: the model {verb} {percent(abs(gap))} against it{chance}."


def _loss(evaluation: Evaluation, output: Output) -> str:
    name = LOSS[output.task]
    metric = evaluation.metrics_of(MODEL).get(name)
    if metric is None:
        return ""
    return (
        f"Its {words(name)} ({meaning(name, output)}) is {number(metric.value)}, with a 95 % interval from "
        f"{interval(metric.low, metric.high)}."
    )


def _trivial_loss(evaluation: Evaluation) -> Iterator[str]:
    name = LOSS[evaluation.task]
    metric = evaluation.metrics_of(TRIVIAL).get(name)
    if metric and name in evaluation.metrics_of(MODEL):
        yield f"The same answer for every row has {number(metric.value)}."


def linear_comparison(evaluation: Evaluation) -> Iterator[str]:
    """Yield sentences on the metrics in which the model is better or worse than a linear model on the same rows."""
    linear = evaluation.metrics_of(LINEAR)
    if not linear or not evaluation.metrics_of(MODEL) or evaluation.estimator == LINEAR:
        return
    groups = compared_metrics(evaluation, LINEAR)
    names = {verdict: [words(name) for name in metrics] for verdict, metrics in groups.items() if metrics}
    if set(names) <= {"equal"}:
        conclusion = "" if evaluation.adoption else ": nothing speaks for a more complex one"
        yield f"A linear model on the same fields has the same figures{conclusion}."
        return
    phrases = {
        "better": "better in",
        "worse": "worse in",
        "unclear": "different by no more than chance in",
        "equal": "equal in",
    }
    parts = [f"{phrases[verdict]} {join_list(metrics)}" for verdict, metrics in names.items()]
    yield f"Against {_linear_model(evaluation)}, it is {'; '.join(parts)}."
    yield from _linear_cost(evaluation, linear)


def _linear_model(evaluation: Evaluation) -> str:
    if evaluation.adoption is None or evaluation.rows is None:
        return "a linear model on the same fields and rows"
    rows = count(evaluation.rows.train, "row")
    return f"a linear model on the same fields that was fitted to the {rows} of the train part"


def compared_metrics(evaluation: Evaluation, baseline: str) -> dict[str, list[str]]:
    """Return the metrics that rank models, by the verdict on the model: ``better``, ``worse``, ``unclear``, ``equal``.

    A difference is clear if its 95 % interval on the same rows excludes 0. Early models have no such interval: there,
    the two intervals of the metric must not overlap, which is stricter.
    """
    groups: dict[str, list[str]] = {"better": [], "worse": [], "unclear": [], "equal": []}
    for name, metric in evaluation.metrics_of(MODEL).items():
        other = evaluation.metrics_of(baseline).get(name)
        if other is not None and base_metric(name) in HIGHER_IS_BETTER | LOWER_IS_BETTER:
            difference = evaluation.differences.get(baseline, {}).get(name)
            groups[_verdict(name, metric, other, difference)].append(name)
    return groups


def _verdict(name: str, metric: MetricValue, other: MetricValue, difference: MetricValue | None) -> str:
    if number(metric.value) == number(other.value):
        return "equal"
    overlap = metric.low <= other.high and other.low <= metric.high
    if overlap if difference is None else _may_be_chance(difference):
        return "unclear"
    return "better" if (metric.value > other.value) == (base_metric(name) in HIGHER_IS_BETTER) else "worse"


def _may_be_chance(difference: MetricValue) -> bool:
    return difference.low <= 0 <= difference.high


def _linear_cost(evaluation: Evaluation, linear: Mapping[str, MetricValue]) -> Iterator[str]:
    cost, other = evaluation.metrics_of(MODEL).get("cost"), linear.get("cost")
    if cost is None or other is None or number(cost.value) == number(other.value):
        return
    sentence = f"The decisions of the linear model cost {number(other.value)} per row, those of this one"
    difference = evaluation.differences.get(LINEAR, {}).get("cost")
    chance = " (a difference that may be chance)" if difference is None or _may_be_chance(difference) else ""
    cheaper = ": by cost alone, the linear model was cheaper on the test rows" if other.value < cost.value else ""
    yield f"{sentence} {number(cost.value)}{cheaper}{chance}."


def metrics(package: PackageData) -> Markdown:
    """Return a table of all metrics with their intervals, next to those of the baselines.

    Of the model and the linear model, the one that is clearly better in a metric is bold.
    """
    evaluation = package.evaluation
    names = [name for name in _BASELINES if name in evaluation.metrics]
    clear = compared_metrics(evaluation, LINEAR)
    rows = [
        [
            Markdown(f"**{markdown(metric_in_words(name))}**"),
            meaning(name, package.contract.output),
            _emphasized(number(metric.value), name in clear["better"]),
            interval(metric.low, metric.high),
            *(_baseline_value(evaluation, baseline, name, clear["worse"]) for baseline in names),
        ]
        for name, metric in evaluation.metrics_of(MODEL).items()
    ]
    return table(["Metric", "Meaning", "Model", "95 % interval", *(_BASELINES[name] for name in names)], rows)


def _baseline_value(evaluation: Evaluation, baseline: str, name: str, worse: Sequence[str]) -> Markdown:
    metric = evaluation.metrics_of(baseline).get(name)
    return Markdown() if metric is None else _emphasized(number(metric.value), baseline == LINEAR and name in worse)


def confusion(package: PackageData) -> Markdown:
    """Return the confusion matrix: the test rows by true label and by decision; empty if it was not measured."""
    decisions = package.evaluation.decisions
    if decisions is None or decisions.matrix is None:
        return Markdown()
    names = [label.label for label in decisions.labels]
    rows = [
        [code(name), *(number(cell) for cell in cells)] for name, cells in zip(names, decisions.matrix, strict=True)
    ]
    return table(["True label", *(Markdown(f"decided {code(name)}") for name in names)], rows)


def label_quality(package: PackageData) -> Markdown:
    """Return a table of precision and recall by label; empty if the decisions were not measured."""
    decisions = package.evaluation.decisions
    if decisions is None:
        return Markdown()
    rows = [
        [
            code(label.label),
            number(label.rows),
            percent(label.right / label.decided) if label.decided else "no such decision",
            percent(label.right / label.rows) if label.rows else "no such row",
        ]
        for label in decisions.labels[:MAX_ROWS]
    ]
    return table(["Label", "Test rows", "Right among its decisions", "Found among its rows"], rows)


def thresholds(package: PackageData) -> Markdown:
    """Return a table of the decisions with other thresholds; empty if there is no threshold."""
    decisions, output = package.evaluation.decisions, package.contract.output
    if decisions is None or not decisions.thresholds or not isinstance(output, Classification):
        return Markdown()
    cheapest = min(point.cost for point in decisions.thresholds)
    rows = [
        [
            _emphasized(number(point.threshold), point.threshold == output.threshold),
            percent(point.share),
            percent(point.precision) if point.precision is not None else "",
            percent(point.recall) if point.recall is not None else "",
            _emphasized(number(point.cost), point.cost == cheapest),
        ]
        for point in decisions.thresholds
    ]
    positive = code(str(output.positive))
    head = ["Threshold", f"Decided {positive}", "Right among these", f"Found of {positive}", "Cost per row"]
    return table([Markdown(name) for name in head], rows)


def _emphasized(text: str, is_emphasized: bool) -> Markdown:
    return Markdown(f"**{markdown(text)}**") if is_emphasized else markdown(text)


def error_sizes(residuals: Residuals) -> Markdown:
    """Return a table of the sizes of the errors."""
    rows = [[percent(quantile.share), number(quantile.error)] for quantile in residuals.quantiles]
    return table(["Share of the test rows", "Error at most"], rows)


def errors_by_value(residuals: Residuals) -> Markdown:
    """Return a table of the errors by the predicted value."""
    rows = [
        [number(part.predicted), number(part.observed), number(part.error), number(part.rows)]
        for part in residuals.bins
    ]
    return table(["Mean predicted value", "Mean true value", "Mean absolute error", "Rows"], rows)


def bias(residuals: Residuals) -> str:
    """Return a sentence on the mean error."""
    if not residuals.bias:
        return "The mean error is 0."
    direction = "low" if residuals.bias > 0 else "high"
    return f"On average, the values are too {direction} by {number(abs(residuals.bias))}."
