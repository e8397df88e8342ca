"""The page of a monitor, for the people who have to decide: the verdict first, then what it rests on."""

from model_deployer.contract.number_format import count, minute, number, percent
from model_deployer.monitoring.monitor.drawings import (
    correlation,
    delay_curve,
    then_and_now,
    timeline,
    unusual_days,
    versions,
)
from model_deployer.monitoring.monitor.monitor import MonitorReport
from model_deployer.monitoring.observation import CombinationShift, Interval, Movement, Observation, Separation
from model_deployer.monitoring.verdict import e_text
from model_deployer.training.report.html_elements import (
    Html,
    definition_list,
    element,
    html,
    join,
    number_cell,
    section,
    table,
)
from model_deployer.writing.html_page import html_page

#: The fields and predictions with pictures.
_MAX_PICTURES = 6

#: The rows of the table of fields that are shown at once; the others are folded.
_MAX_ROWS = 12

_COLOURS = {
    "fix the data": "bad",
    "retrain": "bad",
    "recalibrate": "warn",
    "ask a person": "warn",
    "keep": "good",
}


def page(report: MonitorReport) -> str:
    """Return the page. It loads no other file, and follows the light or dark scheme of the reader."""
    observed = report.observed
    sections = filter(
        None,
        (
            _timeline(observed),
            _performance(observed),
            _moved(observed),
            _combinations(observed),
            _labels(observed),
            _fields(observed),
            _unwatched(observed),
            _about(observed),
        ),
    )
    content = join([_header(report), _verdict(report), _cards(report), *sections])
    return html_page(f"{report.tag}: {report.verdict.action}", content, _STYLE)


def _header(report: MonitorReport) -> Html:
    traffic = report.observed.traffic
    days = f"{traffic.first} to {traffic.last}, {traffic.rows_a_day:,.0f} rows a day"
    period = days if traffic.first else "no complete day yet"
    title = element("h1", report.name, " ", element("small", report.version))
    return element("header", title, element("p", f"{period} · {minute(report.observed.made)}", css_class="soft"))


def _verdict(report: MonitorReport) -> Html:
    verdict = report.verdict
    facts = definition_list(
        (
            ("since", str(verdict.since) if verdict.since else ""),
            ("who", verdict.owner if verdict.needs_action else ""),
            ("cost of waiting", verdict.waiting.text),
        )
    )
    steps = element("ol", *(element("li", _code(step)) for step in verdict.steps)) if verdict.steps else Html()
    return element(
        "section",
        element("span", verdict.action, css_class="badge"),
        element("h2", verdict.headline),
        element("p", verdict.cause),
        facts,
        steps,
        css_class=f"verdict is-{_COLOURS[verdict.action]}",
    )


def _code(text: str) -> Html:
    """Return text whose parts between backticks are code."""
    parts = text.split("`")
    return Html("".join(element("code", part) if index % 2 else html(part) for index, part in enumerate(parts)))


def _cards(report: MonitorReport) -> Html:
    observed, risk, waiting = report.observed, report.observed.risk, report.verdict.waiting
    recent = number(risk.recent, 3) if risk.recent is not None else "not known"
    limit = f"limit {number(risk.limit, 3)}" if risk.limit is not None else "no promise"
    cost = number(waiting.a_day, 3) if waiting.a_day is not None else "not known"
    so_far = number(waiting.so_far, 3) if waiting.so_far is not None else "none known"
    moved = sum(each.has_moved and not each.is_over for each in (*observed.fields, *observed.predictions))
    watched = len(observed.fields) + len(observed.predictions)
    combinations = observed.combinations
    together = "not known" if combinations.reason else "moved" if combinations.is_current else "as usual"
    cards = (
        (recent, f"mean {risk.loss} lately, {limit}"),
        (cost, f"{waiting.unit} a day, the cost of waiting"),
        (so_far, f"{waiting.unit} so far, more than promised"),
        (f"{moved} of {watched}", "fields and predictions moved"),
        (together, "combinations of values"),
    )
    return element(
        "div",
        *(element("div", element("b", value), element("span", text), css_class="card") for value, text in cards),
        css_class="cards",
    )


def _timeline(observed: Observation) -> Html | None:
    if not observed.timeline:
        return None
    keys = [
        element("span", element("i", css_class=css_class), version, css_class="key")
        for version, css_class in versions(observed.timeline).items()
    ]
    if observed.risk.limit is not None:
        keys.append(element("span", element("i", css_class="limit"), "limit of the promise", css_class="key"))
    alarms = [
        element(
            "li",
            element("b", f"{alarm.group}, {alarm.raised}"),
            f" (since {alarm.since}{', over' if alarm.is_over else ''}): {alarm.text}",
        )
        for alarm in observed.alarms
    ]
    return section(
        "Timeline",
        element("p", *keys, css_class="soft keys"),
        element("div", timeline(observed.timeline, observed.alarms, observed.risk), css_class="wide drawing"),
        element("ol", *alarms, css_class="alarms") if alarms else element("p", "No alarm.", css_class="soft"),
    )


