"""Numbers as text for people: a few significant digits, and a unit."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

_KIB = 1024
_EPOCH = datetime(1970, 1, 1)


def exact(value: float) -> str:
    """Return every digit of a number, without a trailing ``.0``: 0.1, 12."""
    return repr(value).removesuffix(".0")


def number(value: float, digits: int = 4) -> str:
    """Return a number with four significant digits, or with all digits before the point.

    For example 0.6838, 12.35 or 53,991. Numbers of 1e-07 and below have an exponent.

    Args:
        value: The number. Every digit of an int is kept.
        digits: The number of significant digits of a float.
    """
    if isinstance(value, int):
        return f"{value:,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    rounded = f"{value:.{digits}g}"
    return format(Decimal(rounded), "f") if rounded.endswith(("e-05", "e-06")) else rounded


def plain(value: float) -> str:
    """Return a number with six significant digits and without separators, since it may be a year."""
    return exact(float(f"{value:.6g}"))


def count(number: int, noun: str) -> str:
    """Return a number and its noun, with the plural by ``s``: 1 row, 2 rows."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def interval(low: float, high: float) -> str:
    """Return the ends of an interval: 0.6831 to 0.6845."""
    return f"{number(low)} to {number(high)}"


def percent(share: float) -> str:
    """Return a share from 0 to 1 in percent, with at most one decimal: 90 %, 1.7 %, under 0.1 %."""
    if 0 < share < 0.0005:
        return "under 0.1 %"
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def percentage(share: float) -> str:
    """Return a share from 0 to 1 in percent, with up to four significant digits: 60 %, 99.95 %."""
    return f"{100 * share:.4g} %"


def duration(seconds: float) -> str:
    """Return a duration in seconds with three significant digits, in ms below 1 s: 2.5 ms, 30 s."""
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def milliseconds(value: float) -> str:
    """Return a duration in milliseconds with three significant digits, or with all digits before the point."""
    return f"{value:,.0f} ms" if value >= 100 else f"{value:.3g} ms"


def seconds(value: float) -> str:
    """Return a duration in seconds with three significant digits."""
    return f"{value:.3g} s"


def size(count: int) -> str:
    """Return a number of bytes in the largest unit that gives at least 1: 512 bytes, 1.5 MiB."""
    amount, units = float(count), ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while amount >= _KIB and len(units) > 1:
        amount, units = amount / _KIB, units[1:]
    return f"{amount:,.0f} {units[0]}" if amount >= 100 or units[0] == "bytes" else f"{amount:.3g} {units[0]}"


def day(moment: datetime) -> str:
    """Return the date of a point in time, in UTC: 2026-01-02."""
    return f"{moment.astimezone(UTC):%Y-%m-%d}"


def minute(moment: datetime) -> str:
    """Return a point in time to the minute, in UTC: 2026-01-02 03:04 UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def since_epoch(count: float) -> str:
    """Return a time to the minute, from seconds since 1970 as the graph takes it: 2013-11-01 17:05."""
    return f"{_EPOCH + timedelta(seconds=count):%Y-%m-%d %H:%M}"
