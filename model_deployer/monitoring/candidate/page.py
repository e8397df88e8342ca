"""The page of a replay: the verdict first, then what changes, for whom, and examples."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from model_deployer.contract.number_format import count, minute, number, percent
from model_deployer.contract.trial import Verdict
from model_deployer.monitoring.candidate.pictures import draw
from model_deployer.monitoring.candidate.replay_report import Example, LossComparison, ReplayReport, SliceChange
from model_deployer.training.report.html_elements import (
    Html,
    definition_list,
    element,
    join,
    number_cell,
    page,
    picture,
    section,
    table,
)

#: The verdicts for a reader, and the style of each.
_VERDICTS: Mapping[Verdict, tuple[str, str]] = {
    "won": ("The candidate may replace the champion", "good"),
    "lost": ("The candidate must not replace the champion", "bad"),
    "open": ("The rows do not say yet", ""),
}

_MARKS: Mapping[Verdict, tuple[str, str]] = {
    "won": ("passed", "good"),
    "lost": ("failed", "bad"),
    "open": ("not known yet", ""),
}


def write_report(report: ReplayReport, file: Path) -> None:
    """Write all of a report or nothing: a page (``.html``) or a document (``.json``), by the name of the file."""
    document = json.dumps(report.to_json(), indent=2, ensure_ascii=False)
    unfinished = file.with_name(f".{file.name}.unfinished")
    unfinished.write_text(html(report) if file.suffix == ".html" else document, encoding="utf-8")
    unfinished.replace(file)


def html(report: ReplayReport) -> str:
    """Return the page, which loads no other file."""
    pictures = draw(report)
    trial = report.trial
    parts = [
        _header(report),
        _cards(report),
        _findings(report),
        _loss(report, pictures),
        _changes(report, pictures),
        _slices(report, pictures),
        _refusals(report),
        _latency(report),
        _examples(report),
        _rows(report),
    ]
    return page(f"{trial.candidate} against {trial.champion}", *(part for part in parts if part))


def _header(report: ReplayReport) -> Html:
    trial = report.trial
    words, style = _VERDICTS[trial.verdict]
    how = {"replay": "asked again in a replay", "shadow": "answered in the shadow", "retrain": "answered"}[trial.source]
    rows = f"{trial.rows:,} captured rows, {how}; {trial.labelled:,} of them have a label"
    times = f"{minute(report.first)} to {minute(report.last)}" if report.first and report.last else ""
    properties = [
        ("Champion", trial.champion),
        ("Candidate", trial.candidate),
        ("Rows", rows),
        ("From", times),
        ("Compared", minute(trial.made)),
    ]
    title = element("h1", trial.candidate, " ", element("small", f"against {trial.champion}"))
    verdict = element("p", element("b", words, css_class=style))
    return element("header", title, verdict, definition_list(properties))


def _cards(report: ReplayReport) -> Html:
    cards = []
    if report.changes and report.changes.flip_share is not None:
        cards.append((percent(report.changes.flip_share), "of the decisions change"))
    elif report.changes:
        cards.append((number(report.changes.mean_size, 3), "mean absolute difference"))
    for loss in report.losses[:1]:
        cards.append((_signed(loss.difference), f"{loss.meaning}, candidate minus champion; negative is better"))
    cards.append((f"{report.refusals.rows:,}", "new refusals"))
    if report.latency:
        cards.append((f"{number(report.latency.p99, 3)} ms", f"p99, recorded {number(report.latency.recorded_p99, 3)}"))
    boxes = (element("div", element("b", value), element("span", words), css_class="card") for value, words in cards)
    return element("div", *boxes, css_class="cards")


def _findings(report: ReplayReport) -> Html:
    rows = []
    for finding in report.trial.findings:
        words, style = _MARKS[finding.verdict]
        rows.append([element("td", element("span", words, css_class=style)), finding.name, finding.text])
    return section("Why", table(["", "Check", "Result"], rows))


def _loss(report: ReplayReport, pictures: Mapping[str, bytes]) -> Html | None:
    if not report.losses:
        return None
    rows = [_loss_row(loss) for loss in report.losses]
    head = ["Loss", "Champion", "Candidate", "Difference", "Interval", "Result"]
    blocks = (
        f"Both models answered the same rows. Rows of one {report.block} count as one observation: they are not "
        "independent. The interval holds however often one looks; rows of a sample count for those that they stand for."
    )
    images = [picture(pictures["loss"], "The difference of the loss, block by block")] if "loss" in pictures else []
    return section("Which model is better?", element("p", blocks), table(head, rows), *images)


def _loss_row(loss: LossComparison) -> list[str]:
    style = {"better": "good", "worse": "bad", "not known yet": ""}[loss.verdict]
    words = {"better": "better", "worse": "worse", "not known yet": "not known yet"}[loss.verdict]
    return [
        loss.meaning,
        number_cell(number(loss.champion)),
        number_cell(number(loss.candidate)),
        number_cell(_signed(loss.difference)),
        number_cell(f"{_signed(loss.low)} to {_signed(loss.high)}"),
        element("td", element("span", words, css_class=style)),
    ]


def _changes(report: ReplayReport, pictures: Mapping[str, bytes]) -> Html | None:
    changes = report.changes
    if changes is None:
        return section("What changes?", element("p", "No row is answered by both models."))
    content: list[str] = []
    if changes.flip_share is not None:
        text = (
            f"{changes.flips:,} of {count(changes.rows, 'row')} get another decision, {percent(changes.flip_share)} of "
            "the traffic."
        )
        content.append(element("p", text))
    if changes.by_decision:
        rows = [
            [flip.champion, flip.candidate, number_cell(f"{flip.rows:,}"), number_cell(percent(flip.share))]
            for flip in changes.by_decision
        ]
        content.append(table(["Champion", "Candidate", "Rows", "Share"], rows))
    ends = f"{_signed(changes.quantiles['0.05'])} to {_signed(changes.quantiles['0.95'])}"
    content.append(
        element(
            "p", f"The {changes.difference} is {_signed(changes.mean)} on average; nine of ten rows are from {ends}."
        )
    )
    if "differences" in pictures:
        content.append(picture(pictures["differences"], "The distribution of the differences"))
    return section("What changes?", *content)


def _slices(report: ReplayReport, pictures: Mapping[str, bytes]) -> Html | None:
    if not report.slices:
        return None
    images = [picture(pictures["slices"], "The share of changed decisions by slice")] if "slices" in pictures else []
    head = ["Slice", "Rows", "Decisions that change", "Mean difference", "New refusals", "Loss, difference"]
    note = element(
        "p", "Many slices are shown, so a few stand out by chance; the verdict does not use them.", css_class="soft"
    )
    return section("For whom does it change?", *images, table(head, map(_slice_row, report.slices)), note)


def _slice_row(part: SliceChange) -> list[str]:
    interval = "" if part.low is None or part.high is None else f" ({_signed(part.low)} to {_signed(part.high)})"
    return [
        part.slice,
        number_cell(f"{part.rows:,}"),
        number_cell("" if part.flip_share is None else percent(part.flip_share)),
        number_cell(number(part.mean_size, 3)),
        number_cell(f"{part.refusals:,}"),
        number_cell("" if part.loss is None else _signed(part.loss) + interval),
    ]


def _refusals(report: ReplayReport) -> Html | None:
    if not report.refusals.rows:
        return None
    rows = [
        [reason.field or "the row", reason.code, number_cell(f"{reason.rows:,}"), reason.message]
        for reason in report.refusals.reasons
    ]
    return section("What does the candidate refuse?", table(["Field", "Code", "Rows", "It expects"], rows))


def _latency(report: ReplayReport) -> Html | None:
    latency = report.latency
    if latency is None:
        return None
    rows = [
        ["p50", number_cell(f"{number(latency.recorded_p50, 3)} ms"), number_cell(f"{number(latency.p50, 3)} ms")],
        ["p99", number_cell(f"{number(latency.recorded_p99, 3)} ms"), number_cell(f"{number(latency.p99, 3)} ms")],
    ]
    text = (
        f"{count(latency.requests, 'request')} at {latency.speed:g} times the recorded pace; {latency.failures:,} got "
        "no answer. The recorded time was measured in the champion's server, that of the candidate at this client."
    )
    partial = (
        f" Of {percent(latency.partial)} of them only some rows were captured, so that fewer rows were sent."
        if latency.partial
        else ""
    )
    return section("How fast is it?", element("p", text + partial), table(["", "Recorded", "Candidate"], rows))


def _examples(report: ReplayReport) -> Html | None:
    if not report.examples:
        return None
    rows = [_example_row(example) for example in report.examples]
    head = ["Request, row", "Champion", "Candidate", "Difference", "Label", "Captured fields"]
    return section("The largest differences", table(head, rows))


def _example_row(example: Example) -> list[str]:
    fields = ", ".join(f"{name}: {_value(value)}" for name, value in example.fields.items() if value is not None)
    return [
        f"{example.request_id}, {example.row}",
        _prediction(example.champion),
        _prediction(example.candidate),
        number_cell(_signed(example.difference)),
        example.label or "",
        element("td", element("small", fields)),
    ]


def _prediction(prediction: Mapping[str, Any]) -> str:
    return str(prediction["decision"]) if "decision" in prediction else number(prediction["value"])


def _value(value: Any) -> str:
    return number(value) if isinstance(value, float) else str(value)


def _rows(report: ReplayReport) -> Html:
    sentences = join(element("p", sentence) for sentence in _row_sentences(report))
    return section("The rows", sentences)


def _row_sentences(report: ReplayReport) -> Iterator[str]:
    yield f"{count(report.rows_read, 'captured row')} were read, and {report.trial.rows:,} were compared."
    for item in report.left_out:
        yield f"{count(item.rows, 'row')} left out: {item.reason}."
    if report.refusals.of_champion:
        yield f"The champion itself refuses {count(report.refusals.of_champion, 'row')} now; they are not compared."
    if report.reproduction and report.reproduction.is_exact:
        yield f"The champion gives the captured answers to all {report.reproduction.rows:,} rows that it answered."
    for note in report.notes:
        yield f"{note[0].upper()}{note[1:]}."


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else ''}{number(value, 3)}"