def _performance(observed: Observation) -> Html:
    risk, calibration, estimated = observed.risk, observed.calibration, observed.estimated
    rows = []
    if risk.live:
        rows.append(
            (f"mean {risk.loss} of all labelled days", _interval(risk.live), f"promise {number(risk.promised or 0, 3)}")
        )
    if calibration:
        rows.append(("share of the label minus its probability", _interval(calibration.bias), "0 is right"))
        if calibration.slope:
            rows.append(("slope of the log odds", _interval(calibration.slope), "1 is right"))
        if calibration.auc:
            rows.append(("AUC", _interval(calibration.auc), f"promise {number(calibration.promised_auc, 3)}"))
    if estimated and estimated.estimate:
        inside = f"{estimated.covered} of {estimated.periods} earlier estimates were right"
        name = f"mean {estimated.loss} of the last two weeks, estimated without labels"
        rows.append((name, _interval(estimated.estimate), inside if estimated.periods else "no record yet"))
    notes = [element("p", f"The live {risk.loss} is not known: {risk.reason}.")] if risk.reason else []
    if estimated and estimated.reason:
        notes.append(element("p", f"There is no estimate without labels: {estimated.reason}.", css_class="soft"))
    cells = [(name, number_cell(value), about) for name, value, about in rows]
    slices = [
        (
            each.slice,
            number_cell(f"{each.rows:,}"),
            number_cell(_interval(each.live)),
            number_cell(f"{100 * each.gap:+.0f} %"),
        )
        for each in observed.slices
    ]
    return section(
        "Performance with labels",
        *notes,
        table(("figure", "live, with interval", "reference"), cells) if cells else Html(),
        element("h3", "Slices with more errors than expected") if slices else Html(),
        table(("slice", "rows", f"mean {risk.loss}", "than expected"), slices) if slices else Html(),
    )


def _moved(observed: Observation) -> Html | None:
    worst = [each for each in (*observed.fields, *observed.predictions) if each.has_moved][:_MAX_PICTURES]
    if not worst:
        return None
    return section(
        "What moved", _then_and_now_keys(), element("div", *(_picture(each) for each in worst), css_class="pictures")
    )


def _then_and_now_keys() -> Html:
    return element(
        "p",
        element("span", element("i", css_class="then"), "in the table", css_class="key"),
        element("span", element("i", css_class="now"), "now", css_class="key"),
        css_class="soft keys",
    )


def _combinations(observed: Observation) -> Html:
    combinations, separation = observed.combinations, observed.separation
    if combinations.reason:
        text = f"Whether values occur together as in the table is not known: {combinations.reason}."
        return section("Combinations of values", element("p", text, css_class="soft"))
    state = "moved, and are as before again" if combinations.is_over else "moved"
    heading = f"They {state if combinations.has_moved else 'are as in the table'}. "
    about = (
        "Each point is a day: how unusual its most unusual correlation of two fields is, in units of the noise. "
        f"Of {combinations.table_days} days of the table, 95 % are below the line. "
        f"{combinations.rows_a_day:,} rows of a day count. E-value {e_text(combinations.log10_e)}."
    )
    shifts = [_shift(shift) for shift in combinations.shifts]
    return section(
        "Combinations of values",
        element("p", element("b", heading), about),
        element("div", unusual_days(combinations), css_class="wide drawing") if combinations.scores else Html(),
        join([_then_and_now_keys(), element("div", *shifts, css_class="pictures")]) if shifts else Html(),
        _separation(separation) if separation else Html(),
    )


def _shift(shift: CombinationShift) -> Html:
    heading = element("h3", shift.about)
    return element("div", heading, correlation(shift), element("p", f"{shift.text}.", css_class="soft"))


def _separation(separation: Separation) -> Html:
    if separation.auc is None:
        text = f"No classifier compares the last week with the table: {separation.reason}."
        return element("p", text, css_class="soft")
    usual = ""
    if separation.usual is not None:
        usual = f", and the last week of the table itself with {number(separation.usual, 2)}"
    fields = " These fields matter most to it." if separation.fields else ""
    text = (
        f"A classifier tells rows of the last week from rows of the table with an AUC of {_interval(separation.auc)}"
        f"{usual}; 0.5 means that they are alike.{fields}"
    )
    rows = [(field.name, number_cell(number(field.drop, 2))) for field in separation.fields]
    return join(
        [
            element("h3", "The last week against the table"),
            element("p", text),
            table(("field", "AUC lost without it"), rows) if rows else Html(),
        ]
    )


