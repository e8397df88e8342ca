"""The verdict: what to do about a model, why, who does it, and what it costs to wait.

The rules, the first one that holds:

1. A field is broken: **fix the data**. Training would learn the fault.
2. Labels contradict each other or the predictions, or most rows are of a regime that the table does not have and the
   risk is not known to be quiet: **ask a person**.
3. The risk is above its promise: **recalibrate** if probabilities are wrong and the ranking holds; else **keep** if a
   training costs more than it saves in a year, as model.yaml states its cost, or **retrain**.
4. Probabilities are wrong: **recalibrate** if the ranking holds, **retrain** if it is worse, else **ask a person**.
5. Fields, predictions, or combinations of values moved: **keep** if labels, or estimates with shown calibration, say
   that the risk is quiet, else **ask a person**.
6. Otherwise: **keep**.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from typing import Literal, NamedTuple

from model_deployer.contract.document import JsonObject
from model_deployer.contract.number_format import interval, number, percent
from model_deployer.monitoring.observation import Movement, Observation

Action = Literal["fix the data", "keep", "recalibrate", "retrain", "ask a person"]

Owner = Literal["backend engineer", "data scientist", "product owner"]

#: The share of rows with a value outside of the table's range above which they are of another regime.
UNSEEN_REGIME = 0.3

#: The share of the labelled rows whose label was replaced by a different one, and their number, if labels contradict.
MIN_CORRECTED_SHARE, MIN_CORRECTED = 0.1, 20

#: The labelled days after a change without which labels do not say what it does.
MIN_DAYS_SINCE = 5

#: A training that has not paid for itself after this time is not worth its cost: the next reason for one comes before.
MAX_PAYBACK_DAYS = 365.0

#: The figures that a verdict lists at most of one kind.
_MAX_LISTED = 5

#: The pairs of fields that a verdict lists at most.
_MAX_SHIFTS = 2


class EvidenceLine(JsonObject):
    """One reason for a verdict.

    Attributes:
        statistic: What was computed.
        figure: Its value, for people.
        text: What it says, as a sentence.
    """

    statistic: str
    figure: str
    text: str


class Waiting(JsonObject):
    """What it costs to wait.

    Attributes:
        a_day: The expected excess a day; None if it is not known.
        so_far: The excess of the labelled days since the cause began; None if it is not known.
        unit: Its unit: ``cost`` as in model.yaml, ``wrong decisions``, or the loss of a quantity.
        payback_days: The days of waiting that cost as much as a training; None if one of both costs is not known.
        text: The same as a sentence.
    """

    a_day: float | None
    so_far: float | None
    unit: str
    text: str
    payback_days: float | None = None


class Verdict(JsonObject):
    """What to do about a model.

    Attributes:
        action: What to do.
        headline: The verdict as a sentence.
        cause: Why, as a sentence.
        owner: Who does it.
        since: The day with which the cause most probably began; None without a cause.
        steps: What to do, step by step.
        evidence: The reasons.
        waiting: What it costs to wait.
    """

    action: Action
    headline: str
    cause: str
    owner: Owner
    since: date | None
    steps: tuple[str, ...]
    evidence: tuple[EvidenceLine, ...]
    waiting: Waiting

    @property
    def needs_action(self) -> bool:
        """Whether a person has to do something."""
        return self.action != "keep"


class _Finding(NamedTuple):
    """What a rule found: the action and its cause, with the evidence that is special to it."""

    action: Action
    headline: str
    cause: str
    since: date | None
    evidence: Sequence[EvidenceLine]
    weighs_training: bool = False


def decide(tag: str, observed: Observation) -> Verdict:
    """Return what to do about a model.

    Args:
        tag: The model, ``name:version``.
        observed: What a monitor observed.
    """
    rules: Sequence[Callable[[Observation], _Finding | None]] = (
        _broken_data, _contradiction, _unseen_regime, _broken_promise, _wrong_probabilities, _moved,
    )  # fmt: skip
    finding = next(filter(None, (rule(observed) for rule in rules)), None) or _quiet(observed)
    waiting = _waiting(observed, finding.since, tag.partition(":")[2])
    return Verdict(
        action=finding.action,
        headline=finding.headline,
        cause=finding.cause,
        owner=OWNERS[finding.action],
        since=finding.since,
        steps=tuple(step.format(tag=tag, name=tag.partition(":")[0]) for step in STEPS[finding.action]),
        evidence=(*finding.evidence, *_evidence(observed)),
        waiting=_weighed(waiting, observed) if finding.weighs_training else waiting,
    )


#: Who does something about a verdict.
OWNERS: dict[Action, Owner] = {
    "fix the data": "backend engineer",
    "keep": "data scientist",
    "recalibrate": "data scientist",
    "retrain": "data scientist",
    "ask a person": "product owner",
}

#: What to do about a verdict, step by step; ``{tag}`` and ``{name}`` are those of the model.
STEPS: dict[Action, tuple[str, ...]] = {
    "fix the data": (
        "Find what changed at the callers on that day: a release, a unit, a join, an upstream table.",
        "Correct the values there. Do not retrain: the model would learn the fault.",
        "Run `deployer monitor {tag}` again: a repaired field is reported as over.",
    ),
    "keep": (),
    "recalibrate": (
        "`deployer recalibrate {tag}` fits new calibration nodes to labelled rows: a patch version, the same ranks.",
        "`deployer replay --candidate {name}` compares it on captured traffic; `deployer promote` follows if it wins.",
    ),
    "retrain": (
        "`deployer retrain {name}` fits the same model.yaml to newer rows with their labels.",
        "`deployer replay --candidate {name}` compares it on captured traffic; `deployer promote` follows if it wins.",
    ),
    "ask a person": (
        "Show this to a person who knows the business: is it a new regime, a wrong label, or an event that ends?",
        "Decide then whether to label a sample now, to retrain, or to switch the model off for these rows.",
    ),
}


def _broken_data(observed: Observation) -> _Finding | None:
    if not observed.faults:
        return None
    first = observed.faults[0]
    names = _listed([f"'{fault.field}'" if fault.field else "requests" for fault in observed.faults])
    evidence = [
        EvidenceLine(
            statistic=f"{fault.fault}, {fault.field or 'requests'}", figure=percent(fault.share), text=f"{fault.text}."
        )
        for fault in observed.faults[:_MAX_LISTED]
    ]
    headline = f"Fix the data: {names} {'is' if len(observed.faults) == 1 else 'are'} broken before the model sees it."
    if first.fault == "stopped":
        headline = "Fix the data: no requests arrive any more."
    elif first.fault == "refused" and not observed.traffic.captured:
        headline = f"Fix the data: all requests are refused{f', because of {names}' if first.field else ''}."
    elif not all(fault.field for fault in observed.faults):
        headline = f"Fix the data: {names} are refused before the model sees them."
    return _Finding("fix the data", headline, f"{first.text}.", first.since, evidence)


def _contradiction(observed: Observation) -> _Finding | None:
    labels, calibration = observed.labels, observed.calibration
    if labels.corrected >= max(MIN_CORRECTED, MIN_CORRECTED_SHARE * labels.labelled):
        text = f"{labels.corrected:,} labels were replaced by a different one, for {labels.labelled:,} labelled rows."
        line = EvidenceLine(statistic="labels that contradict", figure=f"{labels.corrected:,}", text=text)
        headline = "Ask a person: labels contradict each other, so that no figure with labels can be trusted."
        return _Finding("ask a person", headline, text, None, [line])
    area = calibration and calibration.auc
    if calibration and area and area.high is not None and area.high < 0.5 - (calibration.promised_auc - 0.5) / 2:
        text = f"Rows with a high probability have the label less often: the AUC is {number(area.value, 3)}, below 0.5."
        line = EvidenceLine(statistic="AUC", figure=_interval_text(area.low, area.high), text=text)
        headline = "Ask a person: labels contradict the predictions, as if they were swapped."
        return _Finding("ask a person", headline, text, calibration.since, [line])
    return None


def _unseen_regime(observed: Observation) -> _Finding | None:
    since = _since(observed.fields)
    if observed.regime is None or observed.regime < UNSEEN_REGIME or _is_quiet_since(observed, since):
        return None
    fields = [field.about for field in observed.fields if (field.outside or 0) >= UNSEEN_REGIME / 2]
    share = percent(observed.regime)
    names = f": {_listed(fields)}" if fields else ""
    text = f"{share} of the rows of the last week have a value outside of the range of the table{names}."
    line = EvidenceLine(statistic="rows outside of the table", figure=share, text=text)
    headline = "Ask a person: the rows are of a regime that the table does not have, and the model guesses."
    return _Finding("ask a person", headline, text, since, [line])


def _broken_promise(observed: Observation) -> _Finding | None:
    risk, calibration = observed.risk, observed.calibration
    if risk.state != "above":
        return None
    assert risk.recent is not None and risk.limit is not None
    recent, limit = number(risk.recent), number(risk.limit)
    text = f"The mean {risk.loss} of the last two labelled weeks is {recent}; the promise allows {limit}."
    if calibration and calibration.has_shifted and calibration.ranking == "held":
        headline = "Recalibrate: the model makes more errors than promised, and still ranks as well as before."
        return _Finding("recalibrate", headline, text, risk.since, [])
    payback = _payback_days(observed)
    if payback is not None and payback > MAX_PAYBACK_DAYS:
        headline = "Keep the model: it makes more errors than promised, and a training costs more than it saves."
        return _Finding("keep", headline, text, risk.since, [], weighs_training=True)
    headline = "Retrain: the model makes more errors than promised, and what it learned no longer holds."
    return _Finding("retrain", headline, text, risk.since, [], weighs_training=True)


def _wrong_probabilities(observed: Observation) -> _Finding | None:
    calibration = observed.calibration
    if calibration is None or not calibration.has_shifted:
        return None
    bias = calibration.bias
    text = (
        f"The share of the label differs from its probability by {number(100 * bias.value, 3)} percentage points "
        f"({_interval_text(bias.low, bias.high, 100)})."
    )
    headlines: dict[str, tuple[Action, str]] = {
        "held": ("recalibrate", "Recalibrate: probabilities are wrong, and rank as well as before."),
        "worse": ("retrain", "Retrain: probabilities are wrong, and rank worse than promised."),
        "not known yet": ("ask a person", "Ask a person: probabilities are wrong, and labels do not say yet why."),
    }
    action, headline = headlines[calibration.ranking]
    return _Finding(action, headline, text, calibration.since, [])


def _moved(observed: Observation) -> _Finding | None:
    moved = [each for each in (*observed.fields, *observed.predictions) if each.has_moved and not each.is_over]
    combinations, names = observed.combinations, [each.about for each in moved]
    since, text = _since(moved), f"{moved[0].text}." if moved else ""
    if combinations.is_current and not any(each in observed.fields for each in moved):
        since = min(filter(None, (since, combinations.since)))
        names = ["combinations of values", *names]
        text = "Each field alone is as usual, but rows combine values as the table does not."
        if combinations.shifts:
            text += f" {combinations.shifts[0].text}."
    elif not moved:
        return None
    listed = _listed(names)
    if _is_quiet_since(observed, since):
        headline = f"Keep the model: {listed} moved, and its errors are as rare as promised."
        return _Finding("keep", headline, text, since, [])
    estimated, limit = observed.estimated, observed.risk.limit
    if estimated and estimated.estimate and limit is not None and (estimated.estimate.high or limit) < limit:
        headline = f"Keep the model: {listed} moved; without labels yet, its errors are estimated to be as promised."
        return _Finding("keep", headline, text, since, [])
    if observed.risk.state == "unclear":
        headline = (
            f"Ask a person: {listed} moved, and the last errors are above the promise, as chance may explain yet."
        )
    else:
        headline = f"Ask a person: {listed} moved, and no labels say what it does to the errors."
    return _Finding("ask a person", headline, text, since, [])


def _is_quiet_since(observed: Observation, since: date | None) -> bool:
    """Return whether labels of enough days after a change say that the promise is kept."""
    risk = observed.risk
    if risk.state != "quiet" or risk.last is None:
        return False
    return since is None or (risk.last - since).days + 1 >= MIN_DAYS_SINCE


def _quiet(observed: Observation) -> _Finding:
    if not observed.traffic.days:
        return _Finding(
            "keep", "Keep the model: there is no complete day of traffic yet.", "Nothing is known yet.", None, []
        )
    if observed.risk.state == "unknown":
        cause = f"No field or prediction moved. Its errors are not known: {observed.risk.reason}."
        return _Finding("keep", "Keep the model: what it sees and answers is as usual.", cause, None, [])
    if observed.risk.state == "unclear":
        cause = "No field or prediction moved. The last errors are above the promise, which chance may still explain."
        return _Finding("keep", "Keep the model: there is no evidence of a change yet.", cause, None, [])
    return _Finding("keep", "Keep the model: all is quiet.", "No field moved, and the promise is kept.", None, [])


def _evidence(observed: Observation) -> list[EvidenceLine]:
    """Return the figures that every verdict has."""
    lines = []
    risk, calibration = observed.risk, observed.calibration
    if risk.live and risk.limit is not None:
        text = f"The promise allows {number(risk.limit)}. {risk.rows:,} labelled rows of {risk.days} days count."
        figure = f"{number(risk.live.value)} ({_interval_text(risk.live.low, risk.live.high)})"
        lines.append(EvidenceLine(statistic=f"live {risk.loss}", figure=figure, text=text))
    if calibration and calibration.auc:
        text = (
            f"The evaluation has {number(calibration.promised_auc, 3)}: the ranking is {_RANKING[calibration.ranking]}."
        )
        figure = f"{number(calibration.auc.value, 3)} ({_interval_text(calibration.auc.low, calibration.auc.high)})"
        lines.append(EvidenceLine(statistic="live AUC", figure=figure, text=text))
    for movement in [each for each in (*observed.fields, *observed.predictions) if each.has_moved][:_MAX_LISTED]:
        over = " It is over." if movement.is_over else ""
        figure = f"e-value {e_text(movement.log10_e)}"
        lines.append(
            EvidenceLine(statistic=f"drift of {movement.about}", figure=figure, text=f"{movement.text}.{over}")
        )
    return [*lines, *_joint_evidence(observed)]


def _joint_evidence(observed: Observation) -> Iterator[EvidenceLine]:
    """Yield the figures of all fields together."""
    combinations, separation = observed.combinations, observed.separation
    if combinations.has_moved:
        over = " It is over." if combinations.is_over else ""
        texts = [f"{shift.text}." for shift in combinations.shifts[:_MAX_SHIFTS]]
        figure = f"e-value {e_text(combinations.log10_e)}"
        yield EvidenceLine(statistic="combinations of values", figure=figure, text=f"{' '.join(texts)}{over}")
    if separation and separation.auc:
        area = separation.auc
        usual = f"; a week of the table itself: {number(separation.usual, 2)}" if separation.usual is not None else ""
        names = _listed([f"'{field.name}'" for field in separation.fields])
        by = f", most by {names}" if names else ""
        text = f"A classifier tells the last week from the table{by}{usual}."
        figure = f"AUC {number(area.value, 2)} ({_interval_text(area.low, area.high)})"
        yield EvidenceLine(statistic="last week against the table", figure=figure, text=text)


_RANKING = {"held": "as good as promised", "worse": "worse than promised", "not known yet": "not known well enough yet"}


def e_text(log10_e: float) -> str:
    """Return an e-value for people: 0.4, 25, 10^12."""
    if log10_e >= 4:
        return f"10^{log10_e:.0f}"
    return f"{10**log10_e:,.0f}" if log10_e >= 1 else number(10**log10_e, 2)


def _waiting(observed: Observation, since: date | None, version: str) -> Waiting:
    """Return what it costs to wait; ``since`` is the day with which the cause began."""
    risk = observed.risk
    unit = {"cost": "cost", "error": "wrong decisions"}.get(risk.loss, risk.loss)
    if risk.state == "unknown" or risk.recent is None or risk.promised is None:
        text = "What waiting costs is not known without enough labels."
        return Waiting(a_day=None, so_far=None, unit=unit, text=text)
    so_far = _so_far(observed, since, version)
    if risk.state == "quiet":
        until = f", by the labels until {risk.last}" if risk.last else ""
        text = f"Waiting costs nothing that is known: the promise is kept{until}."
        return Waiting(a_day=0.0, so_far=so_far, unit=unit, text=text)
    excess, a_day = max(0.0, risk.recent - risk.promised), _excess_a_day(observed) or 0.0
    doubt = ", if it is not chance" if risk.state == "unclear" else ""
    rows = f"{observed.traffic.rows_a_day:,.0f} rows a day"
    if risk.loss not in _COUNTED:
        text = f"The mean {risk.loss} is {number(excess, 3)} above the promise{doubt}, for {rows}."
        return Waiting(a_day=a_day, so_far=so_far, unit=unit, text=text)
    figure = f"{number(a_day, 3)} {_COUNTED[risk.loss]}"
    text = f"Each day of waiting costs about {figure}{doubt}: {rows}, {number(excess, 3)} each."
    if so_far is not None:
        text += f" The labelled days since then have cost {number(so_far, 3)} more than promised."
    return Waiting(a_day=a_day, so_far=so_far, unit=unit, text=text)


#: What a day has more of, by the loss; the losses of quantities have no sum that means something.
_COUNTED = {"cost": "in the costs of model.yaml", "error": "wrong decisions more than promised"}


def _excess_a_day(observed: Observation) -> float | None:
    risk = observed.risk
    if risk.recent is None or risk.promised is None:
        return None
    return max(0.0, risk.recent - risk.promised) * observed.traffic.rows_a_day


def _payback_days(observed: Observation) -> float | None:
    """Return the days of waiting that cost as much as a training whose model keeps the promise; None if not known."""
    training, a_day = observed.risk.training, _excess_a_day(observed)
    return training / a_day if training is not None and a_day else None


def _weighed(waiting: Waiting, observed: Observation) -> Waiting:
    """Return what waiting costs next to what a training costs."""
    training, payback = observed.risk.training, _payback_days(observed)
    if training is None or payback is None:
        text = _NOT_STATED["cost" if waiting.unit == "cost" else "error"]
        return waiting.model_copy(update={"text": f"{waiting.text} {text}"})
    text = f"{waiting.text} A training costs {number(training, 3)}, as much as {number(payback, 3)} days of waiting"
    if observed.traffic.last and payback < timedelta.max.days:
        day = observed.traffic.last + timedelta(days=math.ceil(payback))
        text += f": after {day}, a training now would have paid for itself"
    if waiting.so_far is not None and waiting.so_far >= training:
        text += ", and an earlier one already"
    return waiting.model_copy(update={"text": f"{text}.", "payback_days": payback})


#: What is missing to weigh waiting against a training.
_NOT_STATED = {
    "cost": "What a training costs is not known: state `cost.training` in model.yaml to weigh it against waiting.",
    "error": "State the costs of errors and of a training under `cost` in model.yaml to weigh it against waiting.",
}


def _so_far(observed: Observation, since: date | None, version: str) -> float | None:
    promised = observed.risk.promised
    if since is None or promised is None:
        return None
    excess = [
        (day.risk - promised) * day.rows.get(version, 0.0)
        for day in observed.timeline
        if day.day >= since and day.risk is not None
    ]
    return max(0.0, sum(excess)) if excess else None


def _since(moved: Sequence[Movement]) -> date | None:
    return min((each.since for each in moved if each.since), default=None)


def _listed(names: Sequence[str]) -> str:
    shown = [*names[:3], f"{len(names) - 3} more"] if len(names) > 3 else list(names)
    return f"{', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else "".join(shown)


def _interval_text(low: float | None, high: float | None, factor: float = 1.0) -> str:
    if low is None or high is None:
        return "no interval yet"
    return interval(factor * low, factor * high)
