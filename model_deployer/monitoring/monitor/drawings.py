"""The drawings of the page of a monitor, as inline SVG whose colours follow the style of the page."""

from collections.abc import Iterator, Sequence
from datetime import date
from html import escape

from model_deployer.contract.number_format import number, percent
from model_deployer.monitoring.observation import (
    Alarm,
    CombinationShift,
    DayRecord,
    LiveCombinations,
    LiveRisk,
    Movement,
)
from model_deployer.training.report.html_elements import Html

#: The size of the timeline, and the height of its two parts, in units of the drawing.
_WIDTH, _ROWS_HEIGHT, _RISK_HEIGHT, _GAP = 760, 90, 130, 34

#: The space for the labels of the vertical axis, and at the right.
_LEFT, _RIGHT = 58, 14

#: The most bins that a picture of a field has; the others are added up.
_MAX_BINS = 11

#: The classes of the versions' colours.
_VERSIONS = ("v0", "v1", "v2", "v3")


def timeline(days: Sequence[DayRecord], alarms: Sequence[Alarm], risk: LiveRisk) -> Html:
    """Draw the rows of each day by version, the mean loss of its labelled rows, and the alarms."""
    scale = _Days(days)
    height = _ROWS_HEIGHT + _GAP + _RISK_HEIGHT + 30
    parts = [*_row_bars(days, scale), *_risk_points(days, risk, scale), *_alarm_lines(alarms, scale), *scale.ticks()]
    description = f"Rows and mean {risk.loss} of {len(days)} days, with {len(alarms)} alarms"
    return _svg(_WIDTH, height, description, parts)


def versions(days: Sequence[DayRecord]) -> dict[str, str]:
    """Return the class of the colour of each version, in the order in which they came."""
    names = list(dict.fromkeys(version for day in days for version in day.rows))
    return {name: _VERSIONS[index % len(_VERSIONS)] for index, name in enumerate(names)}


def then_and_now(movement: Movement) -> Html:
    """Draw the shares of a field's bins in the table and now, as pairs of bars."""
    pairs = _pairs(movement)
    width, row, label = 360, 26, 128
    highest = max((share for _, *both in pairs for share in both), default=1) or 1
    parts = []
    for index, (name, then, now) in enumerate(pairs):
        top = index * row + 4
        parts.append(_text(label - 8, top + 14, _short(name), "end" if name != movement.bin else "end strong"))
        for offset, share, css_class in ((0, then, "then"), (9, now, "now")):
            length = (width - label - 56) * share / highest
            parts.append(_rect(label, top + offset, max(1, length), 8, css_class))
        text = f"{percent(then)} → {percent(now)}"
        parts.append(_title(label, top, width - label, row, f"{name}: {text}"))
        parts.append(_text(label + (width - label - 56) * max(then, now) / highest + 5, top + 13, percent(now), ""))
    return _svg(width, len(pairs) * row + 8, f"Shares of {movement.about}, in the table and now", parts)