def _picture(movement: Movement) -> Html:
    state = "over" if movement.is_over else f"since {movement.since}"
    heading = element("h3", movement.about, " ", element("small", state))
    text = f"{movement.text}. E-value {e_text(movement.log10_e)}."
    return element("div", heading, then_and_now(movement), element("p", text, css_class="soft"))


def _labels(observed: Observation) -> Html:
    labels = observed.labels
    facts = definition_list(
        (
            ("labels received", f"{labels.received:,}"),
            ("rows with a label", f"{labels.labelled:,} of {labels.rows:,}"),
            ("still expected", f"{labels.expected:,.0f}"),
            ("half of them within", f"{number(labels.median_days, 3)} days" if labels.median_days is not None else ""),
            ("replaced by a different one", f"{labels.corrected:,}" if labels.corrected else ""),
            ("for unknown rows", f"{labels.unmatched:,}" if labels.unmatched else ""),
        )
    )
    curve = delay_curve(labels.delays) if labels.delays else Html()
    shares = [
        (each.label, number_cell(percent(each.before)), number_cell(_shares(each.now))) for each in observed.label_shift
    ]
    return section(
        "Labels and their delay",
        element("div", element("div", facts), element("div", curve), css_class="pictures"),
        element("h3", "Shares of labels that the predictions of the last week suggest") if shares else Html(),
        table(("label", "before", "now, with interval"), shares) if shares else Html(),
    )


def _fields(observed: Observation) -> Html | None:
    movements = sorted((*observed.fields, *observed.predictions), key=lambda each: -each.log10_e)
    if not movements:
        return None
    head = ("field or prediction", "state", "e-value", "missing")
    first, others = movements[:_MAX_ROWS], movements[_MAX_ROWS:]
    folded = element("details", element("summary", f"{len(others)} more"), table(head, map(_row, others)))
    return section("All fields and predictions", table(head, map(_row, first)), folded if others else Html())


def _row(movement: Movement) -> tuple[str, ...]:
    state = "over" if movement.is_over else "moved" if movement.has_moved else "as usual"
    css_class = {"moved": "bad", "as usual": "good", "over": "soft"}[state]
    dispersion = element("small", "dispersion unknown") if movement.dispersion == "unknown" else Html()
    return (
        movement.about,
        element("td", element("span", state, css_class=css_class), dispersion),
        number_cell(e_text(movement.log10_e)),
        number_cell(percent(movement.now["missing"]) if "missing" in movement.now else ""),
    )


def _unwatched(observed: Observation) -> Html | None:
    if not observed.unwatched:
        return None
    return section("Not watched", definition_list(observed.unwatched.items()))


def _about(observed: Observation) -> Html:
    traffic = observed.traffic
    losses = [f"{traffic.lost:,} captured rows were lost with killed servers."] if traffic.lost else []
    losses += [f"{count(traffic.future, 'row')} with a time in the future were left out."] if traffic.future else []
    text = (
        "An e-value is what a bet on a change would have made of 1: it may be looked at every day. An alarm is raised "
        f"when it is improbable that chance alone reaches it: {percent(observed.alpha)} in a year, all tests together. "
        "Only complete days count, in UTC; a row counts as often as it stands for others."
    )
    return section("How to read this", element("p", " ".join([text, *losses])))


def _interval(interval: Interval) -> str:
    return f"{number(interval.value, 3)}{_ends(interval, 1)}"


def _shares(interval: Interval) -> str:
    return f"{percent(interval.value)}{_ends(interval, 100)}"


def _ends(interval: Interval, factor: float) -> str:
    if interval.low is None or interval.high is None:
        return ""
    return f" ({number(factor * interval.low, 3)} to {number(factor * interval.high, 3)})"


