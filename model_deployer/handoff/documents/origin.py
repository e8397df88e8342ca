"""The sentences that depend on whether a model was trained by this project or elsewhere, one function per fact."""

from collections.abc import Iterator

from model_deployer.contract import origin_text
from model_deployer.contract.features import Feature
from model_deployer.contract.number_format import day, number, percent
from model_deployer.contract.outputs import Classification, Regression, VectorOutput
from model_deployer.handoff.documents import evaluation_text
from model_deployer.package.package_data import PackageData
from model_deployer.writing.markdown import Markdown, code, join_sentences, markdown, table

#: How the rows were split, and what that means for the figures.
_SPLITS = {
    "time": "The rows were split by time: the model was trained on the earlier rows and tested on the latest ones. The "
    "figures therefore apply to a future that the model has not seen.",
    "group": "The rows were split by groups: no group is in more than one part. The figures therefore apply to groups "
    "that the model has not seen.",
    "random": "The rows were split at random. The figures therefore apply to new rows that are similar to these; they "
    "do not cover a later time or another source.",
    "stratified": "The rows were split at random, with the same proportions of the labels in every part. The figures "
    "therefore apply to new rows that are similar to these; they do not cover a later time or another source.",
}

#: The same of a table that only evaluates a model.
_EVALUATION_SPLITS = _SPLITS | {
    "time": "The rows were split by time: the latest ones measure the model.",
    "group": "The rows were split by groups: no group is in more than one part.",
}

#: The facts about a source that are names or digests.
_NAMES = {"Source", "Digest", "Class"}


def overview(package: PackageData) -> Iterator[tuple[str, Markdown | str]]:
    """Yield the rows of the first table of the card that tell the kind and the origin of the model."""
    adoption = package.evaluation.adoption
    if adoption:
        origin = "of this store, calibrated again" if adoption.recalibration else "trained elsewhere"
        yield "Model", Markdown(f"{origin}: {code(origin_text.estimator(package.evaluation))}")
        yield "Source", code(adoption.source)
    yield origin_text.made(package.evaluation).capitalize(), day(package.manifest.created)


def summary(package: PackageData) -> Markdown:
    """Return a paragraph on the source and on the equality of answers; empty for a model that was trained here."""
    adoption = package.evaluation.adoption
    if adoption is None:
        return Markdown()
    if adoption.recalibration:
        return join_sentences(
            Markdown(f"The model is {code(adoption.source)} with a new calibration."), *origin_text.equality(adoption)
        )
    source = Markdown(
        f"The model was trained elsewhere: its source is {code(adoption.source)} ({markdown(adoption.format)})."
    )
    table = [Markdown("The table of `model.yaml` only evaluates it."), origin_text.seen(adoption)]
    if package.evaluation.rows is None:
        table = []
    return join_sentences(source, *table, next(origin_text.equality(adoption)), Markdown("See [model](#model)."))


def model(package: PackageData) -> Markdown:
    """Return sentences on the kind of the model."""
    evaluation = package.evaluation
    if evaluation.adoption and evaluation.adoption.recalibration:
        return join_sentences(Markdown(f"The model is {code(evaluation.adoption.source)} with a new calibration."))
    if evaluation.adoption:
        return join_sentences(
            "The model was trained elsewhere.", f"It is served {origin_text.served(evaluation.adoption)}."
        )
    if evaluation.estimator is None:
        return Markdown("The kind of the model is not known: it was not recorded when the model was made.")
    calibration = " Its probabilities were calibrated on the validation rows." if evaluation.calibrated else ""
    logarithm = " It was fitted to the logarithm of the target." if evaluation.logarithm else ""
    refit = " It was fitted again on training and validation rows together." if evaluation.refitted else ""
    name = evaluation_text.estimator(evaluation.estimator)
    return Markdown(f"The model is {markdown(name)}.{logarithm}{calibration}{refit}")


def source(package: PackageData) -> Markdown:
    """Return a table of the facts about the source; empty for a model that was trained here."""
    adoption = package.evaluation.adoption
    if adoption is None:
        return Markdown()
    facts = [
        (name, code(value) if name in _NAMES and value != "not named" else value)
        for name, value in origin_text.source_facts(adoption)
    ]
    return table(["Fact", "Value"], facts)


def equality(package: PackageData) -> Markdown:
    """Return sentences on the comparison of the model with its source."""
    adoption = package.evaluation.adoption
    assert adoption
    if adoption.equality is None:
        return join_sentences(*origin_text.equality(adoption))
    values = {"embedding": "all numbers", "multioutput_regression": "the values of its target"}
    unit = (
        f"the standard deviation of {values.get(package.contract.output.task, 'the values')}"
        if adoption.equality.table_rows
        else "a value that is small among those of the probe rows"
    )
    scale = (
        "A difference is that of a probability."
        if isinstance(package.contract.output, Classification)
        else f"A difference is divided by {unit} or, above it, by the value."
    )
    return join_sentences(*origin_text.equality(adoption), scale)