def unusual_days(combinations: LiveCombinations) -> Html:
    """Draw the score of each day, and what most days of the table do not exceed."""
    width, height, bottom = _WIDTH, 150, 122
    usual, scores = combinations.usual_score or 0.0, combinations.scores
    highest = 1.1 * max([usual, *(score for _, score in scores)], default=1) or 1
    step = (width - _LEFT - _RIGHT) / max(1, len(scores))
    parts = [
        _line(_LEFT, bottom, width - _RIGHT, bottom, "axis"),
        _line(_LEFT, bottom * (1 - usual / highest), width - _RIGHT, bottom * (1 - usual / highest), "limit"),
        _text(_LEFT - 8, bottom * (1 - usual / highest) + 4, number(usual, 2), "end"),
        _text(_LEFT - 8, bottom + 4, "0", "end"),
    ]
    every = max(1, -(-len(scores) // 7))
    for index, (day, score) in enumerate(scores):
        x, y = _LEFT + (index + 0.5) * step, bottom * (1 - score / highest)
        has_moved = combinations.since is not None and day >= combinations.since
        parts.append(f'<circle class="{"above" if has_moved else "below"}" cx="{x:.1f}" cy="{y:.1f}" r="2.6"/>')
        parts.append(_title(x - step / 2, 0, step, bottom, f"{day}: {number(score, 3)}"))
        if index % every == 0:
            parts.append(_text(x, bottom + 20, f"{day:%d %b}", "middle"))
    return _svg(width, height, f"How unusual the combinations of {len(scores)} days are", parts)


def correlation(shift: CombinationShift) -> Html:
    """Draw a correlation on a scale from -1 to 1, with the range of the table."""
    width, left, right, middle = 360, 14, 346, 22
    scale = (right - left) / 2

    def place(value: float) -> float:
        return left + scale * (1 + value)

    low, high = map(place, shift.expected)
    parts = [
        _line(left, middle, right, middle, "axis"),
        _rect(low, middle - 7, max(2, high - low), 14, "then"),
        f'<circle class="now" cx="{place(shift.correlation):.1f}" cy="{middle}" r="6"/>',
        *(_text(place(value), 48, f"{value:g}", "middle") for value in (-1, 0, 1)),
    ]
    return _svg(width, 54, f"Correlation of {shift.about}, in the table and now", parts)


def delay_curve(points: Sequence[tuple[float, float]]) -> Html:
    """Draw the share of rows with a label by the days since the prediction."""
    width, height, left, bottom = 360, 170, 46, 30
    last = max(points[-1][0], 1.0)
    top = max(share for _, share in points) or 1
    x = [left + (width - left - 16) * days / last for days, _ in points]
    y = [height - bottom - (height - bottom - 14) * share / top for _, share in points]
    path = f"M{left} {height - bottom}" + "".join(
        f" L{here:.1f} {before:.1f} L{here:.1f} {now:.1f}"
        for here, before, now in zip(x, [float(height - bottom), *y[:-1]], y, strict=True)
    )
    parts = [
        _line(left, height - bottom, width - 10, height - bottom, "axis"),
        f'<path class="curve" d="{path}"/>',
        _text(left - 6, y[-1] + 4, percent(top), "end"),
        _text(left - 6, height - bottom + 4, "0 %", "end"),
        _text(width - 12, height - 10, f"{number(last, 3)} days", "end"),
        _text(left, height - 10, "0", "middle"),
    ]
    return _svg(width, height, "Share of rows with a label by the days since the prediction", parts)


class _Days:
    """The horizontal positions of days."""

    def __init__(self, days: Sequence[DayRecord]) -> None:
        self._days = days
        self.step = (_WIDTH - _LEFT - _RIGHT) / max(1, len(days))
        self._index = {day.day: index for index, day in enumerate(days)}

    def left(self, index: int) -> float:
        """Return the left end of a day."""
        return _LEFT + index * self.step

    def of(self, day: date) -> float | None:
        """Return the middle of a day; None if it is not drawn."""
        index = self._index.get(day)
        return None if index is None else self.left(index) + self.step / 2

    def ticks(self) -> Iterator[str]:
        """Yield the dates below the drawing."""
        every = max(1, -(-len(self._days) // 7))
        bottom = _ROWS_HEIGHT + _GAP + _RISK_HEIGHT + 22
        for index in range(0, len(self._days), every):
            yield _text(self.left(index) + self.step / 2, bottom, f"{self._days[index].day:%d %b}", "middle")


def _row_bars(days: Sequence[DayRecord], scale: _Days) -> Iterator[str]:
    colours = versions(days)
    highest = max((sum(day.rows.values()) for day in days), default=1) or 1
    yield _text(_LEFT - 8, 14, number(round(highest)), "end")
    yield _text(_LEFT - 8, 30, "rows", "end")
    for index, day in enumerate(days):
        bottom = float(_ROWS_HEIGHT)
        for version, rows in day.rows.items():
            height = (_ROWS_HEIGHT - 6) * rows / highest
            bottom -= height
            yield _rect(scale.left(index) + 0.5, bottom, max(0.8, scale.step - 1), height, colours[version])
        text = ", ".join(f"{version}: {rows:,.0f} rows" for version, rows in day.rows.items()) or "no rows"
        refused = f", {day.refused:,} refused requests" if day.refused else ""
        loss = f", mean loss {number(day.risk)} of {day.labelled:,} labelled rows" if day.risk is not None else ""
        height = _ROWS_HEIGHT + _GAP + _RISK_HEIGHT
        yield _title(scale.left(index), 0, scale.step, height, f"{day.day}: {text}{refused}{loss}")
    yield _line(_LEFT, _ROWS_HEIGHT, _WIDTH - _RIGHT, _ROWS_HEIGHT, "axis")


def _risk_points(days: Sequence[DayRecord], risk: LiveRisk, scale: _Days) -> Iterator[str]:
    top, bottom = _ROWS_HEIGHT + _GAP, _ROWS_HEIGHT + _GAP + _RISK_HEIGHT
    values = [day.risk for day in days if day.risk is not None]
    yield _line(_LEFT, bottom, _WIDTH - _RIGHT, bottom, "axis")
    highest = 1.1 * max([*values, risk.limit or 0], default=0)
    if not values or not highest:
        yield _text(_WIDTH / 2, (top + bottom) / 2, "no day with complete labels yet", "middle")
        return

    def level(value: float) -> float:
        return bottom - (bottom - top) * value / highest

    if risk.live and risk.live.low is not None and risk.live.high is not None:
        low, high = risk.live.low, min(risk.live.high, highest)
        yield _rect(_LEFT, level(high), _WIDTH - _LEFT - _RIGHT, level(low) - level(high), "band")
    if risk.limit is not None and risk.promised is not None:
        yield _line(_LEFT, level(risk.limit), _WIDTH - _RIGHT, level(risk.limit), "limit")
        yield _line(_LEFT, level(risk.promised), _WIDTH - _RIGHT, level(risk.promised), "promised")
        yield _text(_LEFT - 8, level(risk.limit) - 1, number(risk.limit, 3), "end")
    yield _text(_LEFT - 8, bottom + 4, "0", "end")
    yield _text(_LEFT - 8, top + 2, risk.loss.split()[-1], "end")
    for day in days:
        x = scale.of(day.day)
        if day.risk is not None and x is not None:
            is_high = risk.limit is not None and day.risk > risk.limit
            yield f'<circle class="{"above" if is_high else "below"}" cx="{x:.1f}" cy="{level(day.risk):.1f}" r="2.6"/>'


def _alarm_lines(alarms: Sequence[Alarm], scale: _Days) -> Iterator[str]:
    bottom = _ROWS_HEIGHT + _GAP + _RISK_HEIGHT
    used: list[float] = []
    for index, alarm in enumerate(alarms, start=1):
        since, raised = scale.of(alarm.since), scale.of(alarm.raised)
        if raised is None:
            continue
        if since is not None and raised > since:
            yield _rect(since, _ROWS_HEIGHT + 8, raised - since, 4, "waiting")
        yield _line(raised, 0, raised, bottom, "over" if alarm.is_over else "alarm")
        shift = 18 * sum(abs(raised - other) < 18 for other in used)
        used.append(raised)
        css_class = "dot over" if alarm.is_over else "dot"
        yield f'<circle class="{css_class}" cx="{raised + shift:.1f}" cy="{_ROWS_HEIGHT + 18}" r="8"/>'
        yield _text(raised + shift, _ROWS_HEIGHT + 22, str(index), "middle inverse")


def _pairs(movement: Movement) -> list[tuple[str, float, float]]:
    """Return the bins with their shares then and now; small ones are added up if there are many."""
    pairs = [(name, then, movement.now.get(name, 0.0)) for name, then in movement.then.items()]
    pairs = [pair for pair in pairs if max(pair[1:]) >= 0.0005]
    if len(pairs) <= _MAX_BINS:
        return pairs
    largest = sorted(pairs, key=lambda pair: -max(pair[1:]))[: _MAX_BINS - 1]
    rest = [pair for pair in pairs if pair not in largest]
    kept = [pair for pair in pairs if pair in largest]
    return [*kept, (f"{len(rest)} others", sum(pair[1] for pair in rest), sum(pair[2] for pair in rest))]


def _short(name: str, characters: int = 18) -> str:
    return name if len(name) <= characters else f"{name[: characters - 1]}…"


def _svg(width: float, height: float, description: str, parts: Sequence[str]) -> Html:
    return Html(
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(description)}">{"".join(parts)}</svg>'
    )


def _rect(x: float, y: float, width: float, height: float, css_class: str) -> str:
    return f'<rect class="{css_class}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{max(0, height):.1f}"/>'


def _title(x: float, y: float, width: float, height: float, text: str) -> str:
    """Return an area whose text a pointer shows."""
    area = f'<rect class="area" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}">'
    return f"{area}<title>{escape(text)}</title></rect>"


def _line(x1: float, y1: float, x2: float, y2: float, css_class: str) -> str:
    return f'<line class="{css_class}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, css_class: str) -> str:
    return f'<text class="{css_class}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'