_STYLE = """
:root { color-scheme: light dark; --paper: #f7f8f9; --sheet: #fff; --warn: #a66a00; --now: #c2613f; --then: #8aa3b8;
  --band: #2f669022; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --soft: #a3adb8; --line: #333b44; --accent: #7fb2dd;
  --good: #6cc39a; --bad: #e58a70; --warn: #e0b050; --paper: #14181c; --sheet: #1d2329; --now: #e58a70; --then: #6d8296;
  --band: #7fb2dd26; } }
body { background: var(--paper); }
main { max-width: 60rem; }
header { margin-bottom: 1rem; }
h1 { margin: 0; letter-spacing: -.01em; }
h1 small, h3 small { color: var(--soft); font-weight: 400; font-size: .7em; }
h2 { font-size: 1.2rem; line-height: 1.35; margin: 0 0 .6rem; }
h3 { font-size: 1rem; margin: 1rem 0 .3rem; overflow-wrap: anywhere; }
p { margin: 0 0 .8rem; max-width: 46rem; }
section { background: var(--sheet); border: 1px solid var(--line); border-radius: 10px; padding: 1.3rem 1.5rem;
  margin: 1.1rem 0; }
section > :last-child { margin-bottom: 0; }
.soft { color: var(--soft); font-size: .9rem; }
.verdict { --state: var(--good); border-left: 6px solid var(--state); }
.verdict.is-bad { --state: var(--bad); }
.verdict.is-warn { --state: var(--warn); }
.verdict h2 { font-size: 1.45rem; margin-top: .5rem; }
.badge { font-size: .8rem; font-weight: 700; letter-spacing: .04em; text-transform: uppercase; color: var(--state); }
.bad { color: var(--bad); font-weight: 600; }
.good { color: var(--good); font-weight: 600; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: .9rem; margin: 1.1rem 0; }
.card { background: var(--sheet); border: 1px solid var(--line); border-radius: 10px; padding: .9rem 1.1rem; }
.card b { display: block; font-size: 1.6rem; line-height: 1.3; font-weight: 600; color: var(--accent);
  font-variant-numeric: tabular-nums; }
.card span { display: block; font-size: .87rem; color: var(--soft); }
.wide { overflow-x: auto; margin: .6rem 0; }
.drawing svg { min-width: 36rem; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(19rem, 100%), 1fr)); gap: .5rem 2rem; }
svg { display: block; width: 100%; height: auto; font-size: 12px; }
.pictures svg { max-width: 26rem; }
svg text { fill: var(--soft); }
svg .end { text-anchor: end; } svg .middle { text-anchor: middle; } svg .strong { fill: var(--ink); font-weight: 700; }
svg .inverse { fill: var(--sheet); font-weight: 700; font-size: 11px; }
svg .area { fill: transparent; }
svg .axis { stroke: var(--line); } svg .promised { stroke: var(--then); stroke-dasharray: 2 4; }
svg .limit { stroke: var(--bad); stroke-dasharray: 6 4; } svg .band { fill: var(--band); }
svg .alarm { stroke: var(--bad); } svg .over { stroke: var(--soft); } svg .waiting { fill: var(--warn); }
svg .dot { fill: var(--bad); } svg .dot.over { fill: var(--soft); stroke: none; }
svg .below { fill: var(--accent); } svg .above { fill: var(--bad); }
svg .curve { fill: none; stroke: var(--accent); stroke-width: 2; }
.then { fill: var(--then); background: var(--then); } .now { fill: var(--now); background: var(--now); }
.v0 { fill: #7d9db8; background: #7d9db8; } .v1 { fill: #4f8a75; background: #4f8a75; }
.v2 { fill: #b08a4f; background: #b08a4f; } .v3 { fill: #8b76b0; background: #8b76b0; }
.key { display: inline-flex; align-items: center; gap: .4rem; margin-right: 1.1rem; }
.key i { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px; }
.key i.limit { height: 0; width: 1.4rem; border-top: 2px dashed var(--bad); border-radius: 0; }
.alarms { padding-left: 1.3rem; margin: .4rem 0 0; }
table { width: 100%; font-size: .92rem; }
th { font-size: .82rem; }
td { overflow-wrap: break-word; min-width: 5.5rem; }
tbody tr:last-child td { border-bottom: 0; }
td small { display: block; color: var(--soft); }
.n { font-variant-numeric: tabular-nums; white-space: nowrap; min-width: 0; }
dl { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; gap: .3rem 1.2rem; margin: .6rem 0;
  font-size: .95rem; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
ol { padding-left: 1.3rem; margin: .6rem 0 0; }
li { margin: .25rem 0; overflow-wrap: anywhere; }
code { background: #f1f3f5; border-radius: 4px; padding: .1rem .3rem; font-size: .9em; }
@media (prefers-color-scheme: dark) { code { background: #2a323a; } }
summary { cursor: pointer; color: var(--accent); }
@media (max-width: 34rem) { main { padding: 1.2rem .7rem 2rem; } section { padding: 1rem; } dl { display: block; }
  dd { margin-bottom: .4rem; } .n { white-space: normal; } td { min-width: 4rem; }
  .cards { grid-template-columns: 1fr 1fr; gap: .6rem; } .card b { font-size: 1.3rem; } }
@media print { body { background: #fff; } section, .card { break-inside: avoid; } }
"""