def differing_rows(package: PackageData) -> Markdown:
    """Return a table of the rows that the model and its source answer differently; empty if there are none."""
    adoption = package.evaluation.adoption
    if adoption is None or adoption.equality is None:
        return Markdown()
    rows = [
        [row.case, origin_text.difference(row.difference), row.source, row.served] for row in adoption.equality.rows
    ]
    return table(["Row", "Difference", "Answer of the source", "Answer of the model"], rows)


def service(package: PackageData) -> Markdown:
    """Return what the service predicts with, and what every other format was compared with, as sentences."""
    if package.runner:
        return Markdown(
            "The service asks the source, in [a process of its own](INTEGRATION_GUIDE.md#the-process-of-the-model). "
            "Its answers were compared with those of the source when the package was written."
        )
    return Markdown(
        "The service predicts with the ONNX graph. Every other format answered the same requests, and its answers were "
        "compared with its answers; a format that disagrees is not in the package."
    )


def rows_with_weight(package: PackageData, column: str) -> Markdown:
    """Return a sentence on the column with the weights of rows."""
    used = "for the baselines" if package.evaluation.adoption else "in training"
    return Markdown(f"A row counts with the weight {code(column)}, {used} and in all figures.")


def ignored_columns(package: PackageData, columns: Markdown) -> Markdown:
    """Return a sentence on the columns that model.yaml leaves out."""
    if package.evaluation.adoption:
        return Markdown(f"Columns that `model.yaml` leaves out: {columns}.")
    return Markdown(f"Columns that the model must not learn from: {columns}.")


def reference_rows(package: PackageData) -> str:
    """Return a sentence on the rows that live values are compared with."""
    if package.evaluation.adoption:
        return "The reference rows are the train and validation parts of the table that evaluates the model."
    return "The reference rows are the training and validation rows of the model."


def time_ranges(package: PackageData, ranges: Markdown) -> Markdown:
    """Return a sentence on the times of the reference rows."""
    rows = origin_text.reference_rows(package.evaluation)
    return Markdown(f"{rows[:1].upper()}{rows[1:]} have {ranges}.")


def data(package: PackageData) -> Markdown:
    """Return sentences on the use of the table, how its rows were split, and what that means for the figures."""
    evaluation = package.evaluation
    if evaluation.adoption is None:
        return Markdown(_SPLITS[evaluation.split]) if evaluation.split else Markdown()
    if evaluation.rows is None:
        return Markdown("No table evaluated the model, and live values have nothing to be compared with.")
    split = _EVALUATION_SPLITS[evaluation.split] if evaluation.split else ""
    if package.contract.output.task == "embedding":
        split = ""
    return join_sentences("This table evaluates the model.", origin_text.seen(evaluation.adoption), split)


def interval(package: PackageData) -> Markdown:
    """Return what the interval of a quantity contains, and what its width says."""
    output = package.contract.output
    assert isinstance(output, Regression)
    if not output.interval:
        return Markdown("There is no interval: the model does not say how certain it is about a row.")
    width = (
        "The interval of every row has the same width: it says nothing about the certainty of a single row."
        if package.evaluation.adoption
        else "The wider the interval, the less certain the model is about this row."
    )
    return join_sentences(evaluation_text.coverage_note(package), width)


def vector(package: PackageData) -> Markdown:
    """Return what several numbers are, and what they do not say."""
    output = package.contract.output
    assert isinstance(output, VectorOutput)
    if output.names is None:
        return join_sentences(
            Markdown(f"An answer contains one vector: `values`, a list of {output.length:,} numbers."),
            "A single number has no meaning. Vectors of rows that the model takes for similar are near to each other;",
            "compare them with the measure that the authors of the source compare them with, and only with vectors of",
            "the same version of the model.",
        )
    return join_sentences(
        Markdown("An answer contains one estimate for each target, in the object `values`."),
        "There is no interval: the model does not say how certain it is about a row.",
    )


def extrapolation(package: PackageData, feature: Feature, span: str) -> Markdown:
    """Return a sentence on a field whose accepted range is wider than that of the rows that are known.

    Args:
        package: The data of the package.
        feature: The field.
        span: The range of these rows.
    """
    field, accepted = code(feature.name), markdown(feature.expected())
    if package.evaluation.adoption:
        return Markdown(
            f"No figure covers all values of {field}: the reference rows have {span}, and the service accepts "
            f"{accepted}."
        )
    return Markdown(f"It extrapolates in {field}: the training rows have {span}, and the service accepts {accepted}.")


def time_limit(package: PackageData, ranges: Markdown) -> Markdown:
    """Return a sentence on the times that the model is known for."""
    if package.evaluation.adoption:
        return Markdown(f"The reference rows have {ranges}; what the source does outside this range was not measured.")
    return Markdown(f"It was trained on rows with {ranges}; it has never seen rows outside this range.")


