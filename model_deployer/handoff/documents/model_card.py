"""The model card without the evaluation: the answer, the data, limits, assumptions, formats and origin."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from model_deployer.contract.features import Categorical, Feature, Integer, Numeric
from model_deployer.contract.metric_catalog import LOSS
from model_deployer.contract.number_format import count, day, number, percent, size
from model_deployer.contract.outputs import Classification, Output, Regression
from model_deployer.handoff.documents import evaluation_text, field_tables
from model_deployer.handoff.documents.field_tables import has_bounds
from model_deployer.package.formats import Agreement, Format
from model_deployer.package.package_data import PackageData
from model_deployer.writing.markdown import Markdown, code, join_list, markdown, table

#: The number of test rows below which the card warns about its figures.
FEW_ROWS = 500


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


def prediction_phrase(output: Output) -> Markdown:
    """Return the content of a prediction as a noun phrase."""
    target = code(output.target)
    if isinstance(output, Classification):
        return Markdown(f"the probability of each label of {target} ({labels(output)}), and a decision")
    unit = f" in {markdown(output.unit)}" if output.unit else ""
    if output.quantile is not None:
        return Markdown(f"the value that {target} stays at or below in {percent(output.quantile)} of all cases{unit}")
    return Markdown(f"{'the expected count of ' if output.count else ''}{target}{unit}, with an interval")


def labels(output: Classification) -> Markdown:
    """Return the labels as a list in a sentence; the first ones if there are many."""
    shown = [code(label) for label in output.labels[: evaluation_text.MAX_LABELS]]
    more = len(output.labels) - len(shown)
    return join_list([*shown, f"{more:,} more"] if more else shown)


def overview(package: PackageData) -> Markdown:
    """Return the first table of the card."""
    manifest, contract = package.manifest, package.contract
    rows = [
        ("Predicts", prediction_phrase(contract.output)),
        ("From", f"{count(len(contract.features), 'field')} of a row"),
        ("Version", manifest.version),
        ("Trained", day(manifest.created)),
        ("Owner", manifest.owner or ""),
        ("License", manifest.license or ""),
    ]
    return table(["", ""], [row for row in rows if row[1]])


def rows_of_parts(package: PackageData) -> Markdown:
    """Return a table of the parts of the data, with the use of each."""
    rows = package.evaluation.rows
    if rows is None:
        return Markdown()
    refit = ", and to train the final model" if package.evaluation.refitted else ""
    parts = [
        ["train", number(rows.train), "to train the model"],
        ["validation", number(rows.validation), f"to choose and calibrate the model{refit}"],
        ["test", number(rows.test), "to measure the model, once"],
    ]
    return table(["Part", "Rows", "Use"], parts)


def split_note(package: PackageData) -> str:
    """Return how the rows were split, and what that means for the figures; empty if it is not known."""
    return _SPLITS[package.evaluation.split] if package.evaluation.split else ""


def threshold_costs(output: Classification) -> str:
    """Return the ratio of costs for which the threshold of a decision between two labels is optimal."""
    assert output.threshold is not None
    negative, positive = map(code, output.labels)
    missed, false_alarm = f"missing {positive}", f"deciding for it when the true label is {negative}"
    if not 0 < output.threshold < 1:
        return ""
    ratio = (1 - output.threshold) / output.threshold
    if abs(ratio - 1) < 1e-9:
        return Markdown(f"This threshold minimizes the costs if {missed} costs as much as {false_alarm}.")
    dear, cheap, times = (missed, false_alarm, ratio) if ratio > 1 else (false_alarm, missed, 1 / ratio)
    return Markdown(
        f"This threshold minimizes the costs if {dear} costs {number(round(times, 6))} times as much as {cheap}."
    )


def limits(package: PackageData) -> Iterator[Markdown]:
    """Yield a sentence per known limit of the model."""
    yield from _limits_of_fields(package.contract.features)
    rows = package.evaluation.rows
    if rows is not None and rows.test < FEW_ROWS:
        yield Markdown(
            f"The test has only {count(rows.test, 'row')}: the figures may be wrong by more than their intervals show."
        )
    if ranges := field_tables.time_ranges(package):
        yield Markdown(f"It was trained on rows with {join_list(ranges)}; it has never seen rows outside this range.")
    if package.evaluation.slices:
        worst = package.evaluation.slices[0]
        loss = evaluation_text.words(LOSS[package.contract.output.task])
        yield Markdown(
            f"It is most clearly worse for the rows with {code(worst.slice)}: their {loss} is {number(worst.loss)} "
            "([slices](#slices))."
        )
    for finding in package.evaluation.findings:
        if finding.severity == "warning":
            yield Markdown(f"{code(finding.column) if finding.column else 'The table'}: {markdown(finding.message)}.")


def _limits_of_fields(features: Sequence[Feature]) -> Iterator[Markdown]:
    clamped = [f for f in features if isinstance(f, Numeric | Integer) and f.out_of_range == "clamp" and has_bounds(f)]
    if clamped:
        names = join_list([code(feature.name) for feature in clamped])
        yield Markdown(f"It does not extrapolate: a value of {names} outside its range is moved to the nearest limit.")
    open_ended = [feature for feature in features if isinstance(feature, Categorical) and feature.unknown == "accept"]
    if open_ended:
        names = join_list([code(feature.name) for feature in open_ended])
        yield Markdown(f"It treats all values of {names} that were not in the training rows alike, as unknown.")
    nullable = [feature for feature in features if feature.nullable]
    if nullable:
        names = join_list([code(feature.name) for feature in nullable])
        yield Markdown(f"It answers without {names}, but with less information ([missing fields](#missing-fields)).")


def assumptions(package: PackageData) -> Iterator[Markdown]:
    """Yield the assumptions that the figures of the card depend on."""
    output = package.contract.output
    yield Markdown("The rows come from the same source as the training rows, and their fields have the same meaning.")
    yield Markdown("Every field already has its final value when the prediction is requested.")
    if units := [feature for feature in package.contract.features if feature.unit]:
        names = join_list([Markdown(f"{code(feature.name)} in {markdown(feature.unit)}") for feature in units])
        yield Markdown(f"The units are correct: {names}. The service cannot detect a value in another unit.")
    if isinstance(output, Classification) and output.threshold is not None:
        yield Markdown(
            "The costs of mistakes are those that the decision threshold assumes ([answers](#how-to-read-an-answer))."
        )
    if isinstance(output, Regression) or output.set_threshold is not None:
        name = "interval" if isinstance(output, Regression) else "set"
        yield Markdown(
            f"The {percent(output.coverage)} of the {name} apply to all cases together: a part of the cases may have "
            "less. If live cases differ from those in training, the share is not guaranteed."
        )


def latest_change(package: PackageData) -> Mapping[str, Any] | None:
    """Return the changes since the previous version; None if this is the first one."""
    change = next((change for change in package.changes if change["version"] == package.manifest.version), None)
    return change if change and change["since"] else None


def formats(package: PackageData) -> Markdown:
    """Return a table of the formats in the package, with the differences of their answers."""
    rows = [
        [
            markdown(format_.name),
            Markdown(", ".join(code(file) for file in format_.files)),
            format_.about,
            _agreement(format_.golden),
            _agreement(format_.test),
            f"{format_.tolerance:.2g}",
        ]
        for format_ in package.formats
        if format_.withheld is None
    ]
    head = [
        "Format",
        "Files",
        "Use",
        "Difference on the golden requests",
        "Difference on the test rows",
        "Allowed difference",
    ]
    return table(head, rows)


def _agreement(agreement: Agreement | None) -> str:
    if agreement is None:
        return ""
    flips = "" if agreement.flips is None else f", {count(agreement.flips, 'different decision')}"
    rows = count(agreement.rows, "row")
    return f"at most {agreement.largest:.2g} in {rows}{flips}" if agreement.largest else f"none in {rows}"


def withheld(package: PackageData) -> list[Format]:
    """Return the formats that the package does not contain."""
    return [format_ for format_ in package.formats if format_.withheld is not None]


def origin(package: PackageData) -> Markdown:
    """Return a table of the versions that are needed to train the model again."""
    provenance = package.manifest.origin
    rows = [
        ("Data", code(provenance.data_version)),
        ("Query", code(" ".join(provenance.query.split())) if provenance.query else ""),
        ("Seed", str(provenance.seed)),
        ("Commit", code(provenance.git_commit) if provenance.git_commit else ""),
        ("Python", provenance.python),
        *((library, version) for library, version in provenance.libraries.items()),
        *((file, code(digest)) for file, digest in provenance.modules.items()),
    ]
    return table(["Item", "Version"], [row for row in rows if row[1]])


def graph_latency(package: PackageData) -> str:
    """Return sentences about the size and the latency of the graph alone; empty if they were not measured."""
    latency = package.evaluation.latency
    if latency is None:
        return ""
    return (
        f"The size of the graph is {size(latency.bytes)}. Without the service, on "
        f"{count(latency.threads, 'thread')} of the machine that trained it, the graph answers 50 of 100 single rows "
        f"within {latency.one_row_ms.p50:.3g} ms, and 99 of 100 within {latency.one_row_ms.p99:.3g} ms."
    )
