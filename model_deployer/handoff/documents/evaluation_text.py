"""What the evaluation of a model says, as tables and sentences that fit its task."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from model_deployer.contract.curve import verdict
from model_deployer.contract.evaluations import HIGHER_IS_BETTER, LOSS, LOWER_IS_BETTER, MEANING, metric_changes
from model_deployer.contract.number_format import count, interval, number, percent
from model_deployer.contract.outputs import Classification, Output, Regression
from model_deployer.package.package_data import PackageData
from model_deployer.writing.markdown import Markdown, code, joined, markdown, table

#: Features and slices of a table, and labels of a sentence, that are not summed up.
MOST_ROWS, MOST_LABELS = 20, 10


#: What the models beside the chosen one are called.
_BASELINES = {"linear": "Linear model", "trivial": "The same answer for every row"}


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
    metrics, output = facts.evaluation["metrics"], facts.contract.output
    loss = LOSS[output.task]
    if loss not in metrics.get("model", {}):
        return Markdown()
    figure = metrics["model"][loss]
    rows = facts.evaluation.get("rows", {}).get("test")
    where = f"On {count(rows, 'row')} that nothing was learnt from" if rows else "On the test rows"
    said = f"{where}, its {words(loss)} ({_meaning(loss, output)}) is {number(figure['value'])}, with a 95 % interval "
    said += f"from {interval(figure)}."
    others = [_against(metrics, name, loss) for name in ("linear", "trivial") if loss in metrics.get(name, {})]
    return joined(said, *others, *_costs(metrics))


def _against(metrics: Mapping[str, Any], name: str, loss: str) -> str:
    who = {"linear": "A linear model on the same fields", "trivial": "Giving every row the same answer"}[name]
    changes = metric_changes({"metrics": {"model": metrics[name]}}, {"metrics": {"model": metrics["model"]}})
    said = f"{who} reaches {number(metrics[name][loss]['value'])}"
    if changes[loss].verdict == "within the noise":
        return f"{said}: the 95 % intervals of the two overlap, so that the difference may be chance."
    return f"{said}: the model is {changes[loss].verdict}, by more than chance explains."


def _costs(metrics: Mapping[str, Any]) -> Iterator[str]:
    """What decisions cost, where costs were said; and why they may be right less often than a constant one."""
    model, trivial = metrics["model"], metrics.get("trivial", {})
    if "cost" not in model or "cost" not in trivial:
        return
    paid, constant = number(model["cost"]["value"]), number(trivial["cost"]["value"])
    yield f"Its decisions cost {paid} a row on average, the same decision for every row {constant}."
    if model["accuracy"]["value"] < trivial["accuracy"]["value"]:
        yield "They are right less often than that same decision would be, since they avoid the dearer mistake."


def metrics(facts: PackageData) -> Markdown:
    """Every metric with its interval, beside those of the simple models."""
    measured = facts.evaluation["metrics"]
    others = [name for name in _BASELINES if name in measured]
    rows = [
        [
            Markdown(f"**{words(name)}**"),
            _meaning(name, facts.contract.output),
            number(figure["value"]),
            interval(figure),
            *(number(measured[other][name]["value"]) if measured[other].get(name) else "" for other in others),
        ]
        for name, figure in measured.get("model", {}).items()
        if figure
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
    rows = [
        [words(name), *(f"{number(one[of]['value'])} ({interval(one[of])})" for of in ("old", "new")), one["verdict"]]
        for name, one in changes.items()
    ]
    return table(["Metric", "Before (95 % interval)", "Now (95 % interval)", "Verdict"], rows)


def candidates(facts: PackageData) -> Markdown:
    """What was tried, by its loss on the validation part."""
    tried = facts.evaluation.get("candidates", [])
    names = [name for name in dict.fromkeys(name for one in tried for name in one) if name not in ("name", "chosen")]
    rows = [
        [
            _bold(one["name"], one.get("chosen")),
            *(number(one[name]) if one.get(name) is not None else "" for name in names),
        ]
        for one in sorted(tried, key=lambda one: one["loss"])
    ]
    return table(["Candidate", *(words(name).capitalize() for name in names)], rows)


def _bold(text: str, is_bold: Any) -> Markdown:
    return Markdown(f"**{markdown(text)}**") if is_bold else markdown(text)


def choice(facts: PackageData) -> Markdown:
    """Which candidate was chosen, and by how much."""
    tried = facts.evaluation.get("candidates", [])
    chosen = next((one for one in tried if one.get("chosen")), None)
    rivals = [one for one in tried if not one.get("chosen")]
    if chosen is None or not rivals:
        return Markdown()
    rival = min(rivals, key=lambda one: one["loss"])
    gap = (rival["loss"] - chosen["loss"]) / rival["loss"] if rival["loss"] else 0.0
    side = "below" if gap >= 0 else "above"
    much = f"{100 * abs(gap):.2g} % {side} that of {_estimator(rival['name'])}, the best of the others"
    return joined(f"Chosen was {_estimator(chosen['name'])}: its loss on the validation rows lies {much}.")


def _estimator(name: str) -> str:
    parts = [_ESTIMATORS.get(part, part) for part in name.split("+")]
    return parts[0] if len(parts) == 1 else f"a blend of {' and '.join(parts)}"


def chosen_by(facts: PackageData) -> str:
    """What the loss of a candidate is."""
    if facts.contract.output.kind == "classification":
        return "the log loss, before the calibration"
    learnt = "logarithm of the target" if facts.evaluation.get("logarithm") else "target"
    return f"that of the {learnt}, in its standard deviations"


def reliability(facts: PackageData) -> Markdown:
    """What was promised, and how often it came true, by what the model answered."""
    promised = facts.evaluation["reliability"]
    share = promise(facts)
    shown = number if share is not None else percent
    rows = [
        [shown(one["predicted"]), percent(one["observed"]), _percents(one), number(one["rows"])]
        for one in promised["bins"]
    ]
    first = "Mean value answered" if share is not None else "Mean probability answered"
    kept = {None: "Came true", True: "Truths inside the interval", False: "Truths at or below the value"}
    which = None if share is None else "coverage" in promised
    return table([first, kept[which], "95 % interval", "Rows"], rows)


def promise(facts: PackageData) -> float | None:
    """The share that a quantity promises; None where probabilities are the promise."""
    reliability = facts.evaluation.get("reliability") or {}
    found: float | None = reliability.get("coverage", reliability.get("share_below"))
    return found


def promises_kept(facts: PackageData) -> Markdown:
    """In how many parts of the test rows the promise was kept."""
    bins, share = facts.evaluation["reliability"]["bins"], promise(facts)
    kept = sum(one["low"] <= (one["predicted"] if share is None else share) <= one["high"] for one in bins)
    label = facts.evaluation["reliability"].get("label")
    if share is None:
        whose = code(label) if label else "the likeliest label"
        by, what = (
            "probability",
            f"the mean probability answered for {whose} lies inside the 95 % interval of how often it",
        )
        what += " came true"
    else:
        by, what = "value", f"the promised {percent(share)} lies inside the 95 % interval of what was observed"
    return Markdown(
        f"The test rows were divided into {len(bins)} parts of equal size, by the {by} answered. In {kept} of the "
        f"{len(bins)}, {what}; if every promise were kept exactly, it would in about 19 of 20."
    )


def sets(facts: PackageData) -> Markdown:
    """How often the truth was in the set, by the true label."""
    found = facts.evaluation["reliability"]["sets"]["labels"]
    rows = [
        [code(one["label"]), number(one["rows"]), percent(one["observed"]), _percents(one)] for one in found[:MOST_ROWS]
    ]
    return table(["True label", "Rows", "In its set", "95 % interval"], rows)


def set_sizes(facts: PackageData) -> str:
    """How many labels the sets had."""
    sizes = facts.evaluation["reliability"]["sets"]["sizes"][:MOST_LABELS]
    return ", ".join(f"{count(one['labels'], 'label')} in {percent(one['share'])}" for one in sizes)


def _percents(figure: Mapping[str, float]) -> str:
    return f"{percent(figure['low'])} to {percent(figure['high'])}"


def slices(facts: PackageData) -> Markdown:
    """The parts of the test rows in which the model is worst."""
    loss = words(LOSS[facts.contract.output.task])
    rows = [
        [
            one["slice"],
            number(one["rows"]),
            number(one["loss"]),
            interval(one) if one["low"] is not None else "too few rows",
            f"{one['gap']:+.1%}".replace("%", " %"),
            _calibration(one),
            _notes(one),
        ]
        for one in facts.evaluation["slices"][:MOST_ROWS]
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


def _calibration(one: Mapping[str, Any]) -> str:
    error, chance = one["calibration_error"], one["calibration_chance"]
    if error is None:
        return "too few rows"
    return percent(error) + ("" if error <= chance else ", beyond chance")


def _notes(one: Mapping[str, Any]) -> str:
    notes = {"asked for in model.yaml": one["named"], "not learnt from": not one["learnt"]}
    return ", ".join(note for note, holds in notes.items() if holds)


def importance(facts: PackageData) -> Markdown:
    """How much worse the model is without what a field says."""
    found = facts.evaluation["importance"]["features"][:MOST_ROWS]
    rows = [[code(one["feature"]), number(one["rise"]), number(one["spread"])] for one in found]
    return table(["Field", f"Rise of the {words(facts.evaluation['importance']['loss'])}", "Standard deviation"], rows)


def missing(facts: PackageData) -> Markdown:
    """What becomes of the answer where a field is null."""
    found = facts.evaluation["missing"]
    unit = _distance(facts.contract.output)
    rows = [
        [code(one["feature"]), percent(one["missing"]), number(one["change"]), number(one["rise"])]
        for one in found["features"][:MOST_ROWS]
    ]
    head = [
        "Field",
        "Null in the test rows",
        f"The answer moves by, on average, {unit}",
        f"Rise of the {words(found['loss'])}",
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


def curve(facts: PackageData) -> Markdown:
    """The loss of a model that learnt from more and more rows."""
    found = facts.evaluation["curve"]
    rows = [[number(one["rows"]), number(one["loss"]), interval(one)] for one in found["points"]]
    return table(["Training rows", words(found["loss"]), "95 % interval"], rows)


def curve_verdict(facts: PackageData) -> str:
    """Whether more rows would help, as a sentence."""
    said = verdict(facts.evaluation["curve"])
    return f"{said[:1].upper()}{said[1:]}."


def curve_method(facts: PackageData) -> str:
    """How the learning curve was measured."""
    found = facts.evaluation["curve"]
    return (
        f"{_LEARNERS[found['model']]} was fitted anew on growing shares of the training rows, "
        f"{_SHARES[found['split']]}, and judged on the same test rows. Its slope "
        f"says what rows are worth; its level is not that of the model."
    )


def findings(facts: PackageData) -> Markdown:
    """What is odd about the data."""
    found = facts.evaluation["findings"]
    rows = [[one["severity"], code(one["column"]) if one["column"] else "the table", one["message"]] for one in found]
    return table(["Severity", "Column", "Finding"], rows)


def gates(facts: PackageData) -> Markdown:
    """What was asked of the model, and what was found."""
    rows = [
        [
            "met" if gate["passed"] else "missed",
            code(gate["name"]),
            gate["asked"],
            "" if gate["found"] is None else number(gate["found"]),
            gate["message"],
        ]
        for gate in facts.evaluation["gates"]
    ]
    return table(["", "Gate", "Asked for", "Found", "In words"], rows)


def words(name: str) -> str:
    """A name of a metric as words."""
    return name.replace("_", " ")