def unknown_values(package: PackageData, names: Markdown) -> Markdown:
    """Return a sentence on categories that are not in the contract."""
    if package.evaluation.adoption:
        return Markdown(f"The service accepts values of {names} that it does not list; the source's own rules apply.")
    return Markdown(f"It treats all values of {names} that were not in the training rows alike, as unknown.")


def same_source(package: PackageData) -> str:
    """Return the assumption about the rows that the figures depend on."""
    if package.evaluation.adoption and package.evaluation.rows is None:
        return "The fields have the same meaning as for the source."
    rows = "those of the table" if package.evaluation.adoption else "the training rows"
    meaning = "the same meaning as for the source" if package.evaluation.adoption else "the same meaning"
    return f"The rows come from the same source as {rows}, and their fields have {meaning}."


def threshold_assumption(package: PackageData) -> str:
    """Return the assumption that the decisions depend on."""
    if package.evaluation.adoption:
        return (
            "The decision threshold is that of the source. Whether it suits the costs of mistakes has to be decided "
            "([thresholds](#thresholds))."
        )
    return "The costs of mistakes are those that the decision threshold assumes ([answers](#how-to-read-an-answer))."


def decision(package: PackageData) -> Markdown:
    """Return sentences on the decision between two labels, and on the costs that its threshold is optimal for."""
    output = package.contract.output
    assert isinstance(output, Classification) and output.threshold is not None
    negative, positive = map(code, output.labels)
    bound = origin_text.from_threshold(number(output.threshold), package.evaluation)
    rule = Markdown(f"The decision is {positive} if its probability is {bound}, else {negative}.")
    if package.evaluation.adoption:
        return join_sentences(rule, "This threshold is that of the source; the costs in model.yaml did not choose it.")
    return join_sentences(rule, _threshold_costs(output.threshold, negative, positive))


def _threshold_costs(threshold: float, negative: Markdown, positive: Markdown) -> str:
    """Return the ratio of costs for which a threshold is optimal; empty if none is."""
    missed, false_alarm = f"missing {positive}", f"deciding for it when the true label is {negative}"
    if not 0 < threshold < 1:
        return ""
    ratio = (1 - threshold) / threshold
    if abs(ratio - 1) < 1e-9:
        return Markdown(
            f"For probabilities that agree with the frequencies, this threshold minimizes the costs if {missed} costs "
            f"as much as {false_alarm}."
        )
    dear, cheap, times = (missed, false_alarm, ratio) if ratio > 1 else (false_alarm, missed, 1 / ratio)
    return Markdown(
        f"For probabilities that agree with the frequencies, this threshold minimizes the costs if {dear} costs "
        f"{number(round(times, 6))} times as much as {cheap}."
    )


def use_of_decision(package: PackageData) -> Markdown:
    """Return when a caller can use the decision between two labels."""
    output = package.contract.output
    assert isinstance(output, Classification)
    positive = code(output.labels[1])
    condition = (
        "the threshold of the source suits your costs of mistakes. If it does not"
        if package.evaluation.adoption
        else "the costs of mistakes in the model card are yours. If they are not"
    )
    return Markdown(
        f"Use `decision` if {condition}, apply a threshold of your own to the probability of {positive}: the "
        "probabilities do not depend on the threshold."
    )


def repetition(package: PackageData) -> Markdown:
    """Return what is needed to make the model again, as sentences."""
    if package.evaluation.adoption is None:
        return Markdown(
            "With the same model.yaml, data, seed and versions, training gives the same weights on the same machine."
        )
    return Markdown(
        "The package cannot say how the source was trained. The adoption can be repeated: with the same model.yaml, "
        "source, table and versions, the model answers the same, and the figures are the same."
    )


def retraining(package: PackageData) -> str:
    """Return the sentence before the signs that a model should be trained again."""
    if package.evaluation.adoption:
        return "Train the source again where it was trained, and adopt the result, if:"
    return "Train the model again if:"


def signs(package: PackageData) -> str:
    """Return the signs that a model is outdated, as a noun phrase."""
    return f"the signs that the {'source' if package.evaluation.adoption else 'model'} should be trained again"


def requirements(package: PackageData) -> str:
    """Return the requirements that the gates are, as a noun phrase."""
    return "the requirements of model.yaml" if package.evaluation.adoption else "the requirements of its training"


def coverage_assumption(package: PackageData) -> str:
    """Return the assumption that the share of an interval or a set depends on."""
    output = package.contract.output
    assert not isinstance(output, VectorOutput)
    name = "interval" if isinstance(output, Regression) else "set"
    rows = "the rows of the table" if package.evaluation.adoption else "those in training"
    return (
        f"The {percent(output.coverage)} of the {name} apply to all cases together: a part of the cases may have "
        f"less. If live cases differ from {rows}, the share does not hold."
    )
