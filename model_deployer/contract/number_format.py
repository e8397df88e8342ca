"""Figures as people read them: a few digits, a unit, and never more than was measured."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

_KIB = 1024
_EPOCH = datetime(1970, 1, 1)


def exact(value: float) -> str:
    """Every digit of a number, and none that it does not have: 0.1, 12."""
    return repr(value).removesuffix(".0")


def number(value: float, digits: int = 4) -> str:
    """Four digits, or all those before the point: 0.6838, 12.35, 53,991; an exponent from 1e-07 on."""
    if isinstance(value, int):
        return f"{value:,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    rounded = f"{value:.{digits}g}"
    return format(Decimal(rounded), "f") if rounded.endswith(("e-05", "e-06")) else rounded


def plain(value: float) -> str:
    """Six digits without separators, as for the ends of a range, which may be years."""
    return exact(float(f"{value:.6g}"))


def count(number: int, noun: str) -> str:
    """A number of things: 1 row, 2 rows."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def interval(low: float, high: float) -> str:
    """The ends of an interval: 0.6831 to 0.6845."""
    return f"{number(low)} to {number(high)}"


def percent(share: float) -> str:
    """A share of 1 in percent, with one decimal where it has one: 90 %, 1.7 %."""
    if 0 < share < 0.0005:
        return "under 0.1 %"
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def percentage(share: float) -> str:
    """A share of 1 in percent, with up to four digits: 60 %, 99.95 %."""
    return f"{100 * share:.4g} %"


def duration(seconds: float) -> str:
    """Three digits of a duration, in the unit that people use for it: 2.5 ms, 30 s."""
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def milliseconds(value: float) -> str:
    """Three digits of a duration, or all those before the point."""
    return f"{value:,.0f} ms" if value >= 100 else f"{value:.3g} ms"


def seconds(value: float) -> str:
    """Three digits of a duration in seconds."""
    return f"{value:.3g} s"


def size(count: int) -> str:
    """Bytes in the largest unit that leaves at least 1 of it."""
    amount, units = float(count), ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while amount >= _KIB and len(units) > 1:
        amount, units = amount / _KIB, units[1:]
    return f"{amount:,.0f} {units[0]}" if amount >= 100 or units[0] == "bytes" else f"{amount:.3g} {units[0]}"


def day(moment: datetime) -> str:
    """The date of a point in time, in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d}"


def minute(moment: datetime) -> str:
    """A point in time in UTC, to the minute."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def since_epoch(count: float) -> str:
    """A time that the graph knows as seconds since 1970, to the minute."""
    return f"{_EPOCH + timedelta(seconds=count):%Y-%m-%d %H:%M}"
