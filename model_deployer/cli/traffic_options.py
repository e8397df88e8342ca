"""The options of commands that read captured traffic."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

_SPAN = re.compile(r"(\d+)([hdw])")

_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def parse_time(text: str) -> datetime:
    """Return a time that is written as a date, a time, or a span before now, such as ``24h``, ``14d`` or ``6w``.

    Raises:
        BadParameter: if it is none of them.
    """
    if span := _SPAN.fullmatch(text):
        return datetime.now(UTC) - int(span[1]) * _UNITS[span[2]]
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("expected 24h, 14d, 6w, 2026-01-31 or 2026-01-31T12:00:00Z") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


TrafficStore = Annotated[
    str,
    typer.Option(
        "--traffic", metavar="STORE", help="The traffic store of the servers: a folder, or a URL such as s3://."
    ),
]
Since = Annotated[
    datetime | None,
    typer.Option(parser=parse_time, metavar="TIME", help="The first traffic to read: 14d, 24h, or a date in UTC."),
]
