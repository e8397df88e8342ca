"""report.html: what is known of a model, for a data scientist who doubts it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from model_deployer.contract import number_format
from model_deployer.contract.artifact import PLOTS, REPORT
from model_deployer.contract.curve import verdict
from model_deployer.contract.evaluations import HIGHER_IS_BETTER, LOSS, LOWER_IS_BETTER, MEANING
from model_deployer.training.report.html_elements import Html, element, facts, number, page, picture, section, table
from model_deployer.training.report.plots import draw
from model_deployer.training.spec import NETWORKS

#: Features of a table, and labels of a sentence, that are not summed up.
MOST_ROWS, MOST_LABELS = 20, 10

#: By task, the metrics that stand on top.
_HEADLINE = {
    "classification": ("log_loss", "roc_auc", "accuracy"),
    "regression": ("rmse", "mae", "r2"),
    "count": ("poisson_deviance", "mae", "r2"),
    "quantile": ("pinball", "share_below", "coverage"),
}

#: What is asked of the shares that ``reliability`` promises.
_PROMISES = {
    "coverage": "Does its interval hold what it promises?",
    "share_below": "Does its value hold what it promises?",
}


def write_report(folder: Path, document: Mapping[str, Any]) -> None:
    """Write report.html, a page that needs nothing but itself, and its plots as PNG files in ``plots``.

    Args:
        folder: An existing folder.
        document: ``manifest``, ``contract`` and ``evaluation``: the content of the files of these names in an artifact.
            A part that the evaluation has no figures for is left out.
    """
    plots = draw(document["evaluation"])
    (folder / PLOTS).mkdir(exist_ok=True)
    for name, content in plots.items():
        (folder / PLOTS / f"{name}.png").write_bytes(content)
    (folder / REPORT).write_text(_page(document, plots), encoding="utf-8")


def _page(document: Mapping[str, Any], plots: Mapping[str, bytes]) -> str:
    evaluation, manifest = document["evaluation"], document["manifest"]
    parts = [
        _header(document),
        _cards(evaluation),
        _gates(evaluation),
        _metrics(document),
        _reliability(evaluation, plots),
        _sets(evaluation),
        _slices(evaluation, plots),
        _importance(evaluation, plots),
        _missing(document),
        _curve(evaluation, plots),
        _candidates(evaluation),
        _history(evaluation, plots),
        _latency(evaluation),
        _findings(evaluation),
        _origin(document),
    ]
    return page(f"{manifest['name']} {manifest['version']}", *(part for part in parts if part))


def _header(document: Mapping[str, Any]) -> Html:
    manifest, evaluation = document["manifest"], document["evaluation"]
    rows = evaluation["rows"]
    said = [element("p", text.strip()) for text in (manifest["description"], manifest["business_context"]) if text]
    judged = (
        f"{rows['test']:,} rows that nothing was learnt from; {rows['train']:,} taught the model, "
        f"{rows['validation']:,} chose and calibrated it; split by {evaluation['split']}"
    )
    about = [
        ("Predicts", _prediction(document["contract"]["output"])),
        ("Learnt as", _AS_LOGARITHM if evaluation.get("logarithm") else ""),
        ("From", f"{len(document['contract']['features'])} fields"),
        ("Judged on", judged),
        ("Trained", manifest["created"].replace("T", " ").removesuffix("Z") + " UTC"),
        ("Owner", manifest["owner"] or ""),
        ("License", manifest["license"] or ""),
    ]
    title = element("h1", manifest["name"], " ", element("small", manifest["version"]))
    return element("header", title, *said, facts(about))


_AS_LOGARITHM = "its logarithm, so that a value is nearer to the median than to the mean of what can be expected"


def _prediction(output: Mapping[str, Any]) -> str:
    target = output["target"]
    if output["kind"] == "regression":
        unit = f" in {output['unit']}" if output["unit"] else ""
        estimate = f"the expected count of {target}" if output["count"] else target
        if output["quantile"] is not None:
            estimate = f"the value that {target} stays at or below in {100 * output['quantile']:g}% of the cases"
        interval = f"an interval that is to hold the truth in {output['coverage']:.0%} of the cases"
        return f"{estimate}{unit}, with {interval}"
    labels = _listed([f"'{label}'" for label in output["labels"]])
    rule = f"'{output['positive']}' from {output['threshold']:.4g} on" if output["positive"] else "the likeliest"
    said = f"{target}: the probabilities of {labels}; the decision is {rule}"
    if output["set_threshold"] is None:
        return said
    return f"{said}; with the set of labels that is to hold the truth in {output['coverage']:.0%} of the cases"


def _cards(evaluation: Mapping[str, Any]) -> Html | None:
    cards = [_card(name, evaluation["metrics"]) for name in _HEADLINE[evaluation["task"]]]
    return element("div", *cards, of="cards") if any(cards) else None


def _card(name: str, metrics: Mapping[str, Any]) -> Html:
    figure, linear = (metrics.get(model, {}).get(name) for model in ("model", "linear"))
    if not figure:
        return Html()
    beside = [element("span", f"linear model {number_format.number(linear['value'])}")] if linear else []
    interval = element("span", f"95 % interval {number_format.interval(figure)}")
    return element(
        "div",
        element("span", _words(name)),
        element("b", number_format.number(figure["value"])),
        interval,
        *beside,
        of="card",
    )


def _metrics(document: Mapping[str, Any]) -> Html | None:
    metrics = document["evaluation"]["metrics"]
    if not metrics:
        return None
    baselines = [name for name in metrics if name != "model"]
    rows = [
        [
            _explained(name),
            number(number_format.number(figure["value"])),
            number(number_format.interval(figure)),
            *(
                number(number_format.number(metrics[other][name]["value"]) if name in metrics[other] else "")
                for other in baselines
            ),
        ]
        for name, figure in metrics["model"].items()
    ]
    text = "All models were measured on the same test rows; the intervals come from resampling those."
    text += _of_which_class(document["contract"]["output"])
    return section("How good is it?", element("p", text), table(["Metric", "Model", "95 % interval", *baselines], rows))


def _of_which_class(output: Mapping[str, Any]) -> str:
    if output["kind"] == "regression":
        return ""
    if output["positive"]:
        return f" What is said of a class is said of '{output['positive']}'."
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


def _gates(evaluation: Mapping[str, Any]) -> Html | None:
    gates = evaluation.get("gates")
    if not gates:
        return None
    rows = [
        [_mark(gate["passed"]), gate["name"], gate["asked"], number(_value(gate["found"])), gate["message"]]
        for gate in gates
    ]
    return section("Does it meet what was asked?", table(["", "Gate", "Asked for", "Found", ""], rows))


def _mark(passed: bool) -> Html:
    return element("td", element("span", "met" if passed else "missed", of="good" if passed else "bad"))


def _reliability(evaluation: Mapping[str, Any], plots: Mapping[str, bytes]) -> Html | None:
    reliability = evaluation.get("reliability")
    if not reliability:
        return None
    bins = reliability["bins"]
    promised = next((name for name in _PROMISES if name in reliability), None)
    promises = [reliability[promised] if promised else one["predicted"] for one in bins]
    kept = sum(one["low"] <= promise <= one["high"] for one, promise in zip(bins, promises, strict=True))
    columns = [
        [
            number_format.number(one["predicted"]),
            number_format.number(one["observed"]),
            number_format.interval(one),
            number_format.number(one["rows"]),
        ]
        for one in bins
    ]
    rows = [[number(cell) for cell in row] for row in columns]
    if promised:
        title, promise = _PROMISES[promised], f"the promised {100 * reliability[promised]:g}%"
        about = " What is promised is promised of all cases together, not of each part."
    else:
        whose = "the likeliest label" if reliability["label"] is None else f"'{reliability['label']}'"
        title, promise = "Do its probabilities come true?", f"the predicted probability of {whose}"
        about = ""
    text = (
        f"In {kept} of {len(bins)} parts of the test rows, {promise} lies in the 95 % interval of what was observed; "
        f"where all is right, it does so in 19 of 20.{about}"
    )
    return section(
        title,
        element("p", text),
        picture(plots["reliability"], text),
        table(["Predicted", "Observed", "95 % interval", "Rows"], rows),
    )


def _sets(evaluation: Mapping[str, Any]) -> Html | None:
    sets = evaluation.get("reliability", {}).get("sets")
    if not sets:
        return None
    labels, promised = sets["labels"], sets["coverage"]
    sizes = ", ".join(f"{one['labels']} in {one['share']:.1%}" for one in sets["sizes"][:MOST_LABELS])
    missed = sum(one["high"] < promised for one in labels)
    text = (
        f"Of the test rows, by the number of labels in their set: {sizes}. {promised:.0%} are promised of all cases "
        f"together, not of each label: {missed} of {len(labels)} labels are surely in the sets of their own rows less "
        f"often than that. The worst come first."
    )
    rows = [
        [one["label"], number(f"{one['rows']:,}"), number(f"{one['observed']:.1%}"), number(_percent(one))]
        for one in labels[:MOST_ROWS]
    ]
    head = ["True label", "Rows", "In its set", "95 % interval"]
    return section("Do its sets hold what they promise?", element("p", text), table(head, rows), _more(labels))


def _percent(figure: Mapping[str, float]) -> str:
    return f"{figure['low']:.1%} to {figure['high']:.1%}"


def _slices(evaluation: Mapping[str, Any], plots: Mapping[str, bytes]) -> Html | None:
    slices = evaluation.get("slices")
    if slices is None:
        return None
    title, loss = "Where is it worst?", _words(LOSS[evaluation["task"]])
    if not slices:
        text = f"No part of the test rows that was looked at has a {loss} above that of the others beyond chance."
        return section(title, element("p", text))
    larger, about = ("", _GAPS) if evaluation["task"] == "classification" else (" or its values larger", _MISSES)
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


def _slice_table(slices: Sequence[Mapping[str, Any]], loss: str) -> tuple[list[str], list[list[Html]]]:
    rows = [
        [
            element("td", one["slice"], _note(one)),
            number(f"{one['rows']:,}"),
            number(number_format.number(one["loss"])),
            number(number_format.interval(one) if one["low"] is not None else "too few rows"),
            number(f"{one['gap']:+.1%}"),
            _calibration(one),
        ]
        for one in slices
    ]
    return ["Slice", "Rows", loss.capitalize(), "95 % interval", "Against all rows", "Calibration error"], rows


def _note(one: Mapping[str, Any]) -> str:
    notes = {"named in model.yaml": one["named"], "not learnt from": not one["learnt"]}
    said = ", ".join(note for note, holds in notes.items() if holds)
    return element("small", said) if said else ""


def _calibration(one: Mapping[str, Any]) -> Html:
    error, chance = one["calibration_error"], one["calibration_chance"]
    if error is None:
        return number("too few rows")
    beyond = [] if error <= chance else [element("span", " beyond chance", of="bad")]
    return element("td", number_format.number(error), *beyond)


def _importance(evaluation: Mapping[str, Any], plots: Mapping[str, bytes]) -> Html | None:
    importance = evaluation.get("importance")
    if not importance:
        return None
    features = importance["features"]
    text = (
        f"How much the {_words(importance['loss'])} rises, from {number_format.number(importance['value'])}, when a "
        f"column is shuffled among the rows: the mean of {importance['repeats']} times, on {importance['rows']:,} "
        f"rows, with the standard deviation. Of two columns that say the same, each may seem to matter little."
    )
    shown = features[:MOST_ROWS]
    rows = [
        [one["feature"], number(number_format.number(one["rise"])), number(number_format.number(one["spread"]))]
        for one in shown
    ]
    return section(
        "What does it use?",
        element("p", text),
        picture(plots["importance"], text),
        table(["Feature", "Rise", "Standard deviation"], rows),
        _rest(features),
    )


def _missing(document: Mapping[str, Any]) -> Html | None:
    missing = document["evaluation"].get("missing")
    if not missing or not missing["features"]:
        return None
    loss = _words(missing["loss"])
    text = (
        f"Each field that may be null was made null in {missing['rows']:,} test rows, one at a time: how far the "
        f"answer moves on average ({_distance(document['contract']['output'])}), and how much the {loss} rises from "
        f"{number_format.number(missing['value'])}."
    )
    features = missing["features"]
    rows = [
        [
            one["feature"],
            number(f"{one['missing']:.1%}"),
            number(number_format.number(one["change"])),
            number(number_format.number(one["rise"])),
        ]
        for one in features[:MOST_ROWS]
    ]
    head = ["Field", "Missing in the test rows", "Answer moves by", f"Rise of {loss}"]
    return section("What if a field is missing?", element("p", text), table(head, rows), _rest(features))


def _distance(output: Mapping[str, Any]) -> str:
    if output["kind"] == "regression":
        return f"in {output['unit']}" if output["unit"] else "in units of the target"
    return "in probability" if output["positive"] else "the probability that changes its label"


def _rest(features: Sequence[Any]) -> Html:
    return _more(features, ", with a smaller rise")


def _more(entries: Sequence[Any], which: str = "") -> Html:
    more = len(entries) - MOST_ROWS
    return element("p", f"And {more:,} more{which}.", of="soft") if more > 0 else Html()


def _curve(evaluation: Mapping[str, Any], plots: Mapping[str, bytes]) -> Html | None:
    curve = evaluation.get("curve")
    if not curve:
        return None
    title, said = "Would more rows help?", verdict(curve)
    if "reason" in curve:
        return section(title, element("p", f"It was not measured: {said}."))
    about = (
        f"{_REFITTED[curve['model']]} was fitted anew on shares of the training rows, {_SHARES[curve['split']]}, and "
        f"judged on the same test rows. Its slope says what rows are worth; its level is not that of the model above. "
        f"The gain is surer than the intervals look, since all shares were judged on the same rows; what another draw "
        f"of the shares would change is in neither. "
        f"What the next doubling brings is taken to lie between half of the last gain and all of it."
    )
    points = curve["points"]
    if points[-1]["rows"] < curve["rows"]:
        about += f" To save time, the largest share has {points[-1]['rows']:,} of the {curve['rows']:,} rows."
    rows = [
        [number(f"{one['rows']:,}"), number(number_format.number(one["loss"])), number(number_format.interval(one))]
        for one in points
    ]
    return section(
        title,
        element("p", f"{said[0].upper()}{said[1:]}."),
        picture(plots["curve"], said),
        table(["Training rows", _words(curve["loss"]).capitalize(), "95 % interval"], rows),
        element("p", about, of="soft"),
    )


#: By what was refitted, and by how the rows are split: how the report says it.
_REFITTED = {"lightgbm": "LightGBM with its defaults, at about twice the learning rate,", "linear": "The linear model"}
_SHARES = {
    "time": "the latest ones, so that more rows are a longer history",
    "group": "by whole groups, so that more rows are more groups",
    "random": "drawn at random",
    "stratified": "drawn at random with every class in its share",
}


def _candidates(evaluation: Mapping[str, Any]) -> Html | None:
    candidates = evaluation.get("candidates")
    if not candidates:
        return None
    names = list(dict.fromkeys(name for candidate in candidates for name in candidate))
    rows = [[_cell(candidate.get(name)) for name in names] for candidate in candidates]
    text = (
        f"The loss is that of the validation part: {_learnt_loss(evaluation)}. Since it decided which one was "
        f"chosen and when to stop, it flatters them; what the chosen one is worth stands above."
    )
    head = [_words(name).capitalize() for name in names]
    return section("What else was tried?", element("p", text), table(head, rows))


def _learnt_loss(evaluation: Mapping[str, Any]) -> str:
    if evaluation["task"] == "classification":
        return "the log loss, before the calibration"
    return f"the squared error in standard deviations of the {'logarithm' if evaluation.get('logarithm') else 'target'}"


def _history(evaluation: Mapping[str, Any], plots: Mapping[str, bytes]) -> Html | None:
    history = evaluation.get("history")
    if not history:
        return None
    best = min(history, key=lambda one: one["validation_loss"])
    chosen = [name for one in evaluation.get("candidates", ()) if one.get("chosen") for name in one["name"].split("+")]
    part = "is part of the chosen model" if {*chosen} & {*NETWORKS} else "was not chosen"
    text = (
        f"Its loss on the validation part is lowest after epoch {best['epoch']} of {len(history)}, at "
        f"{number_format.number(best['validation_loss'])}. The network {part}."
    )
    return section("How did the network learn?", element("p", text), picture(plots["history"], text))


def _latency(evaluation: Mapping[str, Any]) -> Html | None:
    latency = evaluation.get("latency")
    if not latency:
        return None
    text = "Of the exported graph alone, on the machine that trained it; a server adds its own time."
    pairs = ((_words(name), _value(found)) for name, found in latency.items())
    return section("How fast does it answer?", element("p", text), facts(pairs))


def _findings(evaluation: Mapping[str, Any]) -> Html | None:
    findings = evaluation.get("findings")
    if not findings:
        return None
    rows = [[one["severity"], one["column"] or "the table", one["message"]] for one in findings]
    return section("What is odd about the data?", table(["", "Column", "Finding"], rows))


def _origin(document: Mapping[str, Any]) -> Html:
    origin, evaluation = document["manifest"]["origin"], document["evaluation"]
    text = "The same model.yaml (spec.yaml among the model's files), data, seed and libraries give the same weights."
    command = element("pre", "deployer train model.yaml")
    pairs = [
        ("Data", origin["data_version"]),
        ("Seed", str(origin["seed"])),
        ("Commit", origin["git_commit"] or ""),
        ("Python", origin["python"]),
        ("Libraries", ", ".join(f"{name} {version}" for name, version in origin["libraries"].items())),
        ("Exported graph", _parity(evaluation)),
    ]
    return section("How is it trained again?", element("p", text), command, facts(pairs))


def _parity(evaluation: Mapping[str, Any]) -> str:
    if "parity" not in evaluation:
        return ""
    return f"at most {evaluation['parity']:.1g} from the trained model on the test rows; it is what all figures are of"


def _cell(value: Any) -> str:
    return number(_value(value)) if isinstance(value, int | float) else _value(value)


def _value(value: Any) -> str:
    """Any value of the evaluation in a line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{_words(name)} {_value(inner)}" for name, inner in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number_format.number(value)
    return "" if value is None else str(value)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _listed(names: Sequence[str]) -> str:
    shown = names if len(names) <= MOST_LABELS else [*names[:MOST_LABELS], f"{len(names) - MOST_LABELS:,} more"]
    return f"{', '.join(shown[:-1])} and {shown[-1]}"
