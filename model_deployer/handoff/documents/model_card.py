"""What the model card says beside the evaluation: the answer, the data, limits, assumptions, formats, origin."""

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
from model_deployer.writing.markdown import Markdown, code, listed, markdown, table

#: Test rows below which the figures deserve a warning.
FEW_ROWS = 500


#: How rows were divided, and why that matters.
_SPLITS = {
    "time": "The rows were divided by time: the model learnt from the earlier ones and was judged on the latest. So "
    "the figures say how it does on a future that it has not seen.",
    "group": "The rows were divided by groups: no group stands on both sides. So the figures say how it does on "
    "groups that it has not seen.",
    "random": "The rows were divided at random. So the figures hold for new rows that are like the old ones; of a "
    "later time, or of another source, they say nothing.",
    "stratified": "The rows were divided at random, with every label in its share. So the figures hold for new rows "
    "that are like the old ones; of a later time, or of another source, they say nothing.",
}


def predicts(output: Output) -> Markdown:
    """What the model answers, as a noun phrase."""
    target = code(output.target)
    if isinstance(output, Classification):
        return Markdown(f"the probability of each label of {target} ({labels(output)}), and a decision")
    unit = f" in {markdown(output.unit)}" if output.unit else ""
    if output.quantile is not None:
        return Markdown(f"the value that {target} stays at or below in {percent(output.quantile)} of all cases{unit}")
    return Markdown(f"{'the expected count of ' if output.count else ''}{target}{unit}, with an interval")


def labels(output: Classification) -> Markdown:
    """The labels, the first of them where there are many."""
    shown = [code(label) for label in output.labels[: evaluation_text.MOST_LABELS]]
    more = len(output.labels) - len(shown)
    return listed([*shown, f"{more:,} more"] if more else shown)


def glance(facts: PackageData) -> Markdown:
    """The first table of the card."""
    manifest, contract = facts.manifest, facts.contract
    rows = [
        ("Predicts", predicts(contract.output)),
        ("From", f"{count(len(contract.features), 'field')} of a row"),
        ("Version", manifest.version),
        ("Trained", day(manifest.created)),
        ("Owner", manifest.owner or ""),
        ("License", manifest.license or ""),
    ]
    return table(["", ""], [row for row in rows if row[1]])


def rows_of_parts(facts: PackageData) -> Markdown:
    """The parts of the table, and what each was for."""
    rows = facts.evaluation.rows
    if rows is None:
        return Markdown()
    too = ", and then taught it too" if facts.evaluation.refitted else ""
    parts = [
        ["train", number(rows.train), "taught the model"],
        ["validation", number(rows.validation), f"chose and calibrated it{too}"],
        ["test", number(rows.test), "judged it, once"],
    ]
    return table(["Part", "Rows", "What for"], parts)


def split(facts: PackageData) -> str:
    """How the rows were divided, and why that matters."""
    return _SPLITS[facts.evaluation.split] if facts.evaluation.split else ""


def threshold(output: Classification) -> str:
    """What the threshold of a decision between two labels says of costs."""
    assert output.threshold is not None
    other = output.labels[0]
    missed, false = f"missing {code(output.labels[1])}", f"deciding for it when the truth is {code(other)}"
    if not 0 < output.threshold < 1:
        return ""
    ratio = (1 - output.threshold) / output.threshold
    if abs(ratio - 1) < 1e-9:
        return Markdown(f"It makes mistakes cheapest where {missed} costs as much as {false}.")
    dear, cheap, times = (missed, false, ratio) if ratio > 1 else (false, missed, 1 / ratio)
    return Markdown(
        f"It makes mistakes cheapest where {dear} costs {number(round(times, 6))} times as much as {cheap}."
    )


def limits(facts: PackageData) -> Iterator[Markdown]:
    """Where the model is known to end, each in a sentence."""
    yield from _limits_of_fields(facts.contract.features)
    rows = facts.evaluation.rows
    if rows is not None and rows.test < FEW_ROWS:
        yield Markdown(
            f"Only {count(rows.test, 'row')} judged it: its figures may be off by more than so few rows can show."
        )
    if spanned := field_tables.spans(facts):
        yield Markdown(f"It has learnt from rows with {listed(spanned)}. What lies outside, it has never seen.")
    if facts.evaluation.slices:
        worst = facts.evaluation.slices[0]
        loss = evaluation_text.words(LOSS[facts.contract.output.task])
        yield Markdown(
            f"It is most surely worse than elsewhere in the rows with {code(worst.slice)}: there its {loss} is "
            f"{number(worst.loss)} ([slices](#slices))."
        )
    for finding in facts.evaluation.findings:
        if finding.severity == "warning":
            yield Markdown(f"{code(finding.column) if finding.column else 'The table'}: {markdown(finding.message)}.")


def _limits_of_fields(found: Sequence[Feature]) -> Iterator[Markdown]:
    clamped = [f for f in found if isinstance(f, Numeric | Integer) and f.out_of_range == "clamp" and has_bounds(f)]
    if clamped:
        names = listed([code(feature.name) for feature in clamped])
        yield Markdown(f"It does not extrapolate: of {names} a value beyond the range counts as the nearer end of it.")
    open_ended = [feature for feature in found if isinstance(feature, Categorical) and feature.unknown == "accept"]
    if open_ended:
        names = listed([code(feature.name) for feature in open_ended])
        yield Markdown(f"It answers for values of {names} that training never saw, all of them alike, as unknown ones.")
    nullable = [feature for feature in found if feature.nullable]
    if nullable:
        names = listed([code(feature.name) for feature in nullable])
        yield Markdown(f"It answers without {names}, with less to go by ([missing fields](#missing-fields)).")


def assumptions(facts: PackageData) -> Iterator[Markdown]:
    """What has to hold for the figures of the card to hold."""
    output = facts.contract.output
    yield Markdown("The rows that it is asked about come from where the training rows came from, and mean the same.")
    yield Markdown(
        "Every field is known, with the value that it has here, at the moment when a prediction is asked for."
    )
    if units := [feature for feature in facts.contract.features if feature.unit]:
        said = listed([Markdown(f"{code(feature.name)} in {markdown(feature.unit)}") for feature in units])
        yield Markdown(f"Units are kept: {said}. A value in another unit is not recognised as such.")
    if isinstance(output, Classification) and output.threshold is not None:
        yield Markdown(
            "Mistakes cost what the decision threshold takes them to cost ([answers](#how-to-read-an-answer))."
        )
    if isinstance(output, Regression) or output.set_threshold is not None:
        what = "interval" if isinstance(output, Regression) else "set"
        yield Markdown(
            f"The {percent(output.coverage)} of the {what} are of all cases together; a part of the cases may get "
            f"less, and where live cases differ from those of training nothing is promised."
        )


def behaviour(facts: PackageData) -> Mapping[str, Any] | None:
    """What changed since the previous version; None where this is the first."""
    change = next((one for one in facts.changes if one["version"] == facts.manifest.version), None)
    return change if change and change["since"] else None


def formats(facts: PackageData) -> Markdown:
    """Every format that the package holds, and how far its answers are from the served ones."""
    rows = [
        [
            markdown(one.name),
            Markdown(", ".join(code(file) for file in one.files)),
            one.about,
            _agreement(one.golden),
            _agreement(one.test),
            f"{one.tolerance:.2g}",
        ]
        for one in facts.formats
        if one.withheld is None
    ]
    return table(["Format", "Files", "What for", "On the golden requests", "On the test rows", "Allowed"], rows)


def _agreement(found: Agreement | None) -> str:
    if found is None:
        return ""
    flips = "" if found.flips is None else f", {count(found.flips, 'other decision')}"
    rows = count(found.rows, "row")
    return f"at most {found.largest:.2g} in {rows}{flips}" if found.largest else f"none in {rows}"


def withheld(facts: PackageData) -> list[Format]:
    """Formats that the package goes without."""
    return [one for one in facts.formats if one.withheld is not None]


def origin(facts: PackageData) -> Markdown:
    """What it takes to train the model again."""
    found = facts.manifest.origin
    rows = [
        ("Data", code(found.data_version)),
        ("Seed", str(found.seed)),
        ("Commit", code(found.git_commit) if found.git_commit else ""),
        ("Python", found.python),
        *((library, version) for library, version in found.libraries.items()),
    ]
    return table(["", ""], [row for row in rows if row[1]])


def of_the_graph(facts: PackageData) -> str:
    """How large and how fast the graph alone is; empty where it was not measured."""
    latency = facts.evaluation.latency
    if latency is None:
        return ""
    return (
        f"The graph takes {size(latency.bytes)}. Alone, on {count(latency.threads, 'thread')} of the machine that "
        f"trained it, it answers half of all single rows within {latency.one_row_ms.p50:.3g} ms, and 99 of 100 "
        f"within {latency.one_row_ms.p99:.3g} ms."
    )
